//! The planes as two containers of one pod: nobody keeps them, and SIGTERM reaches both at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use headgate_apiserver::Settings;
use headgate_lab::{Process, free_port};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bed::{ADDRESS, Bed, PROGRAM, ingress};

const SOON: Duration = Duration::from_secs(20);

struct Planes {
    dataplane: Process,
    controlplane: Process,
    /// Of the control plane.
    health: SocketAddr,
}

impl Planes {
    fn start(bed: &Bed) -> Self {
        let at = |name: &str| bed.directory().join(name);
        let plane = |name: &str, flags: &str| {
            let mut command = Command::new(PROGRAM);
            command.arg(name).arg("--run-dir").arg(at("run"));
            command.args(flags.split_ascii_whitespace());
            Process::spawn_logged(name, command, &at(name)).unwrap()
        };
        let address = ADDRESS.parse().unwrap();
        let health = SocketAddr::from((address, free_port(&[address], 29_711).unwrap()));
        let control = format!(
            "--kubeconfig {} --ingress-address {ADDRESS} --http-port {} --https-port 0 --loopback-endpoints \
             --election-ttl 4s --healthz-host {ADDRESS} --healthz-port {} --wait-for-dataplane 60s",
            bed.kubeconfig().display(),
            bed.http.port(),
            health.port()
        );
        Self {
            dataplane: plane("dataplane", "--port kernel --drain-delay 4s --drain-time 20s"),
            controlplane: plane("controlplane", &control),
            health,
        }
    }

    /// The status line and all that follows.
    fn ready(&self) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.health)?;
            stream.set_read_timeout(Some(SOON))?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        ask().unwrap_or_default()
    }
}

fn addresses(bed: &Bed) -> Value {
    let ingress = bed.server.store().get("Ingress", "shop", "web").unwrap();
    ingress["status"]["loadBalancer"]["ingress"].clone()
}

fn holder(bed: &Bed) -> String {
    let lease = bed.server.store().get("Lease", "default", "headgate-leader");
    let holder = lease
        .as_ref()
        .and_then(|lease| lease["spec"]["holderIdentity"].as_str());
    holder.unwrap_or_default().to_owned()
}

#[test]
fn the_control_plane_is_there_until_the_dataplane_has_drained() {
    let bed = Bed::without_gateway(Settings::default());
    bed.apply_all();
    let planes = Planes::start(&bed);
    bed.until_answered("web.example.com", "/", 200);
    bed.until("it is ready", || planes.ready().starts_with("HTTP/1.1 200 "));
    let here = json!([{"ip": ADDRESS}]);
    bed.until("the address", || addresses(&bed) == here);
    let us = holder(&bed);
    assert!(!us.is_empty());

    for process in [&planes.dataplane, &planes.controlplane] {
        process.signal(Signal::TERM).unwrap();
    }
    bed.until("it is not ready", || {
        let text = planes.ready();
        text.starts_with("HTTP/1.1 503 ") && text.contains("draining")
    });
    // Clients are served for 4 s more, by what the cluster says in that time.
    bed.server
        .store()
        .apply(&ingress("late", "late.example.com", "web"))
        .unwrap();
    bed.until_answered("late.example.com", "/", 200);
    assert_eq!((addresses(&bed), holder(&bed)), (here, us), "until the end");

    assert!(planes.dataplane.wait_for_end(SOON).unwrap());
    assert!(
        planes.controlplane.wait_for_end(SOON).unwrap(),
        "with the dataplane"
    );
    assert_eq!((addresses(&bed), holder(&bed).as_str()), (json!([]), ""));
    for plane in ["dataplane", "controlplane"] {
        let log = std::fs::read_to_string(bed.directory().join(plane)).unwrap();
        assert!(!log.contains("panicked"), "{log}");
    }
    for process in [planes.dataplane, planes.controlplane] {
        assert!(process.finish(SOON).unwrap().success());
    }
}
