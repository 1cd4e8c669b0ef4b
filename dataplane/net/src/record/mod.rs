//! What a worker writes down for others to read: nothing here locks or calls the system, nor allocates for packets.
//!
//! Counts are plain atomics with one writer, described in one [`table`]: whoever wants to know reads them, and nothing is
//! asked of a worker. Decisions on flows and requests go through the queues of the [`FlowLog`].

mod channel;
mod count;
mod counters;
mod denials;
mod event;
mod recorder;
mod slab;
mod snapshot;
pub mod table;
#[cfg(test)]
mod tests;
mod worker;

pub use crate::counted::Id;
pub use channel::{FlowLog, FlowLogStatus, Recorded, Settings};
pub use count::{Block, Count, Histogram, Latency};
pub use counters::{Counters, Denials};
pub use denials::{DenialRecord, Denied};
pub use event::{Event, Record};
pub use recorder::Recorder;
pub use slab::{Numbered, Resettable, Slab};
pub use snapshot::Snapshot;
pub use table::{
    Class, HttpCount, HttpGauge, Loop, PacketCount, QueueCount, RouteCount, ServiceCount, TcpCount, TcpGauge,
    UpstreamCount, UpstreamGauge, WorkerGauge,
};
pub use worker::{
    L7Counters, L7Record, L7Status, RouteRecord, ServiceRecord, TcpRecord, TcpStatus, UpstreamRecord,
    WorkerRecord,
};
