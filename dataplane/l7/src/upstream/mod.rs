//! Connections to pods: chosen, opened, kept for the next request, and closed.

mod link;
mod ticket;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use foldhash::HashMap;
use slab::Slab;

use super::by_number::ByNumber;
use super::counters::Tally;
use super::current::Current;
use super::limits::Limits;
use super::net::Net;
use headgate_net::clock::Nanos;
use headgate_net::number::Number;
use headgate_net::record::HttpCount;
use link::Link;
pub(crate) use ticket::{ConnectError, Ticket};

/// The endpoints that this worker has connections to, by upstream.
pub(crate) struct Pool {
    net: Rc<Net>,
    limits: Limits,
    current: Rc<Current>,
    tally: Rc<Tally>,
    endpoints: RefCell<Endpoints>,
    /// Of each upstream, where the next choice among its endpoints begins.
    turns: ByNumber<usize>,
    busy: Cell<usize>,
    /// Links kept.
    idle: Cell<usize>,
}

#[derive(Default)]
struct Endpoints {
    /// By the birth of the upstream's number, which no other has.
    index: HashMap<(u64, SocketAddr), usize>,
    known: Slab<PooledEndpoint>,
}

/// An endpoint as one upstream has it: what is kept for a Service is used by no other, even if they have pods in common.
struct PooledEndpoint {
    upstream: Number,
    address: SocketAddr,
    /// The one used last at the end.
    idle: Vec<Kept>,
    /// Exchanges under way.
    busy: usize,
}

struct Kept {
    link: Link,
    since: Nanos,
}

/// An exchange with an endpoint, which counts until this is dropped.
struct Claim {
    pool: Rc<Pool>,
    endpoint: usize,
}

impl Pool {
    pub(crate) fn new(net: Rc<Net>, limits: Limits, current: Rc<Current>, tally: Rc<Tally>) -> Self {
        Self {
            net,
            limits,
            current,
            tally,
            endpoints: RefCell::default(),
            turns: ByNumber::default(),
            busy: Cell::default(),
            idle: Cell::default(),
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
        let candidates = after.iter().chain(before).copied();
        let mut open = candidates.filter(|e| !tried.contains(e) && allowed(*e));
        let (first, second) = (open.next()?, open.next());
        let known = self.endpoints.borrow();
        let busy = |address: SocketAddr| {
            let place = known.index.get(&(upstream.birth(), address));
            place.map_or(0, |place| known.known[*place].busy)
        };
        Some(
            second
                .filter(|second| busy(*second) < busy(first))
                .unwrap_or(first),
        )
    }

    async fn connect(&self, endpoint: SocketAddr) -> Result<Link, ConnectError> {
        let connecting = self.net.connect(endpoint);
        let stream = match tokio::time::timeout(self.limits.connect, connecting).await {
            Ok(stream) => stream.map_err(ConnectError::Refused)?,
            Err(_) => return Err(ConnectError::Late),
        };
        let link = Link::http1(stream).await.map_err(ConnectError::Refused)?;
        self.tally.count(HttpCount::UpstreamConnects);
        Ok(link)
    }

    /// Closes kept links that were unused since before `before`, that the pod has closed, or whose endpoint is gone.
    /// Returns whether any are left.
    pub(crate) fn expire(&self, before: Nanos) -> bool {
        let mut closed = Vec::new();
        let mut left = false;
        let Endpoints { index, known } = &mut *self.endpoints.borrow_mut();
        known.retain(|_, endpoint| {
            let gone =
                !endpoint.idle.is_empty() && !self.current.is_endpoint(&endpoint.upstream, endpoint.address);
            let over = |kept: &mut Kept| gone || kept.since < before || kept.link.is_closed();
            closed.extend(endpoint.idle.extract_if(.., over));
            left |= !endpoint.idle.is_empty();
            let needed = endpoint.is_needed();
            if !needed {
                index.remove(&endpoint.key());
            }
            needed
        });
        self.idle.set(self.idle.get() - closed.len());
        left
    }

    /// Closes all kept links.
    pub(crate) fn close(&self) {
        let mut closed = Vec::new();
        for (_, endpoint) in &mut self.endpoints.borrow_mut().known {
            closed.append(&mut endpoint.idle);
        }
        self.idle.set(0);
    }

    /// Whether there is any kept link.
    pub(crate) fn keeps_any(&self) -> bool {
        self.idle.get() > 0
    }

    /// Links kept, and exchanges under way.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.idle.get(), self.busy.get())
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

impl Claim {
    fn new(pool: &Rc<Pool>, upstream: &Number, address: SocketAddr) -> Self {
        let Endpoints { index, known } = &mut *pool.endpoints.borrow_mut();
        let endpoint = *index.entry((upstream.birth(), address)).or_insert_with(|| {
            known.insert(PooledEndpoint {
                upstream: upstream.clone(),
                address,
                idle: Vec::new(),
                busy: 0,
            })
        });
        known[endpoint].busy += 1;
        pool.busy.set(pool.busy.get() + 1);
        Self {
            pool: Rc::clone(pool),
            endpoint,
        }
    }

    /// The kept link that was used last and still is good.
    fn take_kept(&self) -> Option<Link> {
        let mut endpoints = self.pool.endpoints.borrow_mut();
        let idle = &mut endpoints.known[self.endpoint].idle;
        while let Some(Kept { link, .. }) = idle.pop() {
            self.pool.idle.set(self.pool.idle.get() - 1);
            if link.is_ready() {
                self.pool.tally.count(HttpCount::UpstreamReuses);
                return Some(link);
            }
        }
        None
    }

    /// Keeps a link for another request, if there can be one and there is room.
    fn keep(&self, link: Link) {
        let pool = &self.pool;
        let mut endpoints = pool.endpoints.borrow_mut();
        let endpoint = &mut endpoints.known[self.endpoint];
        let wanted = endpoint.idle.len() < pool.limits.max_idle
            && pool.idle.get() < pool.limits.max_idle_in_all
            && pool.current.is_endpoint(&endpoint.upstream, endpoint.address);
        if wanted {
            let since = pool.net.now();
            endpoint.idle.push(Kept { link, since });
            pool.idle.set(pool.idle.get() + 1);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.pool.busy.set(self.pool.busy.get() - 1);
        let mut endpoints = self.pool.endpoints.borrow_mut();
        let endpoint = &mut endpoints.known[self.endpoint];
        endpoint.busy -= 1;
        if !endpoint.is_needed() {
            let endpoint = endpoints.known.remove(self.endpoint);
            endpoints.index.remove(&endpoint.key());
        }
    }
}
