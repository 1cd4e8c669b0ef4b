//! Why the dataplane does not run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
use headgate_xsk::{AttachError, BindError, SteeringError, UmemError, tap::TapError};

use crate::control::ControlError;
use crate::host::{RunDirError, SourcePortsError};
use crate::telemetry::flow_log::FlowLogError;
#[cfg(target_os = "linux")]
use crate::{host::MissingPrivileges, mirror::MirrorError};
use headgate_net::flow::InvalidSourcePorts;

/// Each worker keeps frames and rings for each port; nodes have two or four.
pub(super) const MOST_PORTS: usize = 32;

/// The messages say what to do; where one only names what failed, that of its [`source`](std::error::Error::source)
/// does.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Not root.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Privileges(#[from] MissingPrivileges),
    /// Packets where there is no AF_XDP.
    #[cfg(not(target_os = "linux"))]
    #[error(
        "--port {} needs Linux: packets of interfaces come by AF_XDP, which no other system has. --port kernel serves \
         Ingresses on this system's sockets", .0.join(" --port ")
    )]
    NeedsLinux(Vec<String>),
    /// The run directory is taken or unusable.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// No netlink.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// A port that is not there.
    #[error("there is no interface \"{name}\"; there are {}", .have.join(", "))]
    NoInterface {
        /// `--port`.
        name: String,
        /// The interfaces of this network namespace.
        have: Vec<String>,
    },
    /// A word for a port that may mean several.
    #[error("--port \"{word}\" may mean {}: say which", .have.join(", "))]
    Ambiguous {
        /// `--port`.
        word: String,
        /// What it may mean.
        have: Vec<String>,
    },
    /// A port by a route that is not there.
    #[error(
        "--port {word}: there is no default route of {families} (`ip route`); it may come later, or name an interface"
    )]
    NoDefaultRoute {
        /// `--port`.
        word: String,
        /// Where it was looked for.
        families: &'static str,
    },
    /// A port that is given twice.
    #[error("interface \"{0}\" is given twice with --port")]
    Twice(String),
    /// Interfaces and the kernel's sockets.
    #[error(
        "--port kernel stands for the kernel's sockets and cannot be mixed with interfaces ({}): give either it alone, or \
         interfaces alone", .0.join(", ")
    )]
    Mixed(Vec<String>),
    /// A part that is longer than the whole.
    #[error(
        "--drain-delay {delay:?} is a part of --drain-time, which is {time:?}: give at least as much there"
    )]
    Drain {
        /// `--drain-delay`.
        delay: std::time::Duration,
        /// `--drain-time`.
        time: std::time::Duration,
    },
    /// More ports than there are numbers for.
    #[error("{0} interfaces with --port; {max} is the most", max = MOST_PORTS)]
    TooMany(usize),
    /// A port that speaks no Ethernet.
    #[error("interface \"{0}\" is no Ethernet interface; AF_XDP needs one")]
    NotEthernet(String),
    /// More workers than queues.
    #[error(
        "{wanted} workers, but interface \"{port}\" has {queues} queues, and each worker needs one of its own: use \
         --workers {queues}, or give it more by `ethtool -L {port} combined {wanted}`"
    )]
    Queues {
        /// `--workers`.
        wanted: usize,
        /// The interface with the fewest queues.
        port: String,
        /// How many.
        queues: u32,
    },
    /// Fewer cores than workers.
    #[error("{workers} workers, but --cores names {cores}: name as many, or use --workers {cores}")]
    Cores {
        /// How many workers.
        workers: usize,
        /// How many cores.
        cores: usize,
    },
    /// A core for a stage that is not there.
    #[error("--l7-cores names core {core}, which is not there or not for this process; there are {usable}")]
    NoCore {
        /// Of `--l7-cores`.
        core: usize,
        /// What there is, as a list.
        usable: String,
    },
    /// A core for a worker and a stage.
    #[error(
        "core {0} is a worker's by --cores and in --l7-cores, too; a worker whose core it does not have to itself delays \
         every packet: take it out of one of them"
    )]
    SharedCore(usize),
    /// `--l7-cores` where there are no packets.
    #[error(
        "--l7-cores is for packets: with --port kernel, all that workers do is HTTP; say by --cores where they do it"
    )]
    StagesOnSockets,
    /// More stages than there are numbers for.
    #[error("--l7-cores names {wanted} cores; {most} is the most")]
    Stages {
        /// In `--l7-cores`.
        wanted: usize,
        /// At most.
        most: usize,
    },
    /// Fewer frames than the rings hold.
    #[error("--frames {wanted} is too few: the rings of {queues} queues need {need}")]
    Frames {
        /// `--frames`.
        wanted: u32,
        /// Of all ports.
        queues: u32,
        /// At least.
        need: u32,
    },
    /// Source ports that cannot be shared out.
    #[error(transparent)]
    SourcePorts(#[from] InvalidSourcePorts),
    /// Source ports that the kernel hands out.
    #[error(transparent)]
    Reserved(#[from] SourcePortsError),
    /// No packet memory.
    #[cfg(target_os = "linux")]
    #[error("packet memory")]
    Umem(#[from] UmemError),
    /// No steering program.
    #[cfg(target_os = "linux")]
    #[error("steering program")]
    Attach(#[from] AttachError),
    /// `--mode native` on a driver without XDP.
    #[error(
        "interface \"{port}\" has no native XDP ({reason}); use --mode auto or generic, which is several times slower"
    )]
    NoNative {
        /// The interface.
        port: String,
        /// What the kernel said.
        reason: String,
    },
    /// No socket.
    #[cfg(target_os = "linux")]
    #[error("AF_XDP socket")]
    Bind(#[from] BindError),
    /// A steering map that refuses.
    #[cfg(target_os = "linux")]
    #[error("steering program")]
    Steering(#[from] SteeringError),
    /// No TAP device.
    #[cfg(target_os = "linux")]
    #[error("TAP device")]
    Tap(#[from] TapError),
    /// No control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// No status socket.
    #[error("status socket {}: {error}", path.display())]
    Status {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No metrics.
    #[error("metrics at {address}: {error}; give --metrics an address of this host and a port that is free")]
    Metrics {
        /// `--metrics`.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// No flow log.
    #[error(transparent)]
    FlowLog(#[from] FlowLogError),
    /// The system has no thread, descriptor, or randomness left.
    #[error("starting: {0}")]
    Runtime(io::Error),
    /// A thread has ended by a fault of this program; the log says which.
    #[error("{0} has ended unexpectedly; the lines before this one say why")]
    Ended(String),
}
