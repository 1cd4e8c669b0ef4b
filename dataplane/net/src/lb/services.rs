//! The Services by frontend, in an open-addressing table.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use headgate_ring::message;

use super::maglev::{Maglev, MaglevError};
use crate::hash;
use crate::number::{Number, Numbers};
use crate::probing::probe;

/// Seed of the clients' hash; see the seeds of [`Maglev`] for why it never changes.
const CLIENT_SEED: u64 = 0x6d61_676c_6576_0003;
const FRONTEND_SEED: u64 = 0x6d61_676c_6576_0004;

/// One port of a Kubernetes Service at one address, ready to pick backends.
#[derive(Clone, Debug)]
pub struct BalancedService {
    source: Arc<message::Service>,
    table: Arc<Maglev>,
    number: Number,
}

impl BalancedService {
    /// Builds the table of backends, or takes it over from `previous` where the backends are the same. A Service that
    /// keeps its name keeps its number; any other gets one of `numbers`.
    ///
    /// # Errors
    /// When the Service has more backends than a table can serve.
    pub fn build(
        source: Arc<message::Service>,
        previous: Option<&Self>,
        numbers: &Numbers,
    ) -> Result<Self, MaglevError> {
        let table = match previous {
            Some(p) if p.source.backends == source.backends => Arc::clone(&p.table),
            _ => Arc::new(Maglev::build(&source.backends)?),
        };
        let number = match previous {
            Some(p) if p.source.name == source.name => p.number.clone(),
            _ => numbers.give(),
        };
        Ok(Self {
            source,
            table,
            number,
        })
    }

    /// The backend for a client; `None` when the Service has no ready backend.
    ///
    /// With client-IP affinity the client's port takes no part: all connections of an address go to one
    /// backend, for as long as the set of backends stays, which is longer than `timeoutSeconds` asks for; when
    /// the set changes, few clients move (about as many as the change's share of the backends).
    #[inline]
    #[must_use]
    pub fn pick(&self, client: IpAddr, client_port: u16) -> Option<SocketAddr> {
        let port = if self.source.affinity_seconds.is_some() {
            0
        } else {
            client_port
        };
        let hash = hash::mix_address(CLIENT_SEED, client, port.into());
        let backend = self.table.pick(hash)?;
        self.source.backends.get(usize::from(backend)).copied()
    }

    /// Whether connections of one client address stay together (`spec.sessionAffinity: ClientIP`).
    #[must_use]
    pub fn has_affinity(&self) -> bool {
        self.source.affinity_seconds.is_some()
    }

    /// By which what is counted of it is kept.
    #[inline]
    #[must_use]
    pub fn number(&self) -> &Number {
        &self.number
    }

    /// Where clients reach it.
    #[must_use]
    pub fn frontend(&self) -> message::Frontend {
        self.source.frontend
    }

    /// `namespace/name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// Ready endpoints, sorted.
    #[must_use]
    pub fn backends(&self) -> &[SocketAddr] {
        &self.source.backends
    }

    /// The object that this was built from.
    #[must_use]
    pub fn source(&self) -> &Arc<message::Service> {
        &self.source
    }

    /// The table of backends; shared while they do not change.
    #[must_use]
    pub fn table(&self) -> &Arc<Maglev> {
        &self.table
    }
}

/// All Services by (address, protocol, port).
///
/// Slots of 32 bytes, two in a cache line, at most half of them taken, probed one after another: a lookup
/// mostly touches one line. The keys come from the configuration, not from strangers, so the hash needs no secret.
/// Clones share the table.
#[derive(Clone, Debug)]
pub struct Services {
    slots: Arc<[FrontendSlot]>,
    services: Arc<[BalancedService]>,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct FrontendSlot {
    address: (u64, u64),
    /// Port, protocol and family; 0 in a free slot, since no frontend has port 0.
    rest: u32,
    service: u32,
}

impl Default for Services {
    fn default() -> Self {
        Self::build(Vec::new())
    }
}

impl Services {
    /// Builds the table; of Services with one frontend the later counts.
    #[must_use]
    pub fn build(services: Vec<BalancedService>) -> Self {
        let size = (services.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![FrontendSlot::default(); size];
        for (number, service) in (0..).zip(&services) {
            let frontend = service.frontend();
            let (address, rest) = key(frontend.address, frontend.protocol.number(), frontend.port);
            let slot = find(&slots, address, rest);
            slots[slot] = FrontendSlot {
                address,
                rest,
                service: number,
            };
        }
        Self {
            slots: slots.into(),
            services: services.into(),
        }
    }

    /// The Service with this frontend; `protocol` is the IANA number.
    #[inline]
    #[must_use]
    pub fn lookup(&self, dst: IpAddr, protocol: u8, port: u16) -> Option<&BalancedService> {
        if port == 0 {
            return None;
        }
        let (address, rest) = key(dst, protocol, port);
        let slot = &self.slots[find(&self.slots, address, rest)];
        if slot.rest == 0 {
            return None;
        }
        self.services.get(slot.service as usize)
    }

    /// All Services, by frontend.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &BalancedService> {
        self.services.iter()
    }

    /// How many Services there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Bytes on the heap, tables of backends included.
    #[must_use]
    pub fn memory(&self) -> usize {
        let tables: usize = self.services.iter().map(|s| s.table.memory()).sum();
        size_of_val(&*self.slots) + self.services.len() * size_of::<BalancedService>() + tables
    }
}

#[inline]
fn key(address: IpAddr, protocol: u8, port: u16) -> ((u64, u64), u32) {
    let family = u32::from(address.is_ipv6());
    (
        hash::words(address),
        family << 24 | u32::from(protocol) << 16 | u32::from(port),
    )
}

/// The slot of this key, or the free slot where it belongs; there always is a free one.
#[inline]
fn find(slots: &[FrontendSlot], address: (u64, u64), rest: u32) -> usize {
    let mask = slots.len() - 1;
    #[expect(clippy::cast_possible_truncation, reason = "masked to the table's size")]
    let home = hash::mix(FRONTEND_SEED, address.0, address.1, rest.into()) as usize & mask;
    probe(home, mask, |slot| {
        let found = &slots[slot];
        found.rest == 0 || (found.rest == rest && found.address == address)
    })
}
