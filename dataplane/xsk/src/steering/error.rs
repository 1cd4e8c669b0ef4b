//! Why steering failed.

#[cfg(target_os = "linux")]
use std::io;

#[cfg(target_os = "linux")]
use aya::{EbpfError, maps::MapError, programs::ProgramError};

#[cfg(target_os = "linux")]
use crate::queue::XdpMode;

/// Why the steering program could not be loaded or attached.
#[cfg(target_os = "linux")]
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
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
    /// A capability is missing.
    #[error("not allowed to load XDP programs: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")]
    Privilege(#[source] io::Error),
    /// The kernel did not take the program or its maps.
    #[error(
        "the kernel refused the steering program: it needs Linux 5.15 or newer with CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS"
    )]
    Load(#[source] Box<EbpfError>),
    /// The object does not have what its ABI says.
    #[error("the steering program has no {0}: rebuild it with scripts/build-xdp")]
    Object(&'static str),
    /// Another program is attached.
    #[error(
        "{interface} has another XDP program: `ip link show dev {interface}` shows it, \
         `ip link set dev {interface} xdp off` takes it off (or stop the program that owns it)"
    )]
    Busy {
        /// The interface.
        interface: String,
    },
    /// The interface takes no XDP program in this mode, nor in generic mode.
    #[error("cannot attach to {interface} in {mode} mode")]
    Refused {
        /// The interface.
        interface: String,
        /// The mode that was tried last.
        mode: XdpMode,
        /// What the kernel said.
        #[source]
        source: Box<ProgramError>,
    },
}

/// Why a change of the rules failed, or counters could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SteeringError {
    /// There is no room for another entry.
    #[error("steering has no room for more than {limit} {what}")]
    Full {
        /// Entries at most.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// A queue that the map of sockets has no place for.
    #[error("queue {queue}: steering knows queues 0 to {}", headgate_abi::MAX_QUEUES - 1)]
    NoSuchQueue {
        /// The queue.
        queue: u32,
    },
    /// A range that ends before it begins.
    #[error("source ports {first} to {last}: the first is above the last")]
    PortRange {
        /// Its first port.
        first: u16,
        /// Its last port.
        last: u16,
    },
    /// The kernel refused access to a map.
    #[cfg(target_os = "linux")]
    #[error("cannot access the steering program's map of {what}")]
    Map {
        /// What the map is of.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: MapError,
    },
    /// The program could not be run on a test packet.
    #[cfg(target_os = "linux")]
    #[error("cannot run the steering program on a packet")]
    Run(#[source] Box<ProgramError>),
}

/// The system call's error behind one of aya's, if there is one.
#[cfg(target_os = "linux")]
pub(super) fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(code) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(code);
        }
        next = error.source();
    }
    None
}
