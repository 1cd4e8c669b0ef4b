//! The per-worker flow table, NAT and timeouts.

mod ports;
mod timeouts;

pub use ports::{InvalidSourcePorts, Part, SourcePorts};
pub use timeouts::Timeouts;

/// Which worker a flow belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// A keyed hash of the client's 5-tuple says: for links that do not keep a flow on one queue (veth).
    #[default]
    Hash,
    /// The worker whose queue it came in on: for hardware that spreads flows by RSS.
    Queue,
}
