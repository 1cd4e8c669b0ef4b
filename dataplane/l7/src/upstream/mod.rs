//! Connections to pods: endpoints chosen, connections kept for the next request, and closed.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use foldhash::HashMap;
use slab::Slab;

use super::by_number::ByNumber;
use super::current::Current;
use super::engine::buffer::Buffer;
use super::engine::ready::Bell;
use super::gateway::Gateway;
use super::wire::Wire;
use headgate_net::clock::Nanos;
use headgate_net::number::Number;
use headgate_net::record::HttpCount;

/// A connection to a pod. It closes when this is dropped.
pub(crate) struct Link {
    pub(crate) wire: Wire,
    /// What the pod has sent and nobody has used.
    pub(crate) inbox: Buffer,
    /// What the pod has no room for yet.
    pub(crate) outbox: Buffer,
}

/// The endpoints that this worker has connections to, by upstream.
#[derive(Default)]
pub(crate) struct Pool {
    /// By the birth of the upstream's number, which no other has.
    index: HashMap<(u64, SocketAddr), usize>,
    known: Slab<PooledEndpoint>,
    /// Of each upstream, where the next choice among its endpoints begins.
    turns: ByNumber<usize>,
    /// Exchanges under way.
    busy: usize,
    /// Links kept.
    idle: usize,
}

/// An endpoint as one upstream has it: what is kept for a Service is used by no other, even if they have pods in common.
struct PooledEndpoint {
    upstream: Number,
    address: SocketAddr,
    /// The one used last at the end.
    idle: Vec<Kept>,
    /// Exchanges under way.
    busy: usize,
    /// Told when something happens to a kept link.
    bell: Option<(Arc<Bell>, Waker)>,
}

struct Kept {
    link: Link,
    since: Nanos,
}

/// An exchange with an endpoint, which counts until this is dropped.
pub(crate) struct Lease {
    gateway: Rc<Gateway>,
    place: usize,
    pub(crate) endpoint: SocketAddr,
}

impl Link {
    pub(crate) fn new(wire: Wire) -> Self {
        Self {
            wire,
            inbox: Buffer::default(),
            outbox: Buffer::default(),
        }
    }
}

impl Pool {
    /// Chooses an endpoint of an upstream: beginning with the one whose turn it is, the less busy of the first two that
    /// `allowed` lets through and that are not in `tried`. `None` if there is none.
    pub(crate) fn choose(
        &self,
        upstream: &Number,
        endpoints: &[SocketAddr],
        tried: &[SocketAddr],
        allowed: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let turn = self.turns.with(upstream, |turn| {
            let now = *turn;
            *turn = now.wrapping_add(1);
            now
        });
        let start = turn.checked_rem(endpoints.len())?;
        let (before, after) = endpoints.split_at(start);
        let candidates = after.iter().chain(before).copied();
        let mut open = candidates.filter(|e| !tried.contains(e) && allowed(*e));
        let (first, second) = (open.next()?, open.next());
        let busy = |address: SocketAddr| {
            let place = self.index.get(&(upstream.birth(), address));
            place.map_or(0, |place| self.known[*place].busy)
        };
        Some(
            second
                .filter(|second| busy(*second) < busy(first))
                .unwrap_or(first),
        )
    }

    /// Closes the kept links that were unused since before `before`, or whose endpoint is gone. Returns whether any are left.
    pub(crate) fn expire(&mut self, current: &Current, before: Nanos) -> bool {
        let mut left = false;
        let Self {
            index, known, idle, ..
        } = self;
        known.retain(|_, endpoint| {
            let kept = endpoint.idle.len();
            let gone = kept > 0 && !current.is_endpoint(&endpoint.upstream, endpoint.address);
            let over = |kept: &mut Kept| gone || kept.since < before;
            endpoint.idle.extract_if(.., over).for_each(drop);
            *idle -= kept - endpoint.idle.len();
            left |= !endpoint.idle.is_empty();
            let needed = endpoint.is_needed();
            if !needed {
                index.remove(&endpoint.key());
            }
            needed
        });
        left
    }

