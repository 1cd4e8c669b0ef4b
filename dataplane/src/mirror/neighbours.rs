//! Asking the kernel to resolve a neighbour, and to check one that Headgate uses.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourState};

use super::{MirrorError, dump, kernel};

/// Asks over the mirror's connection, also after that was opened anew; cheap to clone.
#[derive(Clone)]
pub struct Asker {
    handle: Arc<Mutex<rtnetlink::Handle>>,
}

impl Asker {
    pub(super) fn new(handle: rtnetlink::Handle) -> Self {
        Self {
            handle: Arc::new(Mutex::new(handle)),
        }
    }

    pub(super) fn replace(&self, handle: rtnetlink::Handle) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }

    pub(super) fn handle(&self) -> rtnetlink::Handle {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the kernel treat the neighbour as one that it has just sent to: an unknown one is solicited, a stale one
    /// is probed soon, a confirmed one stays as it is (`NTF_USE`, `neigh_event_send` in `net/core/neighbour.c`). The
    /// answer comes as a change of the mirror.
    ///
    /// # Errors
    /// The link is gone or down, or the neighbour table is full.
    pub async fn ask(&self, link: u32, neighbour: IpAddr) -> Result<(), rtnetlink::Error> {
        let request = self.handle().neighbours().add(link, neighbour);
        // Without NLM_F_REPLACE the kernel refuses neighbours that it knows already.
        request
            .replace()
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use)
            .execute()
            .await
    }

    /// Neighbours, with their links, whose addresses nobody has confirmed for a while (`NUD_STALE`).
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn stale(&self) -> Result<Vec<(u32, IpAddr)>, MirrorError> {
        let mut stale = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = self.handle().neighbours().get().set_address_family(family);
            let mut rows = dump("neighbours", request.execute()).await?;
            rows.retain(|row| row.header.state == NeighbourState::Stale);
            stale.extend(rows.iter().filter_map(kernel::neighbour).map(|(key, _)| key));
        }
        Ok(stale)
    }
}
