//! A client's connection: TLS where the listener wants it, then what the client speaks.

mod h1;
mod scan;
mod timer;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use headgate_ring::message::ListenerProtocol;
use hyper::server::conn::http1::Builder;
use rustls::HandshakeKind;
use rustls::server::Acceptor;
use slab::Slab;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio_rustls::LazyConfigAcceptor;

use super::headers::Client;
use super::io::Transport;
use super::net::Stream;
use super::request::{ClientConnection, Gateway};
use super::running::Bell;
use headgate_net::phase::Phase;
use headgate_net::record::HttpCount;

/// A fatal TLS alert: unrecognized_name (RFC 6066 section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What a client reads that speaks HTTP to a TLS listener.
const PLAIN_ON_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: text/plain; charset=utf-8\r\n\
content-length: 68\r\n\
server: headgate\r\n\
connection: close\r\n\
\r\n\
400 Bad Request: this port speaks HTTPS, and the request was HTTP.\n\n";

/// Serves the connections of clients.
pub(crate) struct Server {
    pub(crate) gateway: Rc<Gateway>,
    h1: Builder,
    /// Tasks that serve clients.
    clients: Cell<usize>,
    /// Told when one of them ends.
    left: Notify,
    phase: Cell<Phase>,
    /// Of the connections that speak HTTP.
    bells: RefCell<Slab<Rc<Bell>>>,
}

impl Server {
    pub(crate) fn new(gateway: Rc<Gateway>) -> Self {
        Self {
            h1: h1::builder(&gateway.limits),
            gateway,
            clients: Cell::default(),
            left: Notify::new(),
            phase: Cell::default(),
            bells: RefCell::default(),
        }
    }

    /// The dataplane is so far with its end. Connections are asked to end with their next response, and in the end those
    /// that wait for a request are closed.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        if phase == Phase::Parting {
            self.bells.borrow().iter().for_each(|(_, bell)| bell.part());
        }
    }

    /// How far the dataplane is with its end.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether a connection that came in a phase is to end with its next response. One that came while clients are still
    /// taken may stay until they are not: whoever sends it here would send it again.
    fn dismisses(&self, came: Phase) -> bool {
        let phase = self.phase.get();
        phase.is_draining() && (phase > came || phase.is_closed())
    }

    /// Client connections being served.
    pub(crate) fn clients(&self) -> usize {
        self.clients.get()
    }

    /// Waits until fewer than `most` clients are being served.
    pub(crate) async fn has_room(&self, most: usize) {
        while self.clients() >= most {
            self.left.notified().await;
        }
    }

    /// Serves a client as a task of the runtime.
    pub(crate) fn serve(self: &Rc<Self>, stream: Stream) {
        let serving = Serving::begin(self);
        tokio::task::spawn_local(async move {
            serve(&serving.0, stream).await;
        });
    }
}

/// Serves a client's connection until it ends.
async fn serve(server: &Server, stream: Stream) {
    let gateway = &server.gateway;
    let protocol = gateway
        .current
        .configured(|config| config.listeners.get(&stream.listener()).copied());
    let Some(protocol) = protocol.flatten() else {
        return stream.abort();
    };
    gateway.tally.count(HttpCount::Connections);
    let came = server.phase.get();
    let tls = protocol == ListenerProtocol::Https;
    let client = Client::new(stream.peer_addr(), stream.local_addr(), tls);
    let transport = if tls {
        let handshake = handshake(gateway, stream);
        match tokio::time::timeout(gateway.limits.handshake, handshake).await {
            Ok(Some(transport)) => transport,
            Ok(None) => return,
            Err(_) => return gateway.tally.count(HttpCount::HandshakesFailed),
        }
    } else {
        Transport::Plain(stream)
    };
    if let Err(error) = h1::speak(server, ClientConnection::new(client), came, transport).await {
        tracing::debug!(%error, "a client's connection ended");
        gateway.tally.count(HttpCount::ClientErrors);
    }
}

async fn handshake(gateway: &Gateway, mut stream: Stream) -> Option<Transport> {
    // A method's first letter is no TLS record's type (RFC 8446 section 5.1).
    if stream.peek().await.is_some_and(|byte| byte.is_ascii_alphabetic()) {
        gateway.tally.count(HttpCount::PlainOnTls);
        // A client that is gone already needs no explanation.
        let _ = stream.write_all(PLAIN_ON_TLS).await;
        return None;
    }
    let mut start = match LazyConfigAcceptor::new(Acceptor::default(), stream).await {
        Ok(start) => start,
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            gateway.tally.count(HttpCount::HandshakesFailed);
            return None;
        }
    };
    let tls = gateway.current.configured(|config| {
        let found = config.tls.find(start.client_hello().server_name());
        found.map(Arc::clone)
    });
    let Some(tls) = tls.flatten() else {
        gateway.tally.count(HttpCount::UnknownNames);
        // As above.
        let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
        return None;
    };
    match start.into_stream(tls).await {
        Ok(stream) => {
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            gateway.tally.count(HttpCount::Handshakes);
            if resumed {
                gateway.tally.count(HttpCount::Resumed);
            }
            Some(Transport::Tls(Box::new(stream)))
        }
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            gateway.tally.count(HttpCount::HandshakesFailed);
            None
        }
    }
}

/// A connection's bell among those that are rung at the end, until this is dropped.
struct Listed<'a> {
    server: &'a Server,
    key: usize,
}

impl<'a> Listed<'a> {
    fn enter(server: &'a Server, bell: &Rc<Bell>) -> Self {
        let key = server.bells.borrow_mut().insert(Rc::clone(bell));
        Self { server, key }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.server.bells.borrow_mut().remove(self.key);
    }
}

/// Counts a task that serves a client, however it ends.
struct Serving(Rc<Server>);

impl Serving {
    fn begin(server: &Rc<Server>) -> Self {
        server.clients.set(server.clients.get() + 1);
        Self(Rc::clone(server))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.clients.set(self.0.clients.get() - 1);
        self.0.left.notify_waiters();
    }
}
