//! Interfaces: found, their steering programs attached, their queues bound.

use std::path::Path;

use headgate_xsk::{BusyPoll, Queue, QueueConfig, Steering, Umem, XdpMode};

use crate::mirror::Device;
use crate::options::{Mode, Options, ZeroCopy};
use crate::start::RunError;
use crate::steering::Rules;

/// Packets that the driver is polled for at a time.
const BUSY_POLL_BUDGET: u16 = 64;

/// A port with its program attached and its queues bound, before they go to their owners.
pub(super) struct OpenPort {
    pub(super) name: String,
    pub(super) mode: XdpMode,
    pub(super) queues: Vec<(u32, Queue)>,
    steering: Option<Steering>,
}

impl OpenPort {
    pub(super) fn take_steering(&mut self) -> Box<dyn Rules> {
        Box::new(self.steering.take().expect("the steering is taken once"))
    }
}

/// How many queues are in use. The driver's own number, which netlink tells, may be higher; `/sys` knows, if it shows
/// this network namespace.
pub(super) fn queues(device: &Device) -> u32 {
    let directory = Path::new("/sys/class/net").join(&device.name);
    let index = std::fs::read_to_string(directory.join("ifindex")).ok();
    if index.and_then(|text| text.trim().parse().ok()) != Some(device.link.index) {
        return device.rx_queues.max(1);
    }
    let entries = std::fs::read_dir(directory.join("queues"))
        .into_iter()
        .flatten()
        .flatten();
    let receiving = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-"))
        .count();
    u32::try_from(receiving).unwrap_or(u32::MAX).max(1)
}

/// Attaches and binds all of them.
pub(super) fn open(
    options: &Options,
    devices: &[Device],
    umem: &'static Umem,
) -> Result<Vec<OpenPort>, RunError> {
    devices
        .iter()
        .map(|device| open_one(options, device, umem))
        .collect()
}

fn open_one(options: &Options, device: &Device, umem: &'static Umem) -> Result<OpenPort, RunError> {
    let name = device.name.clone();
    let want = if options.mode == Mode::Generic {
        XdpMode::Generic
    } else {
        XdpMode::Native
    };
    let (mut steering, mode) = Steering::attach(&name, want)?;
    if options.mode == Mode::Native && mode != XdpMode::Native {
        let reason = steering.native_refusal().unwrap_or("no reason given").to_owned();
        return Err(RunError::NoNative { port: name, reason });
    }
    let mut bound = Vec::new();
    for number in 0..queues(device) {
        let config = QueueConfig {
            mode,
            zero_copy: match options.zero_copy {
                ZeroCopy::Try => headgate_xsk::ZeroCopy::Try,
                ZeroCopy::Require => headgate_xsk::ZeroCopy::Require,
                ZeroCopy::Off => headgate_xsk::ZeroCopy::Off,
            },
            busy_poll: options.busy_poll.map(|microseconds| BusyPoll {
                microseconds,
                budget: BUSY_POLL_BUDGET,
            }),
            ring_size: options.ring_size,
            ..QueueConfig::new(&name, number)
        };
        let queue = Queue::bind(umem, &config)?;
        steering.set_queue(number, &queue)?;
        bound.push((number, queue));
    }
    let (_, first) = &bound[0];
    let zero_copy = first
        .zero_copy_refusal()
        .map_or_else(|| first.zero_copy().to_string(), |why| format!("no: {why}"));
    tracing::info!(port = name, %mode, queues = bound.len(), zero_copy, "port open");
    Ok(OpenPort {
        name,
        mode,
        queues: bound,
        steering: Some(steering),
    })
}
