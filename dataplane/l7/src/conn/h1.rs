//! HTTP/1.1: the bytes of a connection, the framing of its requests, and what it becomes after an upgrade.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Response};
use hyper::server::conn::http1::{Builder, Parts};
use hyper::service::service_fn;
use tokio::io::{AsyncWriteExt, copy_bidirectional};

use super::scan::{MAX_HEAD, RefusedRequest, Scanner};
use super::timer::TokioTimer;
use super::{Listed, Server};
use crate::io::{Io, Transport, Watch};
use crate::limits::Limits;
use crate::net::Reset;
use crate::request::{Answer, ClientConnection, Reply, ReplyBody, Then, Tunnel, handle};
use crate::running::{Bell, Cut, Rung};
use headgate_net::phase::Phase;

/// What watches a client's connection: the scanner sees its bytes before hyper does.
struct ClientWatch(Rc<RefCell<Scanner>>);

impl Watch for ClientWatch {
    fn received(&mut self, bytes: &[u8]) {
        self.0.borrow_mut().feed(bytes);
    }

    /// What the connection becomes is not hyper's to say.
    fn keeps_open(&self) -> bool {
        true
    }
}

/// Answers requests until the client or an answer closes the connection, or it becomes something else.
pub(super) async fn speak(
    server: &Server,
    peer: ClientConnection,
    came: Phase,
    transport: Transport,
) -> hyper::Result<()> {
    let peer = Rc::new(peer);
    let scanner = Rc::<RefCell<Scanner>>::default();
    // Nothing shows an HTTP/1 client that a response is not whole but the end of its connection.
    let bell = Rc::<Bell>::default();
    let _listed = Listed::enter(server, &bell);
    let tunnel = RefCell::new(None);
    let end = |reply| Ok::<_, Infallible>(finish(reply, server.dismisses(came), &tunnel));
    let service = service_fn(|request| {
        let verdict = scanner.borrow_mut().verdict().map_err(Answer::from);
        let (gateway, cut) = (Rc::clone(&server.gateway), Cut::new(&bell));
        // Not a block that awaits it: that would have room for the future twice, and hyper moves it for each request.
        handle(gateway, Rc::clone(&peer), cut, verdict, request).map(end)
    });
    let io = Io::watched(transport, ClientWatch(Rc::clone(&scanner)));
    let reset = io.transport.reset();
    // Out here, so that it still holds the stream when that is reset.
    let mut served = server.h1.serve_connection(io, service);
    loop {
        tokio::select! {
            biased;
            rung = bell.rung() => match rung {
                Rung::Cut => {
                    reset.now();
                    return Ok(());
                }
                Rung::Part => {
                    // First what has arrived: a request that is here already is answered.
                    let now = poll_fn(|cx| Poll::Ready(Pin::new(&mut served).poll(cx))).await;
                    if let Poll::Ready(end) = now {
                        break end?;
                    }
                    Pin::new(&mut served).graceful_shutdown();
                }
            },
            end = &mut served => break end?,
        }
    }
    let parts = served.into_parts();
    let tunnel = tunnel.borrow_mut().take();
    match tunnel {
        Some(tunnel) => {
            scanner.borrow_mut().end();
            carry(parts.io.transport, &parts.read_buf, *tunnel, &bell).await;
        }
        None => close(parts).await,
    }
    Ok(())
}

impl From<RefusedRequest> for Answer {
    /// Nothing behind a request with such a head can be read.
    fn from(RefusedRequest { status, reason }: RefusedRequest) -> Self {
        Self::new(status, reason).last()
    }
}

/// A reply as hyper sends it, with the client dismissed or not; a tunnel is put down until hyper has.
fn finish(reply: Reply, dismissed: bool, tunnel: &RefCell<Option<Box<Tunnel>>>) -> Response<ReplyBody> {
    let mut response = reply.response;
    match reply.then {
        Then::Continue if !dismissed => {}
        Then::Continue | Then::Close => {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Then::Tunnel(upstream) => *tunnel.borrow_mut() = Some(upstream),
    }
    response
}

async fn close<W, S>(parts: Parts<Io<W>, S>) {
    let mut transport = parts.io.transport;
    // It has closed already, if that fails.
    let _ = transport.shutdown().await;
}

/// Carries bytes both ways until both sides have closed, one breaks, or policies no longer allow it.
async fn carry(mut client: Transport, early: &[u8], tunnel: Tunnel, bell: &Bell) {
    let Tunnel { upstream, ticket } = tunnel;
    let mut pod = upstream.io.transport;
    let resets = [client.reset(), pod.reset()];
    let bytes = async {
        pod.write_all(early).await?;
        client.write_all(&upstream.read_buf).await?;
        copy_bidirectional(&mut client, &mut pod).await
    };
    tokio::select! {
        biased;
        () = bell.to_be_cut() => resets.into_iter().for_each(Reset::now),
        // However it ended: there is nobody left to tell.
        _ = bytes => {}
    };
    drop(ticket);
}

/// How hyper serves all connections of a stage.
pub(super) fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer)
        .header_read_timeout(limits.header)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD.max(64 << 10))
        .half_close(false);
    builder
}
