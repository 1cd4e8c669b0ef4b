//! How long a Service's datagrams take while many clients shake hands over TLS, on the worker's core or on another.

use std::{
    io,
    net::{SocketAddr, TcpStream, UdpSocket},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use headgate_lab::{address, tls::Authority};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::{
    bed::{Bed, CLIENT_CORE, GATEWAY_CORE},
    report::{Row, table},
};

/// From one datagram to the next, if the last has come back.
const PAUSE: Duration = Duration::from_micros(500);
/// After so long a datagram is lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// The pod's UDP port and the Service's.
const PORT: u16 = 9000;
const HOST: &str = "shop.example.com";
/// The pod and who sends to it come before those who shake hands, since all share a core: what is measured is the gateway.
const FIRST: i32 = -15;

/// Options of the measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HandshakeOptions {
    /// The program under measurement
    #[arg(long, default_value = "target/release/headgate")]
    headgate: PathBuf,
    /// Rounds of each, interleaved
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each round
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Handshakes a second, if they succeed as fast
    #[arg(long, default_value_t = 400)]
    rate: u32,
    /// Clients that shake hands, at the same time in the worst case
    #[arg(long, default_value_t = 16)]
    clients: u32,
    /// The core of the L7 stage
    #[arg(long, default_value_t = CLIENT_CORE)]
    stage_core: usize,
}

/// What one round showed.
struct Round {
    /// Microseconds.
    median: f64,
    p99: f64,
    longest: f64,
    /// A second.
    handshakes: f64,
}

/// Measures, and prints tables.
///
/// # Errors
///
/// When the bed cannot be built, Headgate does not run, or datagrams are lost.
pub(crate) fn run(options: &HandshakeOptions) -> Result<()> {
    let bed = Bed::new(&options.headgate)?;
    let authority = Authority::new("Headgate bench authority")?;
    let client = client(&authority)?;
    let quiet = HandshakeOptions {
        rate: 0,
        ..options.clone()
    };
    let names = [
        "no handshakes",
        "handshakes on the worker's core",
        "handshakes on another, --l7-cores",
    ];
    let mut medians = names.map(Row::new);
    let mut p99s = names.map(Row::new);
    let mut longest = names.map(Row::new);
    let mut handshakes = names.map(Row::new);
    for _ in 0..options.rounds {
        let rounds = [
            measure(&bed, &authority, &client, &quiet, false)?,
            measure(&bed, &authority, &client, options, false)?,
            measure(&bed, &authority, &client, options, true)?,
        ];
        for (i, round) in rounds.iter().enumerate() {
            medians[i].push(round.median);
            p99s[i].push(round.p99);
            longest[i].push(round.longest);
            handshakes[i].push(round.handshakes);
        }
    }
    let bed = format!(
        "A datagram to a Service and back every {} us; worker on core {GATEWAY_CORE}, stage on core {}, clients and pod on core \
         {CLIENT_CORE}; {} interleaved rounds of {} s",
        PAUSE.as_micros(),
        options.stage_core,
        options.rounds,
        options.seconds
    );
    table(&format!("Microseconds, 99 of 100 at most. {bed}"), &p99s);
    table("Microseconds, median, same rounds", &medians);
    table("Microseconds, the longest, same rounds", &longest);
    table("TLS 1.3 handshakes a second, same rounds", &handshakes[1..]);
    Ok(())
}

fn client(authority: &Authority) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(
        authority.certificate().as_bytes(),
    )?)?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn measure(
    bed: &Bed,
    authority: &Authority,
    client: &Arc<ClientConfig>,
    options: &HandshakeOptions,
    apart: bool,
) -> Result<Round> {
    let ingress = address::vip(0).0;
    let service = SocketAddr::new(address::vip(1).0, PORT);
    let (worker, stage) = (GATEWAY_CORE.to_string(), options.stage_core.to_string());
    let address = ingress.to_string();
    let mut flags = vec![
        "--ingress-address",
        &address,
        "--workers",
        "1",
        "--cores",
        &worker,
    ];
    if apart {
        flags.extend(["--l7-cores", &stage]);
    }
    let gateway = bed.start_headgate(&manifests(authority, service)?, &flags)?;
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    let to = SocketAddr::new(ingress, 443);
    let measured = thread::scope(|scope| {
        let _end = Stop(&stop);
        let pod = scope.spawn(|| bed.lab.pods.enter(|| echo(&stop)));
        let flood: Vec<_> = (0..options.clients)
            .filter(|_| options.rate > 0)
            .map(|_| {
                scope.spawn(|| {
                    bed.lab
                        .clients
                        .enter(|| shake_hands(to, client, options, &stop, &done))
                })
            })
            .collect();
        let measured = bed.lab.clients.enter(|| probe(service, options, &done))?;
        stop.store(true, Ordering::Relaxed);
        for thread in flood {
            thread.join().expect("clients do not panic")??;
        }
        pod.join().expect("the pod does not panic")??;
        measured
    })?;
    check(&gateway.status()?, apart, options.rate > 0)?;
    gateway.stop()?;
    Ok(measured)
}

