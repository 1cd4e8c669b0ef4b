//! A large file over TLS, down and up, through Headgate and through nginx and haproxy, with no delay.
//!
//! Headgate twice: on packets, and on the kernel's sockets, where only TLS and HTTP differ from the others'.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use headgate_lab::{Process, address, tls::Authority};

use crate::{
    bed::{Bed, CLIENT_CORE, GATEWAY_CORE, Gateway, busy},
    http::{PEER_PORT, manifests, pinned, start, start_nginx},
    report::{Row, table},
};

const HOST: &str = "files.example.com";
/// Where haproxy listens, beside nginx, and Headgate on the kernel's sockets; plain HTTP is ten further up.
const SECOND_PEER: u16 = PEER_PORT + 1;
const THIRD_PEER: u16 = PEER_PORT + 2;
const PLAIN: u16 = 10;
/// How long one transfer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Options of the measurement of large transfers.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TransferOptions {
    /// The program under measurement
    #[arg(long, default_value = "target/release/headgate")]
    headgate: PathBuf,
    /// Rounds of each, interleaved
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Bytes of each transfer
    #[arg(long, default_value_t = 1_000_000_000)]
    bytes: u64,
    /// Without TLS
    #[arg(long)]
    plain: bool,
}

/// Who is measured.
#[derive(Clone, Copy)]
enum Contender {
    Packets,
    Sockets,
    Peer(u16),
}

impl Contender {
    /// Where it listens.
    fn address(self, plain: bool) -> (IpAddr, u16) {
        let beside = if plain { PLAIN } else { 0 };
        match self {
            Self::Packets => (address::vip(0).0, if plain { 80 } else { 443 }),
            Self::Sockets => (address::GATEWAY_V4.into(), THIRD_PEER + beside),
            Self::Peer(port) => (address::GATEWAY_V4.into(), port + beside),
        }
    }

    /// Starts it, if it does not run all the time.
    fn start<'b>(self, bed: &'b Bed, manifests: &str) -> Result<Option<Gateway<'b>>> {
        let listen = self.address(false).0;
        let mut arguments = vec![
            format!("--ingress-address={listen}"),
            "--workers=1".to_owned(),
            format!("--cores={GATEWAY_CORE}"),
        ];
        match self {
            Self::Peer(_) => return Ok(None),
            Self::Packets => {}
            Self::Sockets => arguments.extend([
                format!("--https-port={THIRD_PEER}"),
                format!("--http-port={}", THIRD_PEER + PLAIN),
            ]),
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match self {
            Self::Sockets => bed.start_headgate_on(&["kernel"], manifests, &arguments),
            _ => bed.start_headgate(manifests, &arguments),
        }
        .map(Some)
    }
}

/// Measures, and prints tables.
///
/// # Errors
///
/// When the bed cannot be built, or a transfer fails.
pub(crate) fn run(options: &TransferOptions) -> Result<()> {
    let bed = Bed::new(&options.headgate)?;
    let file = bed.lab.directory().join("files/file");
    fs::create_dir_all(file.with_file_name(""))?;
    // Zeros that no disk is asked for.
    fs::File::create(&file)?.set_len(options.bytes)?;
    let issued = Authority::new("bench")?.issue(&[HOST])?;
    let pem = bed.lab.directory().join("both.pem");
    fs::write(&pem, format!("{}{}", issued.chain, issued.key))?;
    let _pods = pods(&bed, &file)?;
    serve_uploads(&bed)?;
    let (nginx, haproxy) = (nginx(&bed, &pem)?, haproxy(&bed, &pem)?);
    let manifests = with_tls(&issued.secret("bench", "tls"));
    let contenders = [
        ("headgate", Contender::Packets),
        ("headgate --port kernel", Contender::Sockets),
        ("nginx", Contender::Peer(PEER_PORT)),
        ("haproxy", Contender::Peer(SECOND_PEER)),
    ];
    for upload in [None, Some(file.as_path())] {
        let mut rows = contenders.map(|(name, _)| (Row::new(name), Row::new(name)));
        for _ in 0..options.rounds {
            for ((name, contender), (speeds, costs)) in contenders.iter().zip(&mut rows) {
                let gateway = contender.start(&bed, &manifests)?;
                let to = contender.address(options.plain);
                let before = busy(GATEWAY_CORE)?;
                speeds.push(transfer(&bed, to, upload, options).context(*name)?);
                costs.push((busy(GATEWAY_CORE)? - before).as_secs_f64() * 1e3);
                gateway.map_or(Ok(()), Gateway::stop)?;
            }
        }
        show(options, upload.is_some(), rows);
    }
    let _ = (nginx, haproxy);
    Ok(())
}

fn show(options: &TransferOptions, upload: bool, rows: [(Row, Row); 4]) {
    let way = if upload { "uploads" } else { "downloads" };
    let over = if options.plain { "plain HTTP" } else { "TLS" };
    let [speeds, costs] = unzip(rows);
    let title = format!(
        "Mbit/s of {way} of {} bytes by curl over {over}; gateway on core {GATEWAY_CORE}, curl and the pod's nginx on core \
         {CLIENT_CORE}; {} interleaved rounds",
        options.bytes, options.rounds
    );
    table(&title, &speeds);
    table("Milliseconds that the gateway's core was busy meanwhile", &costs);
}

fn unzip(rows: [(Row, Row); 4]) -> [[Row; 4]; 2] {
    let [(a, w), (b, x), (c, y), (d, z)] = rows;
    [[a, b, c, d], [w, x, y, z]]
}

