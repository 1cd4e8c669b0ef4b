//! A forwarder that does nothing but receive and transmit over the same crate as Headgate: what the bed allows.

use anyhow::{Context, Result, ensure};
use headgate_xsk::{Frame, Queue, QueueConfig, Steering, Umem, XdpMode};

/// Frames to and from a port in one turn.
const BATCH: usize = 64;

/// Options of the plain forwarder.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ForwarderOptions {
    /// Two interfaces; what comes in on one goes out on the other
    #[arg(long = "port", value_name = "INTERFACE", num_args = 1, required = true)]
    ports: Vec<String>,
    /// Take frames for this address only; the rest is the kernel's
    #[arg(long)]
    address: std::net::IpAddr,
    /// Run on this core
    #[arg(long)]
    core: usize,
    /// Write this destination MAC address into frames for the second port, as aa:bb:cc:dd:ee:ff
    #[arg(long, value_parser = parse_mac)]
    destination_mac: [u8; 6],
}

fn parse_mac(text: &str) -> Result<[u8; 6], String> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("`{text}` is not a MAC address: {error}"))?;
    bytes
        .try_into()
        .map_err(|_| format!("`{text}` does not have six bytes"))
}

/// Prints `ready` and forwards until killed.
///
/// # Errors
///
/// When a port cannot be bound.
pub(crate) fn run(options: &ForwarderOptions) -> Result<()> {
    ensure!(options.ports.len() == 2, "a forwarder has two ports");
    let core = core_affinity::CoreId { id: options.core };
    ensure!(
        core_affinity::set_for_current(core),
        "cannot run on core {}",
        options.core
    );
    let umem = Umem::mapped(4 * 2048 * 2, false)?;
    let mut cache = umem.cache();
    let mut sides = Vec::new();
    for port in &options.ports {
        let (mut steering, mode) = Steering::attach(port, XdpMode::Native)?;
        ensure!(mode == XdpMode::Native, "{port} has no native XDP");
        let queue =
            Queue::bind(umem, &QueueConfig::new(port, 0)).with_context(|| format!("binding {port}"))?;
        steering.set_queue(0, &queue)?;
        let all = headgate_xsk::AddressRule {
            all: true,
            ..Default::default()
        };
        steering.set_address(options.address, all)?;
        sides.push((queue, steering));
    }
    println_ready();
    let mut frames: Vec<Frame> = Vec::with_capacity(2 * BATCH);
    let mut leftover: Vec<Frame> = Vec::with_capacity(2 * BATCH);
    let (ingress, egress) = sides.split_at_mut(1);
    let (ingress, egress) = (&mut ingress[0].0, &mut egress[0].0);
    loop {
        frames.append(&mut leftover);
        if frames.len() <= BATCH {
            ingress.receive(&mut cache, &mut frames, BATCH);
        }
        if frames.is_empty() {
            wait(ingress)?;
            continue;
        }
        for frame in &mut frames {
            frame.data_mut()[..6].copy_from_slice(&options.destination_mac);
        }
        egress.transmit(&mut cache, &mut frames);
        leftover.append(&mut frames);
    }
}

#[allow(clippy::print_stdout, reason = "the parent waits for this line")]
fn println_ready() {
    println!("ready");
}

fn wait(queue: &Queue) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    poll(&mut [PollFd::new(queue, PollFlags::IN)], None)?;
    Ok(())
}
