//! What a client far away gets of a path that delays, loses and reorders, through Headgate and through nginx and haproxy on
//! the kernel's TCP, over the same line.
#![allow(clippy::print_stdout, reason = "printing is what a bench is for")]

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use headgate_lab::{Impairment, Process, Remote, address};

use crate::{
    bed::{Bed, CLIENT_CORE, GATEWAY_CORE, Gateway},
    http::{PEER_PORT, manifests, pinned, start, start_nginx},
};

/// How long one transfer may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where haproxy listens, beside nginx.
const SECOND_PEER: u16 = 8081;

/// Options of the goodput measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GoodputOptions {
    /// The program under measurement
    #[arg(long, default_value = "target/release/headgate")]
    headgate: PathBuf,
    /// Rounds of each cell, interleaved
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Bytes of each transfer
    #[arg(long, default_value_t = 20_000_000)]
    bytes: u64,
    /// Round trips in milliseconds
    #[arg(long, value_delimiter = ',', default_value = "0,20,50,100")]
    rtt: Vec<u64>,
    /// Shares of frames that are lost, in percent
    #[arg(long, value_delimiter = ',', default_value = "0,0.1,1,3")]
    loss: Vec<f64>,
    /// Shares of frames that others overtake, in percent
    #[arg(long, value_delimiter = ',', default_value = "0,1")]
    reorder: Vec<f64>,
    /// Uploads instead of downloads
    #[arg(long)]
    upload: bool,
}

/// Everything that runs, and the URLs at which it answers.
struct Contest<'a> {
    remote: Remote,
    upload: Option<PathBuf>,
    urls: [(&'static str, String); 3],
    _processes: Vec<Process>,
    gateway: Gateway<'a>,
}

/// Measures, and prints a table: a line for each cell.
///
/// # Errors
///
/// When the bed cannot be built, or a transfer fails.
pub(crate) fn run(options: &GoodputOptions) -> Result<()> {
    let bed = Bed::new(&options.headgate)?;
    let contest = Contest::begin(&bed, options)?;
    let direction = if options.upload { "uploads" } else { "downloads" };
    println!(
        "Mbit/s of {direction} of {} bytes by curl, medians of {} interleaved rounds; the line is a thread of this program \
         between two TAP devices; the kernel's ends use CUBIC; gateway on core {GATEWAY_CORE}\n",
        options.bytes, options.rounds
    );
    println!(
        "| RTT | loss | reordered | Headgate | nginx | haproxy | of nginx |\n|---|---|---|---|---|---|---|"
    );
    for rtt in &options.rtt {
        for loss in &options.loss {
            for reorder in &options.reorder {
                let line = Impairment {
                    loss: loss / 100.0,
                    reorder: reorder / 100.0,
                    delay: Duration::from_micros(rtt * 500),
                    ..Impairment::NONE
                };
                contest.remote.impair(line);
                let [ours, nginx, haproxy] = contest.cell(options)?;
                println!(
                    "| {rtt} ms | {loss}% | {reorder}% | {ours:.1} | {nginx:.1} | {haproxy:.1} | {:.2} |",
                    ours / nginx
                );
            }
        }
    }
    contest.gateway.stop()
}

impl<'a> Contest<'a> {
    fn begin(bed: &'a Bed, options: &GoodputOptions) -> Result<Self> {
        let remote = bed.lab.add_remote(Impairment::NONE)?;
        // Whatever this machine's default is.
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
        let directory = bed.lab.directory().join("files");
        fs::create_dir_all(&directory)?;
        let file = directory.join("file");
        fs::write(&file, vec![b'x'; usize::try_from(options.bytes)?])?;
        let pod = address::pod(1).0;
        let server = format!(
            "server {{ listen {pod}:8080; root {}; client_max_body_size 0; client_body_buffer_size 64m;\n\
             location /up {{ client_body_in_file_only off; proxy_pass http://{pod}:8082/; }} }}\n\
             server {{ listen {pod}:8082; client_max_body_size 0; location / {{ return 200; }} }}",
            directory.display()
        );
        let pods = start_nginx(
            bed,
            &bed.lab.pods,
            "backend",
            &server,
            CLIENT_CORE,
            (pod.to_string(), 8080),
        )?;
        let vip = address::vip(0).0.to_string();
        let core = GATEWAY_CORE.to_string();
        let gateway = bed.start_headgate(
            &manifests(),
            &["--ingress-address", &vip, "--workers", "1", "--cores", &core],
        )?;
        let listen = address::GATEWAY_V4;
        let processes = vec![pods, nginx(bed)?, haproxy(bed)?];
        let path = if options.upload { "up" } else { "file" };
        Ok(Self {
            remote,
            upload: options.upload.then_some(file),
            urls: [
                ("Headgate", format!("http://{vip}/{path}")),
                ("nginx", format!("http://{listen}:{PEER_PORT}/{path}")),
                ("haproxy", format!("http://{listen}:{SECOND_PEER}/{path}")),
            ],
            _processes: processes,
            gateway,
        })
    }

    /// Medians of one cell.
    fn cell(&self, options: &GoodputOptions) -> Result<[f64; 3]> {
        let mut figures = [const { Vec::new() }; 3];
        for _ in 0..options.rounds {
            for (i, (name, url)) in self.urls.iter().enumerate() {
                let speed = self
                    .transfer(url, options)
                    .with_context(|| format!("through {name}"))?;
                figures[i].push(speed);
            }
        }
        Ok(figures.map(|mut figures: Vec<f64>| {
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        }))
    }

    /// Megabits a second of one transfer.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn transfer(&self, url: &str, options: &GoodputOptions) -> Result<f64> {
        let mut command = self.remote.namespace.command("curl");
        command.args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{time_total}",
            "-H",
            "Expect:",
        ]);
        if let Some(file) = &self.upload {
            command.arg("-T").arg(file);
        }
        command.arg(url);
        let finished = Process::spawn("curl", command)?.finish(PATIENCE)?;
        ensure!(finished.success(), "curl: {}", finished.stderr);
        let mut words = finished.stdout.split_ascii_whitespace();
        let status = words.next();
        ensure!(status == Some("200"), "status {status:?}");
        let seconds: f64 = words.next().context("curl gave no time")?.parse()?;
        Ok(options.bytes as f64 * 8.0 / 1e6 / seconds)
    }
}

fn nginx(bed: &Bed) -> Result<Process> {
    let (listen, pod) = (address::GATEWAY_V4, address::pod(1).0);
    let server = format!(
        "upstream pods {{ server {pod}:8080; keepalive 16; }}\n\
         server {{ listen {listen}:{PEER_PORT}; client_max_body_size 0; location / {{ proxy_pass http://pods;\n\
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

fn haproxy(bed: &Bed) -> Result<Process> {
    let (listen, pod) = (address::GATEWAY_V4, address::pod(1).0);
    let directory = bed.lab.directory().join("haproxy");
    fs::create_dir_all(&directory)?;
    let config = format!(
        "global\n  nbthread 1\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend web\n  bind {listen}:{SECOND_PEER}\n  default_backend pods\n\
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