/// Megabits a second of one transfer.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn transfer(
    bed: &Bed,
    (address, port): (IpAddr, u16),
    upload: Option<&Path>,
    options: &TransferOptions,
) -> Result<f64> {
    let bytes = options.bytes;
    let mut command = pinned(&bed.lab.clients, CLIENT_CORE, "curl");
    command.args(["-sSk", "--http1.1", "-o", "/dev/null", "-H", "Expect:"]);
    command.args(["-w", "%{http_code} %{size_upload} %{size_download} %{time_total}"]);
    command.args(["--connect-to", &format!("::{address}:{port}")]);
    if let Some(file) = upload {
        command.arg("-T").arg(file);
    }
    let path = if upload.is_some() { "up" } else { "file" };
    let scheme = if options.plain { "http" } else { "https" };
    command.arg(format!("{scheme}://{HOST}/{path}"));
    let finished = Process::spawn("curl", command)?.finish(PATIENCE)?;
    ensure!(finished.success(), "curl: {}", finished.stderr);
    let mut words = finished.stdout.split_ascii_whitespace();
    let came = [words.next(), words.next(), words.next()];
    let [up, down] = if upload.is_some() { [bytes, 0] } else { [0, bytes] }.map(|size| size.to_string());
    ensure!(came == [Some("200"), Some(&up), Some(&down)], "{came:?}");
    let seconds: f64 = words.next().context("curl gave no time")?.parse()?;
    Ok(bytes as f64 * 8.0 / 1e6 / seconds)
}

fn with_tls(secret: &str) -> String {
    let more = format!(
        "  tls: [{{hosts: [{HOST}], secretName: tls}}]\n  rules: [{{http: {{paths: [{{path: /up, pathType: Exact, \
         backend: {{service: {{name: up, port: {{number: 80}}}}}}}}]}}}}]\n  defaultBackend:"
    );
    format!(
        "{}---\napiVersion: v1\nkind: Service\nmetadata: {{name: up, namespace: bench}}\n\
         spec:\n  selector: {{app: web}}\n  ports: [{{port: 80, targetPort: {SINK}}}]\n---\n{secret}",
        manifests().replace("  defaultBackend:", &more)
    )
}

/// Where the pod takes uploads, behind its nginx' back.
const SINK: u16 = 8082;

/// Reads whole uploads and throws them away, on the clients' core, until this program ends.
fn serve_uploads(bed: &Bed) -> Result<()> {
    let bind = || TcpListener::bind((address::pod(1).0, SINK));
    let listener = bed.lab.pods.enter(bind)??;
    thread::spawn(move || {
        core_affinity::set_for_current(core_affinity::CoreId { id: CLIENT_CORE });
        while let Ok((stream, _)) = listener.accept() {
            // Whoever leaves has seen what went wrong.
            thread::spawn(move || swallow(&stream));
        }
    });
    Ok(())
}

/// Answers each request once all of it is read.
fn swallow(stream: &TcpStream) -> io::Result<()> {
    let mut from = BufReader::with_capacity(1 << 18, stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if from.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        io::copy(&mut from.by_ref().take(length), &mut io::sink())?;
        let mut to = stream;
        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

/// The pod: gives a file.
fn pods(bed: &Bed, file: &Path) -> Result<Process> {
    let pod = address::pod(1).0;
    let server = format!(
        "sendfile on; server {{ listen {pod}:8080; root {}; }}",
        file.with_file_name("").display()
    );
    let listens = (pod.to_string(), 8080);
    start_nginx(bed, &bed.lab.pods, "backend", &server, CLIENT_CORE, listens)
}

fn nginx(bed: &Bed, pem: &Path) -> Result<Process> {
    let (listen, pod, pem) = (address::GATEWAY_V4, address::pod(1).0, pem.display());
    let plain = PEER_PORT + PLAIN;
    let server = format!(
        "upstream pods {{ server {pod}:8080; keepalive 16; }}\n\
         server {{ listen {listen}:{PEER_PORT} ssl; listen {listen}:{plain}; ssl_certificate {pem}; ssl_certificate_key {pem};\n\
         client_max_body_size 0; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_request_buffering off;\n\
         proxy_max_temp_file_size 0; location / {{ proxy_pass http://pods; }}\n\
         location /up {{ proxy_pass http://{pod}:{SINK}; }} }}"
    );
    let listens = (listen.to_string(), PEER_PORT);
    start_nginx(bed, &bed.lab.gateway, "nginx", &server, GATEWAY_CORE, listens)
}

fn haproxy(bed: &Bed, pem: &Path) -> Result<Process> {
    let (listen, pod) = (address::GATEWAY_V4, address::pod(1).0);
    let directory = bed.lab.directory().join("haproxy");
    fs::create_dir_all(&directory)?;
    let config = format!(
        "global\n  nbthread 1\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend web\n  bind {listen}:{SECOND_PEER} ssl crt {}\n  bind {listen}:{}\n  use_backend up if {{ path /up }}\n  \
         default_backend pods\n\
         backend up\n  server up {pod}:{SINK}\nbackend pods\n  server web {pod}:8080\n",
        pem.display(),
        SECOND_PEER + PLAIN
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, config)?;
    let mut command = pinned(&bed.lab.gateway, GATEWAY_CORE, "haproxy");
    command.args(["-db", "-f"]).arg(&file);
    let listens = (listen.to_string(), SECOND_PEER);
    start(&bed.lab.gateway, "haproxy", command, &directory, listens)
}
