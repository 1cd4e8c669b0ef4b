//! The stages of a packet, in order.

use crate::clock::Nanos;
use crate::flow::{Ownership, SourcePorts, Timeouts};
use crate::verdict::WorkerId;

/// What a worker's pipeline is made of; all but `worker` is the same for every worker of a process.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// Whose pipeline this is.
    pub worker: WorkerId,
    /// How many workers share the flows, at least 1.
    pub workers: u8,
    /// How they share them.
    pub ownership: Ownership,
    /// The ports that SNAT and the L7 stage send from.
    pub source_ports: SourcePorts,
    /// Flows of each address family that the worker's tables hold. Memory is taken at once: 256 to 512 bytes for an
    /// IPv4 flow and twice that for an IPv6 flow.
    pub flow_capacity: usize,
    /// Idle timeouts.
    pub timeouts: Timeouts,
    /// Secret: who knows it can fill one slot of the flow table. From the system's generator.
    pub seed: [u64; 2],
}
