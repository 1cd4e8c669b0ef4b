//! Who takes part: Headgate, nginx and haproxy in front of one pod, and a client behind a line.

use std::{
    fs::{self, File},
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use headgate_lab::{Impairment, Process, Remote, address, tls::Authority};

use super::Cell;
use crate::{
    bed::{Bed, CLIENT_CORE, GATEWAY_CORE, Gateway},
    http::{PEER_PORT, manifests, pinned, start, start_nginx},
};

/// How long one transfer may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where haproxy listens, beside nginx.
const SECOND_PEER: u16 = 8081;
/// For how long a line is quiet once a connection is over.
const QUIET: Duration = Duration::from_millis(30);
const HOST: &str = "shop.example.com";

/// Everything that runs, and where it answers.
pub(super) struct Contest<'a> {
    remote: Remote,
    upload: bool,
    tls: bool,
    directory: PathBuf,
    ends: Vec<(&'static str, String, u16)>,
    _processes: Vec<Process>,
    gateway: Gateway<'a>,
}

impl<'a> Contest<'a> {
    /// With transfers of at most `most` bytes.
    pub(super) fn begin(
        bed: &'a Bed,
        most: u64,
        (upload, tls): (bool, bool),
        only_nginx: bool,
    ) -> Result<Self> {
        let remote = bed.lab.add_remote(Impairment::NONE)?;
        use_cubic(bed, &remote)?;
        let directory = bed.lab.directory().join("files");
        fs::create_dir_all(&directory)?;
        File::create(directory.join("file"))?.set_len(most)?;
        let issued = Authority::new("Headgate bench authority")?.issue(&[HOST])?;
        let pem = directory.join("pem");
        fs::write(&pem, format!("{}{}", issued.chain, issued.key))?;
        let pods = pods(bed, &directory)?;
        let vip = address::vip(0).0.to_string();
        let core = GATEWAY_CORE.to_string();
        let mut manifests = manifests();
        if tls {
            manifests = manifests.replacen(
                "  defaultBackend",
                &format!("  tls: [{{hosts: [{HOST}], secretName: tls}}]\n  defaultBackend"),
                1,
            ) + "---\n"
                + &issued.secret("bench", "tls");
        }
        let gateway = bed.start_headgate(
            &manifests,
            &["--ingress-address", &vip, "--workers", "1", "--cores", &core],
        )?;
        let listen = address::GATEWAY_V4.to_string();
        let pem = tls.then_some(pem);
        let mut processes = vec![pods, nginx(bed, pem.as_ref())?];
        let mut ends = vec![
            ("Headgate", vip, if tls { 443 } else { 80 }),
            ("nginx", listen.clone(), PEER_PORT),
        ];
        if !only_nginx {
            processes.push(haproxy(bed, pem.as_ref())?);
            ends.push(("haproxy", listen, SECOND_PEER));
        }
        Ok(Self {
            remote,
            upload,
            tls,
            directory,
            ends,
            _processes: processes,
            gateway,
        })
    }

    pub(super) fn stop(self) -> Result<()> {
        self.gateway.stop()
    }

    /// Megabits a second of one transfer through a contestant, if there is one of that number.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(super) fn transfer(&self, contestant: usize, cell: &Cell, seed: u64) -> Result<Option<f64>> {
        let Some((name, address, port)) = self.ends.get(contestant) else {
            return Ok(None);
        };
        self.settle();
        self.remote.impair(cell.line(seed));
        let mut command = self.remote.namespace.command("curl");
        command.args([
            "-sSk",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{time_total}",
            "-H",
            "Expect:",
        ]);
        command.args(["--resolve", &format!("{HOST}:{port}:{address}")]);
        let (path, expected) = if self.upload {
            let file = self.directory.join(format!("up-{}", cell.bytes));
            File::create(&file)?.set_len(cell.bytes)?;
            command.arg("-T").arg(file);
            ("up", "200")
        } else {
            command.args(["-r", &format!("0-{}", cell.bytes - 1)]);
            ("file", "206")
        };
        let scheme = if self.tls { "https" } else { "http" };
        command.arg(format!("{scheme}://{HOST}:{port}/{path}"));
        let finished = Process::spawn("curl", command)?.finish(PATIENCE)?;
        ensure!(
            finished.success(),
            "curl through {name}, {cell:?}: {}",
            finished.stderr
        );
        let mut words = finished.stdout.split_ascii_whitespace();
        let status = words.next();
        ensure!(
            status == Some(expected),
            "status {status:?} through {name}, {cell:?}"
        );
        let seconds: f64 = words.next().context("curl gave no time")?.parse()?;
        Ok(Some(cell.bytes as f64 * 8.0 / 1e6 / seconds))
    }

    /// Waits until nothing of the last connection is on the line any more: its chances belong to the next.
    fn settle(&self) {
        self.remote.impair(Impairment::NONE);
        let arrived = || self.remote.counts().map(|counts| counts.arrived);
        let mut before = arrived();
        loop {
            thread::sleep(QUIET);
            let now = arrived();
            if now == before {
                return;
            }
            before = now;
        }
    }
}

