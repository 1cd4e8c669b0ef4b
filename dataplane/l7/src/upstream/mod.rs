//! Connections to pods: endpoints chosen, connections kept for the next request, and closed.

mod shared;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::slice::Iter;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use foldhash::HashMap;
use slab::Slab;

use super::buffer::Buffer;
use super::by_number::ByNumber;
use super::counters::Tally;
use super::current::Current;
use super::h2::StreamEnd;
use super::limits::Limits;
use super::net::Net;
use super::ready::{Bell, Ready};
use super::wire::Wire;
use headgate_net::clock::Nanos;
use headgate_net::number::Number;
use headgate_net::record::HttpCount;
use shared::SharedLink;
pub(crate) use shared::Workbench;

/// A connection to a pod. It closes when this is dropped.
pub(crate) struct Link {
    pub(crate) wire: Wire,
    /// What the pod has sent and nobody has used.
    pub(crate) inbox: Buffer,
    /// What the pod has no room for yet.
    pub(crate) outbox: Buffer,
}

/// The endpoints that this worker has connections to, by upstream.
pub(crate) struct Pool {
    current: Rc<Current>,
    tally: Rc<Tally>,
    ready: Arc<Ready>,
    max_idle: usize,
    max_idle_in_all: usize,
    endpoints: RefCell<Endpoints>,
    /// Of each upstream, where the next choice among its endpoints begins.
    turns: ByNumber<usize>,
}

#[derive(Default)]
struct Endpoints {
    /// By the birth of the upstream's number, which no other has.
    index: HashMap<(u64, SocketAddr), usize>,
    known: Slab<PooledEndpoint>,
    /// Exchanges under way.
    busy: usize,
    /// Links kept.
    idle: usize,
    /// Connections over which many exchanges go.
    shared: usize,
}

/// An endpoint as one upstream has it: what is kept for a Service is used by no other, even if they have pods in common.
struct PooledEndpoint {
    upstream: Number,
    address: SocketAddr,
    /// The one used last at the end.
    idle: Vec<Kept>,
    /// Those over which many exchanges go at once.
    shared: Vec<SharedLink>,
    /// How many streams the pod takes over one of them, once it has told.
    most_streams: Option<usize>,
    /// Exchanges under way.
    busy: usize,
    /// Told when something happens to a kept link or one of those.
    bell: Option<(Arc<Bell>, Waker)>,
}

struct Kept {
    link: Box<Link>,
    since: Nanos,
}

/// An exchange with an endpoint, which counts until this is dropped.
pub(crate) struct Lease {
    pool: Rc<Pool>,
    place: usize,
    pub(crate) endpoint: SocketAddr,
}

impl Link {
    pub(crate) fn new(wire: Wire) -> Box<Self> {
        Box::new(Self {
            wire,
            inbox: Buffer::default(),
            outbox: Buffer::default(),
        })
    }

    /// Ready once there is a connection below it, which others share, or will be none.
    pub(crate) fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire
            .part()
            .map_or(Poll::Ready(Ok(())), |stream| stream.poll_connected(cx))
    }

    /// Whether nothing waits for the pod to have room.
    pub(crate) fn has_sent(&self) -> bool {
        self.outbox.is_empty() && self.wire.has_sent()
    }
}

impl Pool {
    pub(crate) fn new(limits: &Limits, current: &Rc<Current>, tally: &Rc<Tally>, ready: &Arc<Ready>) -> Self {
        Self {
            current: Rc::clone(current),
            tally: Rc::clone(tally),
            ready: Arc::clone(ready),
            max_idle: limits.max_idle,
            max_idle_in_all: limits.max_idle_in_all,
            endpoints: RefCell::default(),
            turns: ByNumber::default(),
        }
    }

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
        let is_open = |endpoint: &&SocketAddr| !tried.contains(endpoint) && allowed(**endpoint);
        // One half after the other: a chain asks at each step which one it is in.
        let next_of = |after: &mut Iter<'_, SocketAddr>, before: &mut Iter<'_, SocketAddr>| {
            after.find(is_open).or_else(|| before.find(is_open)).copied()
        };
        let (mut after, mut before) = (after.iter(), before.iter());
        let first = next_of(&mut after, &mut before)?;
        let Some(second) = next_of(&mut after, &mut before) else {
            return Some(first);
        };
        let pooled = self.endpoints.borrow();
        let busy = |address: SocketAddr| {
            let place = pooled.index.get(&(upstream.birth(), address));
            place.map_or(0, |place| pooled.known[*place].busy)
        };
        // An idle one is as good as any.
        let first_busy = busy(first);
        Some(if first_busy > 0 && busy(second) < first_busy {
            second
        } else {
            first
        })
    }

    /// Begins an exchange with an endpoint.
    pub(crate) fn lease(self: &Rc<Self>, upstream: &Number, endpoint: SocketAddr) -> Lease {
        Lease {
            place: self.endpoints.borrow_mut().begin(upstream, endpoint),
            pool: Rc::clone(self),
            endpoint,
        }
    }

    /// Closes the kept links that were unused since before `before`, or whose endpoint is gone. Returns whether any are left.
    pub(crate) fn expire(&self, before: Nanos) -> bool {
        let Endpoints {
            index,
            known,
            idle,
            shared,
            ..
        } = &mut *self.endpoints.borrow_mut();
        known.retain(|_, endpoint| {
            let kept = endpoint.idle.len();
            let some = kept > 0 || !endpoint.shared.is_empty();
            let gone = some && !self.current.is_endpoint(&endpoint.upstream, endpoint.address);
            let over = |kept: &mut Kept| gone || kept.since < before;
            endpoint.idle.extract_if(.., over).for_each(drop);
            *idle -= kept - endpoint.idle.len();
            let over = |link: &mut SharedLink| link.unused().is_some_and(|since| gone || since < before);
            *shared -= endpoint.shared.extract_if(.., over).count();
            let needed = endpoint.is_needed();
            if !needed {
                index.remove(&endpoint.key());
            }
            needed
        });
        *idle > 0 || *shared > 0
    }

    /// Closes the kept links of an endpoint that the pod has closed, or that it says something over unasked, and has those that
    /// many exchanges share go as far as they can.
    pub(crate) fn look(&self, place: usize, bench: &Workbench<'_>) {
        let endpoints = &mut *self.endpoints.borrow_mut();
        let Some(endpoint) = endpoints.known.get_mut(place) else {
            return;
        };
        let PooledEndpoint {
            idle, shared, bell, ..
        } = endpoint;
        let Some((bell, waker)) = bell else { return };
        bell.answered();
        let kept = idle.len();
        let over = |kept: &mut Kept| !kept.link.wire.is_quiet(waker);
        idle.extract_if(.., over).for_each(drop);
        endpoints.idle -= kept - idle.len();
        let over = |link: &mut SharedLink| !link.look(&mut Context::from_waker(waker), bench);
        endpoints.shared -= shared.extract_if(.., over).count();
        endpoints.forget_unneeded(place);
    }

    /// Whether there is any kept link.
    pub(crate) fn keeps_any(&self) -> bool {
        let endpoints = self.endpoints.borrow();
        endpoints.idle > 0 || endpoints.shared > 0
    }

    /// Links that are kept and unused, and exchanges under way.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let endpoints = self.endpoints.borrow();
        let mut unused = 0;
        if endpoints.shared > 0 {
            let shared = endpoints.known.iter().flat_map(|(_, endpoint)| &endpoint.shared);
            unused = shared.filter(|link| link.unused().is_some()).count();
        }
        (endpoints.idle + unused, endpoints.busy)
    }

    /// Closes all kept links.
    pub(crate) fn close(&self) {
        let mut endpoints = self.endpoints.borrow_mut();
        (endpoints.idle, endpoints.shared) = (0, 0);
        for (_, endpoint) in &mut endpoints.known {
            endpoint.idle.clear();
            endpoint.shared.clear();
        }
    }
}

