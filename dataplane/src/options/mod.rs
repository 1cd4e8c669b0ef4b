//! The flags of `headgate dataplane`.

mod values;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

pub use values::{Cores, PortChoice, PortRange, TapNetworks};

use crate::telemetry::flow_log;
use crate::telemetry::metrics::Detail;

/// What an operator can choose; every flag but `--port` has a default that suits most machines.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Dataplane")]
pub struct Options {
    /// An interface that packets come from and go to; give it once for each: by its name or another of its names (ip link
    /// property), by a pattern that one of them fits, as in 'ens*', or "default-route" for that of the default route, of IPv4
    /// where there is one ("default-route-v6" of IPv6). Or "kernel" alone: Ingresses are served on the kernel's sockets,
    /// without interfaces and without privileges
    #[arg(long = "port", value_name = "IF", required = true, value_parser = values::interface)]
    pub ports: Vec<String>,

    /// Where the sockets of this instance are: control.sock, status.sock and the lock
    #[arg(long, value_name = "DIR", default_value_os_t = headgate_ring::default_run_dir())]
    pub run_dir: PathBuf,

    /// Threads that carry packets; without it one for each queue, but no more than there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub workers: Option<u8>,

    /// Cores to pin the workers to, as in 0,2-3; the first worker gets the first core
    #[arg(long, value_name = "LIST", value_parser = values::cores)]
    pub cores: Option<Cores>,

    /// Cores for HTTP and TLS alone, a thread each, as in 2,4-5; without it each worker does its own
    #[arg(long, value_name = "LIST", value_parser = values::cores)]
    pub l7_cores: Option<Cores>,

    /// How the steering program is attached: in the driver, or in the kernel's generic hook, which is slower
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub mode: Mode,

    /// Whether the driver may hand its own buffers to user space
    #[arg(long, value_enum, default_value_t = ZeroCopy::Try)]
    pub zero_copy: ZeroCopy,

    /// Poll the driver from the worker for so many microseconds instead of waiting for interrupts
    #[arg(long, value_name = "MICROSECONDS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub busy_poll: Option<u32>,

    /// What a worker does when nothing arrives: wait for an event, or spin and keep its core busy
    #[arg(long, value_enum, default_value_t = Idle::Sleep)]
    pub idle: Idle,

    /// TCP and UDP ports that Headgate keeps for itself on the host's addresses, to reach pods from
    #[arg(long, value_name = "FIRST-LAST", default_value = "61000-65535", value_parser = values::port_range)]
    pub source_ports: PortRange,

