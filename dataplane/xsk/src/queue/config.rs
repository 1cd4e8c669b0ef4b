//! What a queue is asked for, and why it was refused.

use std::io;

use crate::umem::{FRAME_CAPACITY, KERNEL_RING_SIZE};

/// How the XDP program runs, and with it how packets reach the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver, before the kernel makes a packet of its own of it.
    #[default]
    Native,
    /// In the kernel's receive path, after that: works with every driver, several times slower.
    Generic,
}

impl std::fmt::Display for XdpMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// Whether the driver shall read and write packet memory itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroCopy {
    /// If it can; [`super::Queue::zero_copy_refusal`] tells why not.
    #[default]
    Try,
    /// It must, or binding fails.
    Require,
    /// Not even if it could.
    Off,
}

/// Polling of the device from the worker's own system calls (`SO_PREFER_BUSY_POLL`).
///
/// Worth having on hardware with `napi_defer_hard_irqs` and `gro_flush_timeout` set; harmful on veth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// How long a blocking call polls, in microseconds (`SO_BUSY_POLL`).
    pub microseconds: u32,
    /// Packets at most for each call (`SO_BUSY_POLL_BUDGET`).
    pub budget: u16,
}

/// One queue of one interface.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Its name, in the network namespace of the calling thread.
    pub interface: String,
    /// The queue, counted from 0.
    pub queue: u32,
    /// How the steering program runs on the interface. Generic mode rules zero-copy out.
    pub mode: XdpMode,
    /// Whether to ask for zero-copy.
    pub zero_copy: ZeroCopy,
    /// Whether to poll the device.
    pub busy_poll: Option<BusyPoll>,
    /// Entries of the receive and the transmit ring, and frames kept ready for the kernel: a power of two,
    /// `64 <= ring_size <= 2048`.
    pub ring_size: u32,
}

impl QueueConfig {
    /// The usual: native mode, zero-copy if possible, rings of 2048, no busy polling.
    #[must_use]
    pub fn new(interface: &str, queue: u32) -> Self {
        Self {
            interface: interface.to_owned(),
            queue,
            mode: XdpMode::Native,
            zero_copy: ZeroCopy::Try,
            busy_poll: None,
            ring_size: KERNEL_RING_SIZE,
        }
    }
}

/// Ethernet's header and two VLAN tags.
const LINK_HEADER: usize = 14 + 2 * 4;

/// The largest MTU whose packets fit a frame.
pub(super) const MAX_MTU: u32 = (FRAME_CAPACITY - LINK_HEADER) as u32;

/// Why a queue could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// No such interface.
    #[error(
        "there is no network interface {interface:?} here: `ip link` lists those of this network namespace"
    )]
    NoInterface {
        /// The name asked for.
        interface: String,
    },
    /// The interface cannot be asked about.
    #[error("cannot ask about interface {interface}")]
    Interface {
        /// Its name.
        interface: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Packets may be longer than a frame.
    #[error("{interface} has MTU {mtu}, above {MAX_MTU}: run `ip link set dev {interface} mtu 1500`")]
    MtuTooLarge {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
    },
    /// Not a size that rings can have.
    #[error("rings of {ring_size} entries: the size is a power of two from 64 to {KERNEL_RING_SIZE}")]
    RingSize {
        /// The size asked for.
        ring_size: u32,
    },
    /// The packet memory is not known to the kernel.
    #[error("this packet memory is on the heap: sockets need Umem::mapped")]
    HeapMemory,
    /// Another socket has the queue.
    #[error(
        "queue {queue} of {interface} is in use by another AF_XDP socket: stop that program \
         (`ss --xdp -p` lists such sockets) or choose another queue"
    )]
    QueueBusy {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
    },
    /// The interface has fewer queues, or its driver refuses this use of them.
    #[error(
        "{interface} has no queue {queue} to bind: `ethtool -l {interface}` shows how many it has, \
         `ethtool -L` changes that"
    )]
    NoQueue {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The interface is down.
    #[error("{interface} is down: run `ip link set dev {interface} up`")]
    Down {
        /// The interface.
        interface: String,
    },
    /// A capability is missing.
    #[error(
        "not allowed to bind an AF_XDP socket to {interface}: run as root, or with CAP_NET_RAW and CAP_NET_ADMIN"
    )]
    Privilege {
        /// The interface.
        interface: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Zero-copy was required and is not to be had.
    #[error("{interface} has no zero-copy ({reason}): do not require it")]
    ZeroCopyRefused {
        /// The interface.
        interface: String,
        /// Why.
        reason: String,
    },
    /// Ports that share memory are all zero-copy or none.
    #[error(
        "{interface} has no zero-copy, but a port that shares its packet memory uses it: turn zero-copy off for all ports"
    )]
    MixedZeroCopy {
        /// The interface without.
        interface: String,
    },
    /// A socket option was refused.
    #[error("cannot set {option} on the socket of queue {queue} of {interface}")]
    Option {
        /// The option.
        option: &'static str,
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot bind queue {queue} of {interface}")]
    Kernel {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