/// Whatever this machine's default is.
fn use_cubic(bed: &Bed, remote: &Remote) -> Result<()> {
    let client = address::client(0).0.to_string();
    let routes = [
        (&bed.lab.gateway, ["203.0.113.0/24", client.as_str(), "g0"]),
        (&remote.namespace, ["default", "203.0.113.1", "r0"]),
    ];
    for (namespace, [to, via, device]) in routes {
        let route = [
            "route", "replace", to, "via", via, "dev", device, "congctl", "cubic",
        ];
        namespace.run_ok("ip", &route)?;
    }
    Ok(())
}

fn pods(bed: &Bed, directory: &std::path::Path) -> Result<Process> {
    let pod = address::pod(1).0;
    let server = format!(
        "server {{ listen {pod}:8080; root {}; client_max_body_size 0; client_body_buffer_size 64m;\n\
         location /up {{ client_body_in_file_only off; proxy_pass http://{pod}:8082/; }} }}\n\
         server {{ listen {pod}:8082; client_max_body_size 0; location / {{ return 200; }} }}",
        directory.display()
    );
    start_nginx(
        bed,
        &bed.lab.pods,
        "backend",
        &server,
        CLIENT_CORE,
        (pod.to_string(), 8080),
    )
}

fn nginx(bed: &Bed, pem: Option<&PathBuf>) -> Result<Process> {
    let (listen, pod) = (address::GATEWAY_V4, address::pod(1).0);
    let ssl = pem.map_or(String::new(), |pem| {
        let pem = pem.display();
        format!("ssl_certificate {pem}; ssl_certificate_key {pem};")
    });
    let kind = if pem.is_some() { " ssl" } else { "" };
    let server = format!(
        "upstream pods {{ server {pod}:8080; keepalive 16; }}\n\
         server {{ listen {listen}:{PEER_PORT}{kind}; {ssl} client_max_body_size 0; location / {{ proxy_pass http://pods;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_request_buffering off; proxy_max_temp_file_size 0; }} }}"
    );
    start_nginx(
        bed,
        &bed.lab.gateway,
        "nginx",
        &server,
        GATEWAY_CORE,
        (listen.to_string(), PEER_PORT),
    )
}

fn haproxy(bed: &Bed, pem: Option<&PathBuf>) -> Result<Process> {
    let (listen, pod) = (address::GATEWAY_V4, address::pod(1).0);
    let directory = bed.lab.directory().join("haproxy");
    fs::create_dir_all(&directory)?;
    let ssl = pem.map_or(String::new(), |pem| format!(" ssl crt {}", pem.display()));
    let config = format!(
        "global\n  nbthread 1\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend web\n  bind {listen}:{SECOND_PEER}{ssl}\n  default_backend pods\n\
         backend pods\n  server web {pod}:8080\n"
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, config)?;
    let mut command = pinned(&bed.lab.gateway, GATEWAY_CORE, "haproxy");
    command.args(["-db", "-f"]).arg(&file);
    start(
        &bed.lab.gateway,
        "haproxy",
        command,
        &directory,
        (listen.to_string(), SECOND_PEER),
    )
}
