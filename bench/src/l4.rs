//! Packets a second through rx, pipeline and tx, next to a forwarder that only receives and transmits.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use headgate_lab::{Process, address};

use crate::{
    bed::{Bed, CLIENT_CORE, GATEWAY_CORE},
    report::{Row, table},
    traffic::{Generator, Sink, Stream},
};

/// Frames of one run of the generator, a few tenths of a second: the kernel needs tens of milliseconds to begin and end a run.
const BURST: u32 = 1 << 20;
/// Before each round, to fill flow table and neighbours.
const WARM_UP: Duration = Duration::from_millis(300);
/// A UDP port without a server: the sink takes what arrives.
const PORT: u16 = 5000;

/// Options of the L4 measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct L4Options {
    /// The program under measurement
    #[arg(long, default_value = "target/release/headgate")]
    headgate: PathBuf,
    /// Rounds of each, interleaved
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each round
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// UDP flows
    #[arg(long, default_value_t = 1024)]
    flows: u16,
}

/// Measures, and prints a table.
///
/// # Errors
///
/// When the bed cannot be built or Headgate does not run.
pub(crate) fn run(options: &L4Options) -> Result<()> {
    let bed = Bed::new(&options.headgate)?;
    let sink = Sink::attach(&bed.lab.pods, "p0")?;
    let mut forwarder = Row::new("plain forwarder, same crate");
    let mut headgate = Row::new("headgate, UDP Service");
    for _ in 0..options.rounds {
        forwarder.push(plain(&bed, &sink, options)?);
        headgate.push(service(&bed, &sink, options)?);
    }
    let title = format!(
        "60-byte UDP frames, {} flows, one worker on core {GATEWAY_CORE}, generator on core {CLIENT_CORE}; \
         {} interleaved rounds of {} s; thousand packets a second that arrived",
        options.flows, options.rounds, options.seconds
    );
    table(&title, &[forwarder, headgate]);
    Ok(())
}

fn vip() -> Ipv4Addr {
    match address::vip(0).0 {
        IpAddr::V4(vip) => vip,
        IpAddr::V6(_) => unreachable!("the first of the pair is IPv4"),
    }
}

/// Thousand packets a second through a plain forwarder.
fn plain(bed: &Bed, sink: &Sink<'_>, options: &L4Options) -> Result<f64> {
    let mut command = bed.lab.gateway.command_with_sysfs(std::env::current_exe()?);
    command.args([
        "forward",
        "--port",
        "g0",
        "--port",
        "g1",
        "--core",
        &GATEWAY_CORE.to_string(),
    ]);
    command.args(["--address", &vip().to_string()]);
    command.args(["--destination-mac", &bed.lab.pods.mac("p0")?]);
    let _process = Process::spawn_until("forwarder", command, "ready", Duration::from_secs(10))?;
    rate(bed, sink, options)
}

/// Thousand packets a second through a Service with one pod.
fn service(bed: &Bed, sink: &Sink<'_>, options: &L4Options) -> Result<f64> {
    let manifests = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: sink, namespace: bench}}\n\
         spec:\n  selector: {{app: sink}}\n  externalIPs: [{vip}]\n  ports: [{{port: {PORT}, protocol: UDP}}]\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: sink, namespace: bench, labels: {{app: sink}}}}\n\
         spec: {{containers: [{{name: sink, image: sink}}]}}\n\
         status: {{podIP: {pod}, podIPs: [{{ip: {pod}}}]}}\n",
        vip = vip(),
        pod = address::pod(1).0,
    );
    let gateway = bed.start_headgate(
        &manifests,
        &["--workers", "1", "--cores", &GATEWAY_CORE.to_string()],
    )?;
    let rate = rate(bed, sink, options)?;
    gateway.stop()?;
    Ok(rate)
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn rate(bed: &Bed, sink: &Sink<'_>, options: &L4Options) -> Result<f64> {
    let mac = bed.lab.gateway.mac("g0")?;
    let bytes: Vec<u8> = mac
        .split(':')
        .map(|b| u8::from_str_radix(b, 16))
        .collect::<Result<_, _>>()?;
    let stream = Stream {
        destination_mac: bytes
            .try_into()
            .map_err(|_| anyhow::anyhow!("a strange MAC address: {mac}"))?,
        source: Ipv4Addr::new(192, 0, 2, 10),
        destination: (vip(), PORT),
        flows: options.flows,
    };
    let measured = bed.lab.clients.enter(|| -> Result<f64> {
        let core = core_affinity::CoreId { id: CLIENT_CORE };
        anyhow::ensure!(
            core_affinity::set_for_current(core),
            "cannot run on core {CLIENT_CORE}"
        );
        let index = interface_index("c0")?;
        let mut generator = Generator::new(index, stream)?;
        generator.send(WARM_UP, BURST)?;
        let (start, before) = (Instant::now(), sink.frames()?);
        generator.send(Duration::from_secs(options.seconds), BURST)?;
        let (elapsed, after) = (start.elapsed(), sink.frames()?);
        Ok((after - before) as f64 / elapsed.as_secs_f64() / 1e3)
    })?;
    measured.context("measuring")
}

/// The index of an interface in this thread's network namespace; `/sys` shows the process's.
fn interface_index(name: &str) -> Result<u32> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    Ok(rustix::net::netdevice::name_to_index(&socket, name)?)
}
