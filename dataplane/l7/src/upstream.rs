//! Connections to pods: opened, kept for the next request, and closed.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Parts, SendRequest};
use hyper::{Request, Response};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::Shared;
use super::body::Body;
use super::http::Io;
use super::running::Place;
use headgate_net::clock::Nanos;

/// The endpoints that this worker has connections to.
#[derive(Default)]
pub(super) struct Pool {
    endpoints: RefCell<HashMap<SocketAddr, Endpoint>>,
    /// Where the next choice among endpoints begins.
    turn: Cell<usize>,
    busy: Cell<usize>,
}

#[derive(Default)]
struct Endpoint {
    /// The one used last at the end.
    idle: Vec<Kept>,
    /// Connections that carry a request.
    busy: usize,
}

struct Kept {
    connection: Connection,
    since: Nanos,
}

/// One HTTP/1.1 connection to a pod; its task ends when this is dropped.
struct Connection {
    sender: SendRequest<Body>,
    task: AbortHandle,
    upgraded: oneshot::Receiver<Parts<Io>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The right to use a connection for one request. Dropping it closes the connection.
pub(super) struct Lease {
    shared: Rc<Shared>,
    pub(super) endpoint: SocketAddr,
    connection: Option<Connection>,
    /// Whether the connection has carried a request before.
    pub(super) reused: bool,
    /// The request that it is for.
    pub(super) place: Place,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    Refused(io::Error),
    Late,
}

impl Pool {
    /// Chooses an endpoint: beginning with the one whose turn it is, the less busy of the first two that `allowed`
    /// lets through and that are not in `tried`. `None` if there is none.
    pub(super) fn choose(
        &self,
        endpoints: &[SocketAddr],
        tried: &[SocketAddr],
        allowed: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let start = turn.checked_rem(endpoints.len())?;
        let (before, after) = endpoints.split_at(start);
        let candidates = after.iter().chain(before).copied();
        let mut open = candidates.filter(|e| !tried.contains(e) && allowed(*e));
        let (first, second) = (open.next()?, open.next());
        let known = self.endpoints.borrow();
        let busy = |endpoint: &SocketAddr| known.get(endpoint).map_or(0, |e| e.busy);
        Some(
            second
                .filter(|second| busy(second) < busy(&first))
                .unwrap_or(first),
        )
    }

