//! What a worker writes down.

use std::net::SocketAddr;

use crate::clock::Nanos;

/// A decision, as plain data: no names, no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Nanos,
    /// Of the tables that decided.
    pub publication: u64,
    /// The client, as its packets name it.
    pub client: SocketAddr,
    /// Where the client connects to: a Service or listener.
    pub frontend: SocketAddr,
    /// The pod, after balancing.
    pub pod: SocketAddr,
    /// IANA number.
    pub protocol: u8,
    /// What was decided, about what.
    pub event: Event,
}

/// What happened to a flow or request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A flow was made.
    FlowAllowed,
    /// A first packet was dropped.
    FlowDenied,
    /// A live flow was cut after a change of policies.
    FlowCut,
    /// A client's connection sent its first HTTP request to this pod.
    RequestAllowed,
    /// An HTTP request was answered 403.
    RequestDenied,
    /// A running request or tunnel was cut after a change of policies.
    RequestCut,
}

impl Event {
    /// Whether policies let it be.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::FlowAllowed | Self::RequestAllowed)
    }
}
