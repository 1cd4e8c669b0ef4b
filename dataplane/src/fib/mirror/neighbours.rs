//! Asking the kernel to resolve a neighbour, and to check one that Headgate uses.

use std::net::IpAddr;

use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourState};

/// Asks for neighbours; cheap to clone.
#[derive(Clone)]
pub struct Asker {
    handle: rtnetlink::Handle,
}

impl Asker {
    pub(super) fn new(handle: rtnetlink::Handle) -> Self {
        Self { handle }
    }

    /// Makes the kernel treat the neighbour as one that it has just sent to: an unknown one is solicited, a stale one
    /// is probed soon, a confirmed one stays as it is (`NTF_USE`, `net/core/neighbour.c`, `neigh_event_send`). The
    /// answer comes as a notification.
    ///
    /// # Errors
    /// The link is gone or down, or the neighbour table is full.
    pub async fn ask(&self, link: u32, neighbour: IpAddr) -> Result<(), rtnetlink::Error> {
        let request = self.handle.neighbours().add(link, neighbour);
        // Without NLM_F_REPLACE the kernel refuses neighbours that it knows already.
        request
            .replace()
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use)
            .execute()
            .await
    }
}