    /// Addresses from which HTTP reaches pods, too, once all source ports towards one are in use: of the host, or that nobody has
    /// and that pods' answers find Headgate's ports at; of the latter Headgate takes all
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',', value_parser = values::source_address)]
    pub source_addresses: Vec<IpAddr>,

    /// Networks of which Headgate takes an address that pods see whose devices are no ports, one of IPv4 and one of IPv6, or one
    /// alone, or "none": the kernel gets a route to it by the TAP device
    #[arg(long, value_name = "NETWORK,...", default_value = TapNetworks::DEFAULT, value_parser = values::tap_networks)]
    pub tap_networks: TapNetworks,

    /// Which worker owns a flow: the one whose queue it arrived on, or one by a hash of its addresses and ports
    #[arg(long, value_enum, default_value_t = OwnershipChoice::Auto)]
    pub ownership: OwnershipChoice,

    /// Packet buffers of 2048 bytes, shared by all ports; without it four for each entry of the rings, and 4096 for each core
    /// of --l7-cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1024..=16_777_216))]
    pub frames: Option<u32>,

    /// Entries of each AF_XDP ring, a power of two
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = values::ring_size)]
    pub ring_size: u32,

    /// Ask for huge pages for the packet buffers; without them available ordinary pages do
    #[arg(long)]
    pub huge_pages: bool,

    /// Flows of each address family that one worker can follow at a time
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = values::flow_capacity)]
    pub flow_capacity: u32,

    /// Forget an established TCP flow after so long without a packet, as in 90s or 2h
    #[arg(long, value_name = "TIME", default_value = "124m", value_parser = values::duration)]
    pub tcp_timeout: Duration,

    /// Forget a UDP flow after so long without a packet
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = values::duration)]
    pub udp_timeout: Duration,

    /// What a change of policies does to flows and requests that are under way and that it no longer allows
    #[arg(long, value_enum, default_value_t = EstablishedFlows::Cut)]
    pub established_flows: EstablishedFlows,

    /// Write the log of decisions here, one JSON object a line; - is standard output
    #[arg(long, value_name = "FILE", value_parser = flow_log::Target::from_str)]
    pub flow_log: Option<flow_log::Target>,

    /// Which decisions are recorded; while somebody follows with `headgate flows --follow`, those that they ask for are, too
    #[arg(long, value_enum, default_value_t = FlowLogVerdicts::Denied)]
    pub flow_log_verdicts: FlowLogVerdicts,

    /// Record one of so many allowed flows
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub flow_log_sample: u32,

    /// Records a second of each worker; allowed and denied flows and requests have this rate each
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub flow_log_rate: u32,

    /// Serve metrics at /metrics, and /healthz and /readyz, on this address of the host
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,

    /// Leave out of the metrics what is counted for each of these
    #[arg(
        long,
        value_enum,
        value_name = "KIND,...",
        value_delimiter = ',',
        requires = "metrics"
    )]
    pub metrics_without: Vec<Detail>,

    /// Drop a packet whose next hop has not told its link-layer address after so long
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::duration)]
    pub neighbour_timeout: Duration,

    /// At SIGTERM, serve new clients for so long, so that whoever sends them here notices that /readyz fails; it is a part of
    /// --drain-time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = values::duration_or_zero)]
    pub drain_delay: Duration,

    /// From the signal on, let requests, tunnels and flows that are under way come to their end for so long; 0s ends at once
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = values::duration_or_zero)]
    pub drain_time: Duration,

    /// Largest window of a terminated TCP connection, each direction, in bytes; a connection begins with less and grows
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = values::l7_buffers)]
    pub l7_buffers: u32,

    /// Memory of each core for data of terminated TCP connections that is under way, in bytes; near its end windows shrink
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20, value_parser = values::l7_memory)]
    pub l7_memory: u32,

    /// Bytes a second that a client of HTTP takes at least of what is there for it, and sends at least of a body whose length it
    /// has told, over each minute; 0 for no limit
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    pub l7_min_rate: u32,
}

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// In the driver, else generic with a warning
    Auto,
    /// In the driver, else an error
    Native,
    /// In the generic hook
    Generic,
}

/// `--zero-copy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ZeroCopy {
    /// Where the driver can, else copying
    Try,
    /// Or an error
    Require,
    /// Always copying
    Off,
}

/// `--idle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Idle {
    /// Wait for an event
    Sleep,
    /// Look again at once
    Spin,
}

/// `--established-flows`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EstablishedFlows {
    /// They are cut
    #[default]
    Cut,
    /// They go on to their end; what is new is decided by the new policies
    Keep,
}

/// `--flow-log-verdicts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlowLogVerdicts {
    /// None
    None,
    /// Those that deny or cut
    Denied,
    /// All
    All,
}

impl From<FlowLogVerdicts> for flow_log::Recorded {
    fn from(choice: FlowLogVerdicts) -> Self {
        match choice {
            FlowLogVerdicts::None => Self::None,
            FlowLogVerdicts::Denied => Self::Denied,
            FlowLogVerdicts::All => Self::All,
        }
    }
}

/// `--ownership`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OwnershipChoice {
    /// By hash where a port is a veth, which may move a flow to another queue; by queue elsewhere
    Auto,
    /// By a hash of the flow
    Hash,
    /// By the queue of the flow's first packet
    Queue,
}

/// Packets that may wait for an L7 stage with a core of its own: with more each only waits longer, and then its sender sends
/// it again.
pub const STAGE_INBOX: u32 = 4096;

/// The port that is no interface.
pub const KERNEL: &str = "kernel";

impl Options {
    /// Whether the kernel's sockets are to be used, and no packets.
    #[must_use]
    pub fn on_sockets(&self) -> bool {
        self.ports.iter().any(|port| port == KERNEL)
    }

    /// Frames for `queues` sockets: as asked, or so many that every ring can be full while as many frames again
    /// are with workers, parked, or at the L7 stage. Stages on cores of their own, which may be behind by as many as wait for
    /// them, must not leave the rings without any.
    #[must_use]
    pub fn frames_for(&self, queues: usize) -> u32 {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let rings = count(queues).saturating_mul(self.ring_size);
        let stages = count(self.l7_cores.as_ref().map_or(0, |cores| cores.0.len()));
        let default = rings
            .saturating_mul(4)
            .saturating_add(stages.saturating_mul(STAGE_INBOX));
        self.frames.unwrap_or(default)
    }
}
