//! The ready endpoints of each upstream.

use std::net::SocketAddr;
use std::sync::Arc;

use headgate_net::number::Number;
use headgate_ring::message::{Upstream, UpstreamProtocol};

/// Upstreams of a part. A change copies one.
const PART: usize = 64;

/// Endpoints by the number of their upstream. A clone shares all but the parts in which one of the two changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Upstreams {
    parts: Vec<Arc<UpstreamsPart>>,
}

type UpstreamsPart = [Option<UpstreamEndpoints>; PART];

/// What an upstream has.
#[derive(Clone, Debug)]
pub(super) struct UpstreamEndpoints {
    /// Keeps the number from being another's.
    number: Number,
    /// What its pods speak.
    pub(super) protocol: UpstreamProtocol,
    /// Sorted.
    pub(super) endpoints: Arc<[SocketAddr]>,
}

impl Upstreams {
    /// Adds or replaces an upstream.
    pub(super) fn put(&mut self, number: Number, upstream: &Upstream) {
        let (part, place) = (number.index() / PART, number.index() % PART);
        while self.parts.len() <= part {
            self.parts.push(Arc::new([const { None }; PART]));
        }
        Arc::make_mut(&mut self.parts[part])[place] = Some(UpstreamEndpoints {
            number,
            protocol: upstream.protocol,
            endpoints: upstream.endpoints.as_slice().into(),
        });
    }

    pub(super) fn remove(&mut self, number: &Number) {
        if self.of(number).is_some() {
            let (part, place) = (number.index() / PART, number.index() % PART);
            Arc::make_mut(&mut self.parts[part])[place] = None;
        }
    }

    /// Whether an endpoint is one of the upstream's.
    pub(super) fn has(&self, number: &Number, endpoint: SocketAddr) -> bool {
        self.of(number)
            .is_some_and(|known| known.endpoints.binary_search(&endpoint).is_ok())
    }

    /// The ready endpoints of an upstream; none where there is no upstream of the name that has the number.
    pub(super) fn of(&self, number: &Number) -> Option<&UpstreamEndpoints> {
        let part = self.parts.get(number.index() / PART)?;
        part[number.index() % PART]
            .as_ref()
            .filter(|known| known.number == *number)
    }
}
