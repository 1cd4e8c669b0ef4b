//! A plain forwarder: what arrives on queue q of one port leaves by queue q of the other, unread.
//!
//! ```text
//! l2fwd PORT PORT [--queues N] [--generic] [--busy] --address ADDRESS...
//! ```
//!
//! What Headgate costs is measured against this: the same sockets, frames and batches, and nothing else. Packets for the
//! addresses are forwarded, others go to the kernel; link-layer addresses stay as they are, so give the endpoints
//! each other's as permanent neighbours. `--busy` never waits, and so wants a core for each queue. Ends when its
//! standard input is closed, and then prints what each queue counted.
#![allow(clippy::print_stdout, reason = "that is where its counts go")]

use std::error::Error;
use std::io::Read;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use headgate_xsk::{AddressRule, BATCH, Frame, FrameCache, Queue, QueueConfig, Steering, Umem, XdpMode};
use rustix::event::{PollFd, PollFlags, Timespec};

struct Options {
    ports: [String; 2],
    queues: u32,
    mode: XdpMode,
    busy: bool,
    addresses: Vec<IpAddr>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = parse(std::env::args().skip(1))?;
    // For each queue of each port: its receive ring, its transmit ring, and as much again in between.
    let umem = Umem::mapped(options.queues * 2 * 4 * 2048, false)?;
    let (_left, lefts) = open(umem, &options.ports[0], &options)?;
    let (_right, rights) = open(umem, &options.ports[1], &options)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, pair) in lefts.into_iter().zip(rights).enumerate() {
            let (stop, busy) = (&stop, options.busy);
            scope.spawn(move || {
                pin(number);
                let queues = work(umem.cache(), pair, busy, stop);
                for queue in [&queues.0, &queues.1] {
                    println!("{queue:?}: {:?}", queue.statistics());
                }
            });
        }
        // Whatever comes: only the end of it matters.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut ports = Vec::new();
    let mut options = Options {
        ports: Default::default(),
        queues: 2,
        mode: XdpMode::Native,
        busy: false,
        addresses: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--queues" => options.queues = value()?.parse()?,
            "--address" => options.addresses.push(value()?.parse()?),
            "--generic" => options.mode = XdpMode::Generic,
            "--busy" => options.busy = true,
            _ => ports.push(argument),
        }
    }
    options.ports = ports
        .try_into()
        .map_err(|_| "l2fwd needs two ports: l2fwd PORT PORT --address ADDRESS...")?;
    Ok(options)
}

fn open(
    umem: &'static Umem,
    port: &str,
    options: &Options,
) -> Result<(Steering, Vec<Queue>), Box<dyn Error>> {
    let (mut steering, mode) = Steering::attach(port, options.mode)?;
    let mut queues = Vec::new();
    for number in 0..options.queues {
        let queue = Queue::bind(
            umem,
            &QueueConfig {
                mode,
                ..QueueConfig::new(port, number)
            },
        )?;
        steering.set_queue(number, &queue)?;
        queues.push(queue);
    }
    let rule = AddressRule {
        all: true,
        ..AddressRule::default()
    };
    for &address in &options.addresses {
        steering.set_address(address, rule)?;
    }
    println!(
        "{port}: {mode} mode, zero-copy {}",
        queues.iter().all(Queue::zero_copy)
    );
    Ok((steering, queues))
}

/// Forwards both ways until told to stop.
fn work(mut cache: FrameCache, pair: (Queue, Queue), busy: bool, stop: &AtomicBool) -> (Queue, Queue) {
    let (mut left, mut right) = pair;
    let mut to_right = Vec::with_capacity(BATCH);
    let mut to_left = Vec::with_capacity(BATCH);
    while !stop.load(Ordering::Relaxed) {
        let received = pass(&mut cache, &mut left, &mut right, &mut to_right)
            + pass(&mut cache, &mut right, &mut left, &mut to_left);
        let waiting = to_left.len() + to_right.len() > 0 || left.needs_attention() || right.needs_attention();
        if received == 0 && !waiting && !busy {
            wait(&left, &right);
        }
    }
    (left, right)
}

fn pass(cache: &mut FrameCache, from: &mut Queue, to: &mut Queue, frames: &mut Vec<Frame>) -> usize {
    let room = BATCH - frames.len();
    let received = from.receive(cache, frames, room);
    to.transmit(cache, frames);
    received
}

/// Waits for a packet on either queue, and looks up now and then.
fn wait(left: &Queue, right: &Queue) {
    let mut queues = [
        PollFd::new(left, PollFlags::IN),
        PollFd::new(right, PollFlags::IN),
    ];
    let soon = Timespec {
        tv_sec: 0,
        tv_nsec: 10_000_000,
    };
    // Interrupted or not: the caller looks at both queues next.
    let _ = rustix::event::poll(&mut queues, Some(&soon));
}

fn pin(worker: usize) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut set = rustix::thread::CpuSet::new();
    set.set(worker % cores);
    // Only speed is lost if the system does not let it choose.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}
