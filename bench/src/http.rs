//! Requests a second and processor time for each, on packets and on the kernel's sockets, next to haproxy and nginx on the
//! same bed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use headgate_lab::{Process, address, wait_until};

use crate::{
    bed::{Bed, CLIENT_CORE, GATEWAY_CORE, busy, cpu_of_tree},
    report::{Row, table},
};

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(20);
/// Where the peers listen: the gateway's own address on the clients' link.
pub(crate) const PEER_PORT: u16 = 8080;

/// Options of the HTTP measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HttpOptions {
    /// The program under measurement
    #[arg(long, default_value = "target/release/headgate")]
    headgate: PathBuf,
    /// Rounds of each, interleaved
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each round
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections, all kept alive
    #[arg(long, default_value_t = 50)]
    connections: u32,
}

/// What one round of one gateway showed.
struct Load {
    /// A second.
    requests: f64,
    /// Microseconds of the gateway's processes for each request.
    process: f64,
    /// Microseconds of its core for each request: the kernel's work for it included.
    core: f64,
}

/// Measures, and prints tables.
///
/// # Errors
///
/// When the bed cannot be built, or a gateway does not run or answers with errors.
pub(crate) fn run(options: &HttpOptions) -> Result<()> {
    let bed = Bed::new(&options.headgate)?;
    let _backend = backend(&bed)?;
    let names = ["headgate", "headgate --port kernel", "haproxy", "nginx"];
    let mut requests = names.map(Row::new);
    let mut process = names.map(Row::new);
    let mut core = names.map(Row::new);
    for _ in 0..options.rounds {
        let loads = [
            headgate(&bed, options)?,
            headgate_on_sockets(&bed, options)?,
            haproxy(&bed, options)?,
            nginx(&bed, options)?,
        ];
        for (i, load) in loads.iter().enumerate() {
            requests[i].push(load.requests);
            process[i].push(load.process);
            core[i].push(load.core);
        }
    }
    let bed = format!(
        "HTTP/1.1, {} connections kept alive on both sides, an answer of 100 bytes; gateway on core {GATEWAY_CORE}, wrk and \
         the pod's nginx on core {CLIENT_CORE}; {} interleaved rounds of {} s",
        options.connections, options.rounds, options.seconds
    );
    table(&format!("Requests a second. {bed}"), &requests);
    table(
        "Microseconds of the gateway's processes for each request, same rounds",
        &process,
    );
    table(
        "Microseconds of the gateway's core for each request, same rounds",
        &core,
    );
    Ok(())
}

/// The pod: nginx, answering from memory.
fn backend(bed: &Bed) -> Result<Process> {
    let pod = address::pod(1).0;
    let body = "x".repeat(100);
    let server =
        format!("server {{ listen {pod}:8080 backlog=4096; location / {{ return 200 \"{body}\"; }} }}");
    start_nginx(
        bed,
        &bed.lab.pods,
        "backend",
        &server,
        CLIENT_CORE,
        (pod.to_string(), 8080),
    )
}

pub(crate) fn start_nginx(
    bed: &Bed,
    namespace: &headgate_lab::Namespace,
    name: &str,
    server: &str,
    core: usize,
    listens: (String, u16),
) -> Result<Process> {
    let directory = bed.lab.directory().join(name);
    fs::create_dir_all(&directory)?;
    let config = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log; user root;\n\
         events {{ worker_connections 8192; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;\n\
         fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n{server} }}\n",
        dir = directory.display()
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = pinned(namespace, core, "nginx");
    command.arg("-c").arg(&file);
    start(namespace, name, command, &directory, listens)
}

/// A command in a namespace, on one core.
pub(crate) fn pinned(namespace: &headgate_lab::Namespace, core: usize, program: &str) -> Command {
    let mut command = namespace.command("taskset");
    command.args(["-c", &core.to_string(), program]);
    command
}

/// Starts a server and waits until it takes connections.
pub(crate) fn start(
    namespace: &headgate_lab::Namespace,
    name: &str,
    command: Command,
    directory: &Path,
    (address, port): (String, u16),
) -> Result<Process> {
    let log = directory.join("log");
    let process = Process::spawn_logged(name, command, &log)?;
    let port = port.to_string();
    let listens = || {
        let tried = namespace.run("nc", &["-z", "-w", "1", &address, &port], Duration::from_secs(2));
        tried.is_ok_and(|tried| tried.success())
    };
    if wait_until(name, START, listens).is_err() {
        bail!(
            "{name} does not listen:\n{}",
            fs::read_to_string(log).unwrap_or_default()
        );
    }
    Ok(process)
}

/// An Ingress in front of the pod.
pub(crate) fn manifests() -> String {
    let pod = address::pod(1).0;
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: bench}}\n\
         spec:\n  selector: {{app: web}}\n  ports: [{{port: 80, targetPort: 8080}}]\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: bench, labels: {{app: web}}}}\n\
         spec: {{containers: [{{name: web, image: web}}]}}\n\
         status: {{podIP: {pod}, podIPs: [{{ip: {pod}}}]}}\n\
         ---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, namespace: bench}}\n\
         spec:\n  ingressClassName: headgate\n  defaultBackend: {{service: {{name: web, port: {{number: 80}}}}}}\n\
         ---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: headgate}}\n\
         spec: {{controller: headgate.dev/ingress}}\n"
    )
}