/// Who waits for this sees it, however the round ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether the handshakes were where they should have been.
fn check(status: &serde_json::Value, apart: bool, flooded: bool) -> Result<()> {
    let handshakes = |list: &str| {
        let list = status[list].as_array().cloned().unwrap_or_default();
        let of = |thread: &serde_json::Value| thread.pointer("/l7/counters/handshakes")?.as_u64();
        list.iter().filter_map(of).sum::<u64>()
    };
    let (workers, stages) = (handshakes("workers"), handshakes("stages"));
    ensure!(
        (workers > 0) == (flooded && !apart) && (stages > 0) == (flooded && apart),
        "{workers} handshakes on workers and {stages} on stages"
    );
    Ok(())
}

fn manifests(authority: &Authority, service: SocketAddr) -> Result<String> {
    let pod = address::pod(1).0;
    let secret = authority.issue(&[HOST])?.secret("bench", "tls");
    Ok(format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: echo, namespace: bench}}\n\
         spec:\n  selector: {{app: echo}}\n  externalIPs: [{}]\n  ports: [{{name: echo, port: {PORT}, protocol: UDP}}, \
         {{name: web, port: 80, protocol: TCP}}]\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: echo, namespace: bench, labels: {{app: echo}}}}\n\
         spec: {{containers: [{{name: echo, image: echo}}]}}\n\
         status: {{podIP: {pod}, podIPs: [{{ip: {pod}}}]}}\n\
         ---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, namespace: bench}}\n\
         spec:\n  ingressClassName: headgate\n  tls: [{{hosts: [{HOST}], secretName: tls}}]\n  \
         defaultBackend: {{service: {{name: echo, port: {{name: web}}}}}}\n\
         ---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: headgate}}\n\
         spec: {{controller: headgate.dev/ingress}}\n---\n{secret}",
        service.ip()
    ))
}

/// Puts this thread on the clients' core, in front of others there.
fn place(nice: i32) -> io::Result<()> {
    let core = core_affinity::CoreId { id: CLIENT_CORE };
    if !core_affinity::set_for_current(core) {
        return Err(io::Error::other(format!("cannot run on core {CLIENT_CORE}")));
    }
    rustix::process::nice(nice)?;
    Ok(())
}

/// The pod: sends each datagram back.
fn echo(stop: &AtomicBool) -> io::Result<()> {
    place(FIRST)?;
    let socket = UdpSocket::bind((address::pod(1).0, PORT))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..length], from)?;
        }
    }
    Ok(())
}

/// Sends one datagram after the other and says how long they took.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts far below 2^52"
)]
fn probe(service: SocketAddr, options: &HandshakeOptions, done: &AtomicU64) -> Result<Round> {
    place(FIRST)?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(service)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // Flow table and neighbours; handshakes have begun by then.
    let warm = Instant::now();
    while warm.elapsed() < Duration::from_millis(500) {
        // The first ones may well be lost.
        let _ = ask(&socket, 0);
        thread::sleep(PAUSE);
    }
    let (begun, before) = (Instant::now(), done.load(Ordering::Relaxed));
    let mut took = Vec::new();
    let mut number = 0_u64;
    while begun.elapsed() < Duration::from_secs(options.seconds) {
        number += 1;
        took.push(ask(&socket, number).with_context(|| format!("datagram {number} is lost"))?);
        thread::sleep(PAUSE);
    }
    let handshakes = done.load(Ordering::Relaxed) - before;
    took.sort();
    let at = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        took[place.min(took.len() - 1)].as_secs_f64() * 1e6
    };
    Ok(Round {
        median: at(0.5),
        p99: at(0.99),
        longest: at(1.0),
        handshakes: handshakes as f64 / begun.elapsed().as_secs_f64(),
    })
}

/// How long a datagram takes there and back.
fn ask(socket: &UdpSocket, number: u64) -> io::Result<Duration> {
    let sent = Instant::now();
    socket.send(&number.to_be_bytes())?;
    let mut answer = [0; 8];
    loop {
        socket.recv(&mut answer)?;
        // One that was late belongs to an earlier question.
        if answer == number.to_be_bytes() {
            return Ok(sent.elapsed());
        }
    }
}

/// Opens connections, at this client's share of the rate, and takes leave of each when hands are shaken.
fn shake_hands(
    to: SocketAddr,
    config: &Arc<ClientConfig>,
    options: &HandshakeOptions,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Result<()> {
    place(0)?;
    let pause = Duration::from_secs(options.clients.into()) / options.rate;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = (due + pause).max(Instant::now());
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut connection = ClientConnection::new(Arc::clone(config), ServerName::try_from(HOST)?)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        // The gateway closes first, so that no port is kept from the next client by TIME-WAIT.
        connection.send_close_notify();
        connection.complete_io(&mut stream)?;
        io::copy(&mut stream, &mut io::sink())?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
