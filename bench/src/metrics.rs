//! What a scrape of the metrics takes: from the packets of a Service, and from who scrapes.

use std::{
    fmt::Write as _,
    io::{Read, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headgate_lab::{PodSpec, address};

use crate::{
    bed::{Bed, CLIENT_CORE, GATEWAY_CORE},
    report::{Row, table},
};

/// Where the metrics are, in the gateway's namespace.
const METRICS: &str = "127.0.0.1:9710";
/// Of the echo Service.
const PORT: u16 = 7;
/// The host whose routes are scraped, of so many hosts.
const ROUTES_OF_A_HOST: usize = 10;
/// Longest answer of the echo.
const PATIENCE: Duration = Duration::from_secs(2);

/// Options of the measurement of scrapes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MetricsOptions {
    /// The program under measurement
    #[arg(long, default_value = "target/release/headgate")]
    headgate: PathBuf,
    /// Rounds of each, interleaved
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each round
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Routes, of which each is used once beforehand
    #[arg(long, default_value_t = 5_000)]
    routes: usize,
}

/// Measures, and prints tables.
///
/// # Errors
///
/// When the bed cannot be built or Headgate does not run.
pub(crate) fn run(options: &MetricsOptions) -> Result<()> {
    let bed = Bed::new(&options.headgate)?;
    let _pod = bed.lab.start_pod(&PodSpec::new("echo-1", 1))?;
    let cores = GATEWAY_CORE.to_string();
    let ingress = address::vip(0).0.to_string();
    let arguments = [
        "--workers",
        "1",
        "--cores",
        &cores,
        "--metrics",
        METRICS,
        "--ingress-address",
        &ingress,
    ];
    let gateway = bed.start_headgate(&manifests(options.routes), &arguments)?;
    use_each_route(&bed, options.routes)?;

    let mut alone = Row::new("no scrape");
    let mut scraped = Row::new("a scrape each second");
    let mut durations = Row::new("ms until the last byte of a scrape");
    let mut sizes = Row::new("KiB of a scrape");
    for _ in 0..options.rounds {
        alone.push(round(&bed, options, None)?);
        scraped.push(round(&bed, options, Some((&mut durations, &mut sizes)))?);
    }
    let title = format!(
        "99th percentile of the time of a UDP echo through a Service, one datagram after another, in microseconds; \
         one worker on core {GATEWAY_CORE}, client and scraper on core {CLIENT_CORE}; {} routes of HTTP, each used; \
         {} interleaved rounds of {} s",
        options.routes, options.rounds, options.seconds
    );
    table(&title, &[alone, scraped]);
    table("Each scrape of those rounds, OpenMetrics", &[durations]);
    table("Its size", &[sizes]);
    gateway.stop()
}

/// An echo Service, and Ingresses whose paths lead to a Service of each host.
fn manifests(routes: usize) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: echo, namespace: bench}}\n\
         spec:\n  selector: {{app: echo}}\n  externalIPs: [{vip}]\n  ports: [{{port: {PORT}, targetPort: 9000, protocol: UDP}}]\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: echo, namespace: bench, labels: {{app: echo}}}}\n\
         spec: {{containers: [{{name: echo, image: echo}}]}}\nstatus: {{podIP: {pod}, podIPs: [{{ip: {pod}}}]}}\n\
         ---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: headgate}}\n\
         spec: {{controller: headgate.dev/ingress}}\n",
        vip = address::vip(1).0,
        pod = address::pod(1).0,
    );
    for host in 0..routes.div_ceil(ROUTES_OF_A_HOST) {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: web-{host}, namespace: bench}}\n\
             spec:\n  selector: {{app: echo}}\n  ports: [{{port: 80, targetPort: 8080}}]\n\
             ---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web-{host}, namespace: bench}}\n\
             spec:\n  ingressClassName: headgate\n  rules:\n    - host: host-{host}.example.com\n      http:\n        paths:\n"
        );
        for path in 0..ROUTES_OF_A_HOST.min(routes - host * ROUTES_OF_A_HOST) {
            let _ = write!(
                text,
                "          - path: /path-{path}\n            pathType: Prefix\n            \
                 backend: {{service: {{name: web-{host}, port: {{number: 80}}}}}}\n"
            );
        }
    }
    text
}

/// One request for each, over one connection.
fn use_each_route(bed: &Bed, routes: usize) -> Result<()> {
    bed.lab.clients.enter(|| {
        let mut stream =
            TcpStream::connect((address::vip(0).0, 80)).context("a connection to the Ingress")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = std::io::BufReader::new(stream.try_clone()?);
        for route in 0..routes {
            let (host, path) = (route / ROUTES_OF_A_HOST, route % ROUTES_OF_A_HOST);
            let request = format!("GET /path-{path} HTTP/1.1\r\nHost: host-{host}.example.com\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            let status = answer(&mut reader).with_context(|| format!("route {route}"))?;
            ensure!(status.starts_with("HTTP/1.1 200"), "route {route}: {status}");
        }
        Ok(())
    })?
}

/// Reads a response with a `Content-Length`; gives its first line.
fn answer(reader: &mut impl std::io::BufRead) -> Result<String> {
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let field = line.trim_end();
        if field.is_empty() {
            break;
        }
        if let Some((name, value)) = field.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(first)
}

/// The 99th percentile of echoes in microseconds, while somebody scrapes who fills these rows, or nobody.
fn round(bed: &Bed, options: &MetricsOptions, scrapes: Option<(&mut Row, &mut Row)>) -> Result<f64> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraper = scrapes.map(|rows| {
            let over = &over;
            scope.spawn(move || bed.lab.gateway.enter(|| scrape_until(over, rows)))
        });
        let measured = bed
            .lab
            .clients
            .enter(|| echoes(Duration::from_secs(options.seconds)));
        over.store(true, Ordering::Relaxed);
        if let Some(scraper) = scraper {
            scraper
                .join()
                .map_err(|_| anyhow::anyhow!("the scraper panicked"))???;
        }
        measured?
    })
}

fn pin() -> Result<()> {
    let core = core_affinity::CoreId { id: CLIENT_CORE };
    ensure!(
        core_affinity::set_for_current(core),
        "cannot run on core {CLIENT_CORE}"
    );
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "microseconds far below 2^52")]
fn echoes(duration: Duration) -> Result<f64> {
    pin()?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((address::vip(1).0, PORT))?;
    let (mut times, mut answer) = (Vec::new(), [0; 1500]);
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let sent = Instant::now();
        socket.send(b"echo")?;
        let _ = socket.recv(&mut answer).context("an echo")?;
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    let at = times.len() * 99 / 100;
    let late = times.get(at).context("no echo at all")?;
    Ok(late.as_nanos() as f64 / 1e3)
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn scrape_until(over: &AtomicBool, (durations, sizes): (&mut Row, &mut Row)) -> Result<()> {
    pin()?;
    let mut next = Instant::now();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let size = scrape()?;
        durations.push(begun.elapsed().as_nanos() as f64 / 1e6);
        sizes.push(size as f64 / 1024.0);
        next += Duration::from_secs(1);
        while Instant::now() < next && !over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// Bytes of the answer.
fn scrape() -> Result<usize> {
    let address: SocketAddr = METRICS.parse()?;
    let mut stream = TcpStream::connect(address).context("a connection to the metrics")?;
    let request = "GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept: application/openmetrics-text\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(
        answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"# EOF\n"),
        "a scrape that is not whole"
    );
    Ok(answer.len())
}