fn headgate(bed: &Bed, options: &HttpOptions) -> Result<Load> {
    let vip = address::vip(0).0.to_string();
    let core = GATEWAY_CORE.to_string();
    let gateway = bed.start_headgate(
        &manifests(),
        &["--ingress-address", &vip, "--workers", "1", "--cores", &core],
    )?;
    let load = load(bed, gateway.pid(), &format!("http://{vip}/"), options)?;
    gateway.stop()?;
    Ok(load)
}

/// Where the peers listen, on the kernel's TCP as they are.
fn headgate_on_sockets(bed: &Bed, options: &HttpOptions) -> Result<Load> {
    let (listen, core) = (address::GATEWAY_V4.to_string(), GATEWAY_CORE.to_string());
    let arguments = [
        format!("--ingress-address={listen}"),
        format!("--http-port={PEER_PORT}"),
        "--https-port=0".to_owned(),
        "--workers=1".to_owned(),
        format!("--cores={core}"),
    ];
    let arguments = arguments.each_ref().map(String::as_str);
    let gateway = bed.start_headgate_on(&["kernel"], &manifests(), &arguments)?;
    let load = load(
        bed,
        gateway.pid(),
        &format!("http://{listen}:{PEER_PORT}/"),
        options,
    )?;
    gateway.stop()?;
    Ok(load)
}

fn haproxy(bed: &Bed, options: &HttpOptions) -> Result<Load> {
    let directory = bed.lab.directory().join("haproxy");
    fs::create_dir_all(&directory)?;
    let config = format!(
        "global\n  nbthread 1\n  maxconn 8192\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always\n\
         frontend web\n  bind {listen}:{PEER_PORT}\n  option forwardfor\n  default_backend pods\n\
         backend pods\n  server web {pod}:8080\n",
        listen = address::GATEWAY_V4,
        pod = address::pod(1).0
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, config)?;
    let mut command = pinned(&bed.lab.gateway, GATEWAY_CORE, "haproxy");
    command.args(["-db", "-f"]).arg(&file);
    peer(bed, "haproxy", command, &directory, options)
}

fn nginx(bed: &Bed, options: &HttpOptions) -> Result<Load> {
    let directory = bed.lab.directory().join("nginx");
    let server = format!(
        "upstream pods {{ server {pod}:8080; keepalive 256; keepalive_requests 1000000000; }}\n\
         server {{ listen {listen}:{PEER_PORT} backlog=4096; location / {{ proxy_pass http://pods; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header X-Forwarded-For $remote_addr; }} }}",
        listen = address::GATEWAY_V4,
        pod = address::pod(1).0
    );
    let listens = (address::GATEWAY_V4.to_string(), PEER_PORT);
    let process = start_nginx(bed, &bed.lab.gateway, "nginx", &server, GATEWAY_CORE, listens)?;
    measure_peer(bed, &process, options).with_context(|| format!("nginx in {}", directory.display()))
}

fn peer(bed: &Bed, name: &str, command: Command, directory: &Path, options: &HttpOptions) -> Result<Load> {
    let listens = (address::GATEWAY_V4.to_string(), PEER_PORT);
    let process = start(&bed.lab.gateway, name, command, directory, listens)?;
    measure_peer(bed, &process, options)
}

fn measure_peer(bed: &Bed, process: &Process, options: &HttpOptions) -> Result<Load> {
    let load = load(
        bed,
        process.id(),
        &format!("http://{}:{PEER_PORT}/", address::GATEWAY_V4),
        options,
    )?;
    process.signal(rustix::process::Signal::TERM)?;
    ensure!(process.wait_for_end(START)?, "the peer did not end on SIGTERM");
    Ok(load)
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn load(bed: &Bed, gateway: u32, url: &str, options: &HttpOptions) -> Result<Load> {
    wrk(bed, url, options, 1)?;
    let (process, core) = (cpu_of_tree(gateway)?, busy(GATEWAY_CORE)?);
    let requests = wrk(bed, url, options, options.seconds)?;
    let (process, core) = (cpu_of_tree(gateway)? - process, busy(GATEWAY_CORE)? - core);
    // Another server at the same port, left from before, would leave this one idle.
    ensure!(
        !process.is_zero(),
        "the gateway used no time: did another process answer?"
    );
    let each = |time: Duration| time.as_secs_f64() * 1e6 / requests as f64;
    Ok(Load {
        requests: requests as f64 / options.seconds as f64,
        process: each(process),
        core: each(core),
    })
}

/// Runs wrk and returns how many requests were answered.
fn wrk(bed: &Bed, url: &str, options: &HttpOptions, seconds: u64) -> Result<u64> {
    let mut command = pinned(&bed.lab.clients, CLIENT_CORE, "wrk");
    command.args([
        "-t1",
        &format!("-c{}", options.connections),
        &format!("-d{seconds}s"),
        url,
    ]);
    let finished = Process::spawn("wrk", command)?.finish(Duration::from_secs(seconds + 10))?;
    ensure!(finished.success(), "wrk failed: {}", finished.stderr);
    let errors = finished
        .stdout
        .lines()
        .any(|l| l.contains("Socket errors") || l.contains("Non-2xx"));
    ensure!(!errors, "wrk saw errors:\n{}", finished.stdout);
    let line = finished.stdout.lines().find(|l| l.contains(" requests in "));
    line.and_then(|l| l.split_ascii_whitespace().next()?.parse().ok())
        .with_context(|| format!("wrk said:\n{}", finished.stdout))
}
