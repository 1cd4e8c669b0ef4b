//! Policies compiled for the packet path.

use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::Policy;

use super::{Decision, PolicyId, reference};

/// Every policy of a state, ready to decide.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    policies: Vec<Arc<Policy>>,
}

impl Compiled {
    /// Compiles checked policies, sorted by name and direction.
    #[must_use]
    pub fn build(policies: Vec<Arc<Policy>>) -> Self {
        Self { policies }
    }

    /// Decides on a new connection from its first packet: the client's address as it came, the pod's address
    /// and port after balancing. `protocol` is the IANA number.
    #[must_use]
    pub fn decide(&self, src: IpAddr, dst: IpAddr, protocol: u8, dst_port: u16) -> Decision {
        reference::decide(&self.policies, src, dst, protocol, dst_port)
    }

    /// The policy that a [`Denial`](super::Denial) of this table names.
    #[must_use]
    pub fn policy(&self, id: PolicyId) -> Option<&Policy> {
        self.policies.get(id.0 as usize).map(AsRef::as_ref)
    }

    /// What this was built from, sorted by name and direction.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// Bytes on the heap, without the policies themselves.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of_val(self.policies.as_slice())
    }
}