    /// Closes the kept links of an endpoint that the pod has closed, or that it says something over unasked.
    pub(crate) fn look(&mut self, place: usize) {
        let Some(endpoint) = self.known.get_mut(place) else {
            return;
        };
        let PooledEndpoint { idle, bell, .. } = endpoint;
        let Some((bell, waker)) = bell else { return };
        bell.answered();
        let kept = idle.len();
        let over = |kept: &mut Kept| !kept.link.wire.is_quiet(waker);
        idle.extract_if(.., over).for_each(drop);
        self.idle -= kept - idle.len();
        if !endpoint.is_needed() {
            let endpoint = self.known.remove(place);
            self.index.remove(&endpoint.key());
        }
    }

    /// Whether there is any kept link.
    pub(crate) fn keeps_any(&self) -> bool {
        self.idle > 0
    }

    /// Links kept, and exchanges under way.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.idle, self.busy)
    }

    /// Closes all kept links.
    pub(crate) fn close(&mut self) {
        for (_, endpoint) in &mut self.known {
            endpoint.idle.clear();
        }
        self.idle = 0;
    }

    fn begin(&mut self, upstream: &Number, address: SocketAddr) -> usize {
        let Self { index, known, .. } = self;
        let place = *index.entry((upstream.birth(), address)).or_insert_with(|| {
            known.insert(PooledEndpoint {
                upstream: upstream.clone(),
                address,
                idle: Vec::new(),
                busy: 0,
                bell: None,
            })
        });
        known[place].busy += 1;
        self.busy += 1;
        place
    }

    fn end(&mut self, place: usize) {
        self.busy -= 1;
        let endpoint = &mut self.known[place];
        endpoint.busy -= 1;
        if !endpoint.is_needed() {
            let endpoint = self.known.remove(place);
            self.index.remove(&endpoint.key());
        }
    }
}

impl PooledEndpoint {
    fn key(&self) -> (u64, SocketAddr) {
        (self.upstream.birth(), self.address)
    }

    fn is_needed(&self) -> bool {
        self.busy > 0 || !self.idle.is_empty()
    }
}

impl Lease {
    pub(crate) fn new(gateway: &Rc<Gateway>, upstream: &Number, endpoint: SocketAddr) -> Self {
        Self {
            place: gateway.pool.borrow_mut().begin(upstream, endpoint),
            gateway: Rc::clone(gateway),
            endpoint,
        }
    }

    /// The kept link that was used last and still is good.
    pub(crate) fn take_kept(&self) -> Option<Link> {
        let mut pool = self.gateway.pool.borrow_mut();
        let Pool { known, idle, .. } = &mut *pool;
        while let Some(Kept { mut link, .. }) = known[self.place].idle.pop() {
            *idle -= 1;
            if link.wire.is_quiet(Waker::noop()) {
                self.gateway.tally.count(HttpCount::UpstreamReuses);
                return Some(link);
            }
        }
        None
    }

    /// Keeps a link for another request, if it is good for one and there is room.
    pub(crate) fn give_back(self, mut link: Link) {
        let gateway = &self.gateway;
        let mut pool = gateway.pool.borrow_mut();
        let Pool { known, idle, .. } = &mut *pool;
        let endpoint = &mut known[self.place];
        let limits = &gateway.limits;
        let (_, waker) = endpoint.bell.get_or_insert_with(|| {
            let bell = Bell::of_endpoint(&gateway.ready, self.place);
            let waker = bell.waker();
            (bell, waker)
        });
        let wanted = endpoint.idle.len() < limits.max_idle
            && *idle < limits.max_idle_in_all
            && gateway.current.is_endpoint(&endpoint.upstream, endpoint.address)
            && link.wire.is_quiet(waker);
        if wanted {
            let since = gateway.net.now();
            endpoint.idle.push(Kept { link, since });
            *idle += 1;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.gateway.pool.borrow_mut().end(self.place);
    }
}
