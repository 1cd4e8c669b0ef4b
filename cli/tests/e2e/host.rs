//! The gateway's own host stays reachable.

use std::{
    io::{Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use headgate_lab::{Gateway, GatewayOptions, Shop, address, client::Curl, wait_until};

use crate::support::{Bed, PROGRAM, lab, options};

/// Connects to an SSH-like server on the gateway's own address and back.
fn host_answers(bed: &Bed, listener: &TcpListener) {
    let target = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, peer) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.0-lab\r\n").unwrap();
            peer
        });
        let client = bed
            .lab
            .clients
            .enter(|| TcpStream::connect_timeout(&target, Duration::from_secs(5)));
        let mut greeting = String::new();
        client
            .unwrap()
            .expect("a connection to the host")
            .read_to_string(&mut greeting)
            .unwrap();
        assert_eq!(greeting, "SSH-2.0-lab\r\n");
        server.join().unwrap();
    });
}

#[test]
fn a_port_of_the_host_is_reachable_over_the_same_interface() {
    let Some(bed) = Bed::make() else { return };
    for ip in [IpAddr::from(address::GATEWAY_V4), address::GATEWAY_V6.into()] {
        let listener = bed
            .lab
            .gateway
            .enter(|| TcpListener::bind((ip, 22)).unwrap())
            .unwrap();
        host_answers(&bed, &listener);
        // And while Headgate has work.
        bed.curl().get("http://shop.example.com/").unwrap();
        host_answers(&bed, &listener);
    }
    for ip in ["192.0.2.1", "2001:db8:c::1"] {
        let pinged = bed
            .lab
            .clients
            .run("ping", &["-c", "2", "-i", "0.2", ip], Duration::from_secs(5))
            .unwrap();
        assert!(pinged.success(), "{}", pinged.stdout);
    }
}

#[test]
fn stopping_releases_the_interfaces() {
    let Some((lab, _turn)) = lab() else { return };
    let shop = Shop::open(&lab, lab.directory()).unwrap();
    let gateway = Gateway::start(&lab, &options(shop.manifests())).unwrap();
    let attached = || {
        lab.gateway
            .run_ok("ip", &["-details", "link", "show"])
            .unwrap()
            .contains("prog/xdp")
    };
    assert!(attached(), "the steering program is attached while Headgate runs");
    let (dataplane, controlplane) = gateway.planes().unwrap();
    let run_dir = gateway.run_dir().to_owned();
    let status = gateway.stop().unwrap();
    assert!(status.success(), "{status}");
    assert!(!attached(), "and not afterwards");
    for id in [dataplane, controlplane] {
        assert!(
            !std::path::Path::new(&format!("/proc/{id}")).exists(),
            "process {id} is left"
        );
    }
    assert!(!run_dir.join("status.sock").exists());
}

#[test]
fn a_killed_supervisor_leaves_nothing_running() {
    let Some(bed) = Bed::make() else { return };
    let (dataplane, controlplane) = bed.gateway.planes().unwrap();
    headgate_lab::kill_and_wait(bed.gateway.id()).unwrap();
    wait_until("both planes have ended", Duration::from_secs(5), || {
        [dataplane, controlplane].iter().all(|id| {
            // A zombie, to be reaped by whoever took it over, does nothing any more.
            std::fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, |stat| stat.contains(") Z "))
        })
    })
    .unwrap();
}

#[test]
fn the_capabilities_of_the_deployment_are_enough() {
    let Some((lab, _turn)) = lab() else { return };
    let shop = Shop::open(&lab, lab.directory()).unwrap();
    let wrapper = lab.directory().join("confined");
    let script = format!(
        "#!/bin/sh\nexec setpriv --no-new-privs \
         --bounding-set=-all,+net_admin,+net_raw,+bpf,+perfmon,+ipc_lock {PROGRAM} \"$@\"\n"
    );
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let options = GatewayOptions {
        program: wrapper,
        ..options(shop.manifests())
    };
    let gateway = Gateway::start(&lab, &options).unwrap();
    let capabilities = |id: u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let (dataplane, controlplane) = gateway.planes().unwrap();
    // linux/capability.h: NET_ADMIN 12, NET_RAW 13, IPC_LOCK 14, PERFMON 38, BPF 39.
    assert_eq!(
        capabilities(dataplane),
        1 << 12 | 1 << 13 | 1 << 14 | 1 << 38 | 1 << 39
    );
    assert_eq!(capabilities(controlplane), 0, "the control plane holds none");
    let curl = Curl::new(&lab.clients).to(Shop::INGRESS.0);
    assert_eq!(curl.get("http://shop.example.com/").unwrap().status, 200);
    assert!(gateway.stop().unwrap().success());
}

#[test]
fn errors_at_the_start_say_what_to_do() {
    let Some((lab, _turn)) = lab() else { return };
    let manifests = lab.directory().to_str().unwrap();
    let run_dir = lab.directory().join("run");
    let run = |arguments: &[&str]| {
        let mut all = vec!["run", "--run-dir", run_dir.to_str().unwrap()];
        all.extend(arguments);
        lab.gateway.run(PROGRAM, &all, Duration::from_secs(20)).unwrap()
    };
    let missing = run(&["--manifests", manifests, "--port", "eth9"]);
    assert!(!missing.success());
    assert!(missing.stderr.contains("eth9"), "{}", missing.stderr);
    let nowhere = run(&["--manifests", "/nonexistent", "--port", "g0", "--port", "g1"]);
    assert!(!nowhere.success());
    assert!(nowhere.stderr.contains("/nonexistent"), "{}", nowhere.stderr);
}
