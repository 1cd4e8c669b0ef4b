//! How a packet's way ends.

use std::net::IpAddr;

/// An interface that Headgate serves, by its place on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u8);

/// A worker, by its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

/// What becomes of a packet; each ends with exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Rewritten, link-layer header included: send it on this port.
    Forward(PortId),
    /// Rewritten in place into its own answer: send it on the port that it came from.
    Reply,
    /// TCP for a listener, or a pod's answer to the L7 stage.
    ToL7,
    /// Another worker owns the flow; the packet is as it came.
    HandOver(WorkerId),
    /// Rewritten but for the link-layer header: the neighbour's address is not known yet.
    Resolve {
        /// Where the neighbour is.
        port: PortId,
        /// The neighbour: a gateway, or the destination itself where it is on the link.
        neighbour: IpAddr,
    },
    /// For the kernel's own stack, as it came or rewritten.
    ToKernel,
    /// The end of it.
    Drop(Reason),
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Shorter than its headers say it must be.
    Truncated,
}