    /// Takes a kept connection to an endpoint.
    fn take(&self, endpoint: SocketAddr) -> Option<Connection> {
        let mut endpoints = self.endpoints.borrow_mut();
        let kept = &mut endpoints.get_mut(&endpoint)?.idle;
        while let Some(Kept { connection, .. }) = kept.pop() {
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn busy(&self, endpoint: SocketAddr, more: bool) {
        let mut endpoints = self.endpoints.borrow_mut();
        let known = endpoints.entry(endpoint).or_default();
        known.busy = if more { known.busy + 1 } else { known.busy - 1 };
        self.busy.set(if more {
            self.busy.get() + 1
        } else {
            self.busy.get() - 1
        });
        if known.busy == 0 && known.idle.is_empty() {
            endpoints.remove(&endpoint);
        }
    }

    /// Closes kept connections that were unused since before `before`, or that the pod has closed. Returns whether
    /// any are left.
    pub(super) fn expire(&self, before: Nanos) -> bool {
        let mut closed = Vec::new();
        let mut left = false;
        self.endpoints.borrow_mut().retain(|_, endpoint| {
            closed.extend(
                endpoint
                    .idle
                    .extract_if(.., |k| k.since < before || k.connection.sender.is_closed()),
            );
            left |= !endpoint.idle.is_empty();
            endpoint.busy > 0 || !endpoint.idle.is_empty()
        });
        left
    }

    /// Closes kept connections to endpoints that are gone.
    pub(super) fn retain(&self, endpoints: &HashSet<SocketAddr>) {
        let mut closed = Vec::new();
        self.endpoints.borrow_mut().retain(|address, endpoint| {
            if !endpoints.contains(address) {
                closed.append(&mut endpoint.idle);
            }
            endpoint.busy > 0 || !endpoint.idle.is_empty()
        });
    }

    /// Connections kept, and connections in use.
    pub(super) fn counts(&self) -> (usize, usize) {
        (
            self.endpoints.borrow().values().map(|e| e.idle.len()).sum(),
            self.busy.get(),
        )
    }
}

impl Lease {
    /// A kept connection to an endpoint, or else the place back.
    pub(super) fn reuse(shared: &Rc<Shared>, endpoint: SocketAddr, place: Place) -> Result<Self, Place> {
        let Some(connection) = shared.pool.take(endpoint) else {
            return Err(place);
        };
        shared.tally.count(|c| c.upstream_reuses += 1);
        Ok(Self::new(shared, endpoint, connection, true, place))
    }

    /// A new connection to an endpoint.
    pub(super) async fn connect(
        shared: &Rc<Shared>,
        endpoint: SocketAddr,
        place: Place,
    ) -> Result<Self, ConnectError> {
        let connecting = shared.net.connect(endpoint);
        let stream = match tokio::time::timeout(shared.limits.connect, connecting).await {
            Ok(stream) => stream.map_err(ConnectError::Refused)?,
            Err(_) => return Err(ConnectError::Late),
        };
        let handshake = Builder::new().handshake::<_, Body>(Io::upstream(stream)).await;
        let (sender, connection) = handshake.map_err(|e| ConnectError::Refused(io::Error::other(e)))?;
        let (upgrade, upgraded) = oneshot::channel();
        let task = tokio::task::spawn_local(async move {
            // An error reaches whoever waits for the response; what is left of an orderly end is an upgrade, if any.
            if let Ok(parts) = connection.without_shutdown().await {
                drop(upgrade.send(parts));
            }
        });
        shared.tally.count(|c| c.upstream_connects += 1);
        let connection = Connection {
            sender,
            task: task.abort_handle(),
            upgraded,
        };
        Ok(Self::new(shared, endpoint, connection, false, place))
    }

    fn new(
        shared: &Rc<Shared>,
        endpoint: SocketAddr,
        connection: Connection,
        reused: bool,
        place: Place,
    ) -> Self {
        shared.pool.busy(endpoint, true);
        place.over(connection.task.clone());
        Self {
            shared: Rc::clone(shared),
            endpoint,
            connection: Some(connection),
            reused,
            place,
        }
    }

    /// Sends a request; gives it back if nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let connection = self.connection.as_mut().expect("held until given back");
        connection.sender.try_send_request(request).await
    }

    /// Waits for the bytes of a connection that has become something else.
    pub(super) async fn upgraded(&mut self) -> Option<Parts<Io>> {
        let connection = self.connection.as_mut()?;
        (&mut connection.upgraded).await.ok()
    }

    /// The response is complete: keeps the connection, once the request is too.
    pub(super) fn give_back(mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if connection.sender.is_closed() {
            return;
        }
        if connection.sender.is_ready() {
            return self.keep(connection);
        }
        let patience = Duration::from_secs(1);
        tokio::task::spawn_local(async move {
            if let Ok(Ok(())) = tokio::time::timeout(patience, connection.sender.ready()).await {
                self.keep(connection);
            }
        });
    }

    fn keep(&self, connection: Connection) {
        let shared = &self.shared;
        if !shared.is_endpoint(self.endpoint) || self.place.is_cut() {
            return;
        }
        let mut endpoints = shared.pool.endpoints.borrow_mut();
        let idle = &mut endpoints.entry(self.endpoint).or_default().idle;
        let since = shared.net.now();
        let excess = if idle.len() >= shared.limits.max_idle {
            Some(connection)
        } else {
            idle.push(Kept { connection, since });
            None
        };
        drop(endpoints);
        drop(excess);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.connection.take());
        self.shared.pool.busy(self.endpoint, false);
    }
}