impl Endpoints {
    fn begin(&mut self, upstream: &Number, address: SocketAddr) -> usize {
        let Self { index, known, .. } = self;
        let place = *index.entry((upstream.birth(), address)).or_insert_with(|| {
            known.insert(PooledEndpoint {
                upstream: upstream.clone(),
                address,
                idle: Vec::new(),
                shared: Vec::new(),
                most_streams: None,
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
        self.known[place].busy -= 1;
        self.forget_unneeded(place);
    }

    fn forget_unneeded(&mut self, place: usize) {
        if !self.known[place].is_needed() {
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
        self.busy > 0 || !self.idle.is_empty() || !self.shared.is_empty()
    }

    /// Whoever is told of what happens here.
    fn bell(&mut self, ready: &Arc<Ready>, place: usize) -> &(Arc<Bell>, Waker) {
        self.bell.get_or_insert_with(|| {
            let bell = Bell::of_endpoint(ready, place);
            let waker = bell.waker();
            (bell, waker)
        })
    }
}

impl Lease {
    /// The kept link that was used last and still is good.
    pub(crate) fn take_kept(&self) -> Option<Box<Link>> {
        let Endpoints { known, idle, .. } = &mut *self.pool.endpoints.borrow_mut();
        while let Some(Kept { mut link, .. }) = known[self.place].idle.pop() {
            *idle -= 1;
            if link.wire.is_quiet(Waker::noop()) {
                self.pool.tally.count(HttpCount::UpstreamReuses);
                return Some(link);
            }
        }
        None
    }

    /// A stream of a connection that others use, too; with whether the connection was there before.
    ///
    /// # Errors
    /// None can be opened.
    pub(crate) fn share(&self, net: &Net) -> io::Result<(StreamEnd, bool)> {
        let pool = &self.pool;
        let now = net.now();
        let Endpoints { known, shared, .. } = &mut *pool.endpoints.borrow_mut();
        let endpoint = &mut known[self.place];
        if let Some(stream) = endpoint.shared.iter_mut().find_map(|link| link.ask(now)) {
            if stream.1 {
                pool.tally.count(HttpCount::UpstreamReuses);
            }
            return Ok(stream);
        }
        if let Some(most) = endpoint.shared.iter().find_map(SharedLink::most_streams) {
            endpoint.most_streams = Some(most);
        }
        let connecting = net.connect(self.endpoint)?;
        let mut link = SharedLink::new(connecting, endpoint.most_streams, now);
        let stream = link.ask(now).ok_or(io::ErrorKind::NotConnected)?;
        endpoint.shared.push(link);
        *shared += 1;
        // Looked at for the first time.
        endpoint.bell(&pool.ready, self.place).0.ring();
        Ok(stream)
    }

    /// Keeps a link for another request, if it is good for one and there is room.
    pub(crate) fn give_back(self, mut link: Box<Link>, now: Nanos) {
        let pool = &self.pool;
        let Endpoints { known, idle, .. } = &mut *pool.endpoints.borrow_mut();
        let endpoint = &mut known[self.place];
        let waker = &endpoint.bell(&pool.ready, self.place).1.clone();
        let wanted = endpoint.idle.len() < pool.max_idle
            && *idle < pool.max_idle_in_all
            && pool.current.is_endpoint(&endpoint.upstream, endpoint.address)
            && link.wire.is_quiet(waker);
        if wanted {
            endpoint.idle.push(Kept { link, since: now });
            *idle += 1;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.endpoints.borrow_mut().end(self.place);
    }
}
