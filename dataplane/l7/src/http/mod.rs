//! A client's connection: TLS where the listener wants it, HTTP/1.1, and tunnels.

mod io;
mod scan;
mod timer;

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper::server::conn::http1::{Builder, Parts};
use hyper::service::service_fn;
use rustls::HandshakeKind;
use rustls::server::Acceptor;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::sync::Notify;
use tokio_rustls::LazyConfigAcceptor;

pub(super) use io::{Io, Transport};
pub(super) use scan::Refusal;
use scan::{MAX_HEAD, Scanner};

use super::Shared;
use super::answer::PLAIN_ON_TLS;
use super::middleware::Client;
use super::net::{Reset, Stream};
use super::proxy::{Session, Tunnel, handle};
use headgate_ring::message::ListenerProtocol;

/// A fatal TLS alert: unrecognized_name (RFC 6066 section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Serves a client's connection until it ends.
pub(super) async fn serve(shared: Rc<Shared>, stream: Stream) {
    let kind = shared.configured(|config| config.listeners.get(&stream.listener()).copied());
    let Some(kind) = kind.flatten() else {
        return stream.abort();
    };
    shared.tally.count(|c| c.connections += 1);
    let tls = kind == ListenerProtocol::Https;
    let client = Client::new(stream.peer_addr(), stream.local_addr(), tls);
    let transport = if tls {
        let handshake = handshake(&shared, stream);
        match tokio::time::timeout(shared.limits.handshake, handshake).await {
            Ok(Some(transport)) => transport,
            Ok(None) => return,
            Err(_) => return shared.tally.count(|c| c.handshakes_failed += 1),
        }
    } else {
        Transport::Plain(stream)
    };
    if let Err(error) = speak_http(&shared, client, transport).await {
        tracing::debug!(%error, "a client's connection ended");
        shared.tally.count(|c| c.client_errors += 1);
    }
}

async fn handshake(shared: &Shared, mut stream: Stream) -> Option<Transport> {
    // A method's first letter is no TLS record's type (RFC 8446 section 5.1).
    if stream.peek().await.is_some_and(|byte| byte.is_ascii_alphabetic()) {
        shared.tally.count(|c| c.plain_on_tls += 1);
        drop(stream.write_all(PLAIN_ON_TLS).await);
        return None;
    }
    let mut start = match LazyConfigAcceptor::new(Acceptor::default(), stream).await {
        Ok(start) => start,
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            shared.tally.count(|c| c.handshakes_failed += 1);
            return None;
        }
    };
    let tls = shared.configured(|config| {
        let certificate = config.certificates.find(start.client_hello().server_name());
        certificate.map(|_| Arc::clone(&config.tls))
    });
    let Some(tls) = tls.flatten() else {
        shared.tally.count(|c| c.unknown_names += 1);
        drop(start.io.write_all(&UNRECOGNIZED_NAME).await);
        return None;
    };
    match start.into_stream(tls).await {
        Ok(stream) => {
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            shared.tally.count(|c| {
                c.handshakes += 1;
                c.resumed += u64::from(resumed);
            });
            Some(Transport::Tls(Box::new(stream)))
        }
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            shared.tally.count(|c| c.handshakes_failed += 1);
            None
        }
    }
}

/// Answers requests until the client or an answer closes the connection, or it becomes something else.
async fn speak_http(shared: &Rc<Shared>, client: Client, transport: Transport) -> hyper::Result<()> {
    let session = Rc::new(Session {
        shared: Rc::clone(shared),
        client,
        active: Rc::clone(&shared.active),
        tunnel: RefCell::new(None),
        bell: Rc::new(Notify::new()),
        reached: RefCell::default(),
    });
    let scanner = Rc::new(RefCell::new(Scanner::default()));
    let service = service_fn(|request| {
        let verdict = scanner.borrow_mut().verdict();
        let answer = handle(Rc::clone(&session), verdict, request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let io = Io {
        transport,
        scanner: Some(Rc::clone(&scanner)),
    };
    let reset = io.transport.reset();
    // Pinned here, so that it still holds the stream when that is reset.
    let mut served = pin!(shared.http.serve_connection(io, service).without_shutdown());
    let parts = tokio::select! {
        biased;
        () = session.bell.notified() => {
            reset.now();
            return Ok(());
        }
        parts = &mut served => parts?,
    };
    let tunnel = session.tunnel.borrow_mut().take();
    match tunnel {
        Some(tunnel) => {
            scanner.borrow_mut().end();
            carry(parts.io.transport, &parts.read_buf, tunnel, &session.bell).await;
        }
        None => close(parts).await,
    }
    Ok(())
}

async fn close<S>(parts: Parts<Io, S>) {
    let mut transport = parts.io.transport;
    drop(transport.shutdown().await);
}

/// Carries bytes both ways until both sides have closed, one breaks, or policies no longer allow it.
async fn carry(mut client: Transport, early: &[u8], tunnel: Tunnel, bell: &Notify) {
    let Tunnel { upstream, lease } = tunnel;
    let mut pod = upstream.io.transport;
    let resets = [client.reset(), pod.reset()];
    let bytes = async {
        pod.write_all(early).await?;
        client.write_all(&upstream.read_buf).await?;
        copy_bidirectional(&mut client, &mut pod).await
    };
    tokio::select! {
        biased;
        () = bell.notified() => resets.into_iter().for_each(Reset::now),
        ended = bytes => drop(ended),
    };
    drop(lease);
}

/// How hyper serves all connections of a stage.
pub(super) fn builder(limits: &super::Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(timer::TokioTimer)
        .header_read_timeout(limits.header)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD.max(64 << 10))
        .half_close(false);
    builder
}
