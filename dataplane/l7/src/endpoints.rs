//! The ready endpoints of each upstream.

use std::net::SocketAddr;
use std::sync::Arc;

use headgate_net::number::Number;

/// Upstreams of a part. A change copies one.
const PART: usize = 64;

/// Endpoints by the number of their upstream. A clone shares all but the parts in which one of the two changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Upstreams {
    parts: Vec<Arc<UpstreamsPart>>,
}

type UpstreamsPart = [Option<UpstreamEndpoints>; PART];

#[derive(Clone, Debug)]
struct UpstreamEndpoints {
    /// Keeps the number from being another's.
    number: Number,
    /// Sorted.
    endpoints: Arc<[SocketAddr]>,
}

impl Upstreams {
    /// Adds or replaces an upstream.
    pub(super) fn put(&mut self, number: Number, endpoints: &[SocketAddr]) {
        let (part, place) = (number.index() / PART, number.index() % PART);
        while self.parts.len() <= part {
            self.parts.push(Arc::new([const { None }; PART]));
        }
        Arc::make_mut(&mut self.parts[part])[place] = Some(UpstreamEndpoints {
            number,
            endpoints: endpoints.into(),
        });
    }

    pub(super) fn remove(&mut self, number: &Number) {
        if self.known(number).is_some() {
            let (part, place) = (number.index() / PART, number.index() % PART);
            Arc::make_mut(&mut self.parts[part])[place] = None;
        }
    }

    /// The ready endpoints of an upstream; none where there is no upstream of the name that has the number.
    pub(super) fn of(&self, number: &Number) -> Option<&Arc<[SocketAddr]>> {
        self.known(number).map(|known| &known.endpoints)
    }

    /// Whether an endpoint is one of the upstream's.
    pub(super) fn has(&self, number: &Number, endpoint: SocketAddr) -> bool {
        self.of(number)
            .is_some_and(|endpoints| endpoints.binary_search(&endpoint).is_ok())
    }

    fn known(&self, number: &Number) -> Option<&UpstreamEndpoints> {
        let part = self.parts.get(number.index() / PART)?;
        part[number.index() % PART]
            .as_ref()
            .filter(|known| known.number == *number)
    }
}
