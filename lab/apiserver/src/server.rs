//! Connections: TLS, HTTP/1.1 and HTTP/2, and the faults that requests meet.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::access::{User, of_certificate};
use crate::answer::Answer;
use crate::body::Body;
use crate::failure::Failure;
use crate::faults::Effect;
use crate::journal::Entry;
use crate::request::Request;
use crate::route;
use crate::shared::Shared;

/// The largest body of a request, as the real server has it.
const LARGEST_BODY: usize = 3 * 1024 * 1024;

/// How long a connection of HTTP/1.1 may wait for its next request, as the real server has it.
const IDLE: Duration = Duration::from_secs(90);

/// How long requests have that are under way when the server ends in order.
const GRACE: Duration = Duration::from_secs(60);

/// What the thread of connections is told.
pub(crate) enum Command {
    /// Takes connections from now on.
    Listen(mpsc::Sender<io::Result<()>>),
    /// Takes no more: they are refused.
    Refuse(mpsc::Sender<io::Result<()>>),
    /// Ends those that there are.
    Drop(mpsc::Sender<io::Result<()>>),
    /// Takes no more, ends watches, and waits for the other requests.
    Drain(mpsc::Sender<io::Result<()>>),
    /// Does nothing at all until the other side of the channel is gone.
    Freeze(mpsc::Sender<io::Result<()>>, mpsc::Receiver<()>),
    /// Shows another certificate to those who come.
    Certificate(Arc<ServerConfig>, mpsc::Sender<io::Result<()>>),
}

/// Serves until nobody is there to give commands.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    address: SocketAddr,
    mut tls: Arc<ServerConfig>,
    mut commands: UnboundedReceiver<Command>,
) {
    let mut listener: Option<TcpListener> = None;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Listen(done)) => {
                    let bound = if listener.is_none() { listen(address).map(|new| listener = Some(new)) } else { Ok(()) };
                    let _ = done.send(bound);
                }
                Some(Command::Refuse(done)) => {
                    listener = None;
                    let _ = done.send(Ok(()));
                }
                Some(Command::Drop(done)) => {
                    connections.shutdown().await;
                    let _ = done.send(Ok(()));
                }
                Some(Command::Drain(done)) => {
                    listener = None;
                    shared.closing.send_modify(|n| *n += 1);
                    shared.watches_closed.send_modify(|n| *n += 1);
                    let finished = async { while connections.join_next().await.is_some() {} };
                    let _ = tokio::time::timeout(GRACE, finished).await;
                    connections.shutdown().await;
                    let _ = done.send(Ok(()));
                }
                Some(Command::Freeze(done, thawed)) => {
                    let _ = done.send(Ok(()));
                    // All connections live on this thread: they stand still with it, as those of a stopped process do.
                    let _ = thawed.recv();
                }
                Some(Command::Certificate(new, done)) => {
                    tls = new;
                    let _ = done.send(Ok(()));
                }
                None => return,
            },
            stream = accept(listener.as_ref()) => {
                connections.spawn(connection(Arc::clone(&shared), stream, Arc::clone(&tls)));
            }
            _ = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// A socket that is bound and not listening: its port stays ours while connections are refused.
pub(crate) fn reserve(address: SocketAddr) -> Result<(TcpSocket, SocketAddr)> {
    let socket = bind(address).with_context(|| format!("binding {address}"))?;
    let address = socket.local_addr().context("asking for the address")?;
    Ok((socket, address))
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(1024)
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
        tokio::task::yield_now().await;
    }
}

/// Serves a connection, and lets it end after the requests that there are once the server is closing. The two versions of
/// HTTP have no trait in common.
macro_rules! finish {
    ($served:ident, $closing:ident) => {{
        let mut served = pin!($served);
        tokio::select! {
            ended = served.as_mut() => ended,
            _ = $closing.changed() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    }};
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, tls: Arc<ServerConfig>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else {
        return;
    };
    let session = stream.get_ref().1;
    let user = session
        .peer_certificates()
        .and_then(|chain| of_certificate(chain.first()?));
    let http2 = session.alpn_protocol() == Some(b"h2");
    let mut closing = shared.closing.subscribe();
    let service = service_fn(move |request| {
        let (shared, user) = (Arc::clone(&shared), user.clone());
        async move { Ok::<_, std::convert::Infallible>(respond(&shared, request, user).await) }
    });
    let stream = TokioIo::new(stream);
    let ended = if http2 {
        let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let served = server
            .timer(TokioTimer::new())
            .max_concurrent_streams(1000)
            .serve_connection(stream, service);
        finish!(served, closing)
    } else {
        let mut server = hyper::server::conn::http1::Builder::new();
        let served = server
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .serve_connection(stream, service);
        finish!(served, closing)
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn respond(
    shared: &Arc<Shared>,
    request: hyper::Request<Incoming>,
    user: Option<User>,
) -> Response<Body> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let raw_query = head.uri.query().unwrap_or_default().to_owned();
    let request = Request::new(head.method, head.uri.path(), &raw_query, head.headers);
    let effects = shared.faults.of(&request.target, &request.path);
    let user = shared.users.authenticate(&request, user.as_ref());
    let name = user.as_ref().map(|user| user.name.clone()).unwrap_or_default();
    let note = Note {
        request: &request,
        raw_query,
        user: name,
        at,
        http2: head.version == Version::HTTP_2,
    };
    let mut answer = match before(shared, &effects, &note).await {
        Some(answer) => answer,
        None => match user {
            Ok(user) => answer(shared, &request, &user, body)
                .await
                .unwrap_or_else(Answer::from),
            Err(failure) => Answer::from(failure),
        },
    };
    for effect in &effects {
        answer.body = match effect {
            Effect::Trickle { bytes_per_second } => answer.body.trickle(*bytes_per_second),
            Effect::Cut { after } => answer.body.cut(*after),
            _ => answer.body,
        };
    }
    note.write(shared, answer.status);
    let mut response = answer.into_response();
    response.headers_mut().insert(
        "audit-id",
        HeaderValue::from_static("00000000-0000-0000-0000-000000000000"),
    );
    response
}

/// What faults do before anything is answered.
async fn before(shared: &Shared, effects: &[Effect], note: &Note<'_>) -> Option<Answer> {
    for effect in effects {
        match effect {
            Effect::Delay(time) => tokio::time::sleep(*time).await,
            Effect::Hang => {
                // Whoever sees the note may clear the fault at once.
                let mut cleared = shared.faults.cleared();
                note.write(shared, 0);
                let _ = cleared.changed().await;
            }
            Effect::Status { code, retry_after } => return Some(fault(*code, *retry_after)),
            Effect::Trickle { .. } | Effect::Cut { .. } => {}
        }
    }
    None
}

fn fault(code: u16, retry_after: Option<u32>) -> Answer {
    if let (429, Some(seconds)) = (code, retry_after) {
        // Priority and fairness has no `Status` for it (`tooManyRequests`).
        let answer = Answer::text(429, "Too many requests, please try again later.\n");
        return answer.header(RETRY_AFTER, &seconds.to_string());
    }
    let (reason, said) = match code {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden"),
        410 => ("Expired", "The resourceVersion for the provided list is too old."),
        429 => ("TooManyRequests", "Too many requests, please try again later."),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        _ => (
            "InternalError",
            "Internal error occurred: etcdserver: leader changed",
        ),
    };
    Failure {
        retry_after,
        ..Failure::new(code, reason, said)
    }
    .into()
}

async fn answer(
    shared: &Arc<Shared>,
    request: &Request,
    user: &User,
    body: Incoming,
) -> Result<Answer, Failure> {
    let body = read(body).await?;
    route::answer(shared, request, user, body).await
}

/// The whole body of a request; 413 where it is larger than any may be.
async fn read(body: Incoming) -> Result<Bytes, Failure> {
    match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let said = format!("Request entity too large: limit is {LARGEST_BODY}");
            Err(Failure::new(413, "RequestEntityTooLarge", said))
        }
        Err(error) => Err(Failure::bad_request(format!("reading the body: {error}"))),
    }
}

/// What the journal is told of a request.
struct Note<'a> {
    request: &'a Request,
    raw_query: String,
    user: String,
    at: Instant,
    http2: bool,
}

impl Note<'_> {
    fn write(&self, shared: &Shared, status: u16) {
        let target = &self.request.target;
        let resource = match target.subresource.as_str() {
            "" => target.resource.clone(),
            sub => format!("{}/{sub}", target.resource),
        };
        shared.journal.push(Entry {
            method: self.request.method.to_string(),
            path: self.request.path.clone(),
            query: self.raw_query.clone(),
            verb: target.verb.to_owned(),
            resource,
            user: self.user.clone(),
            user_agent: self.request.user_agent().to_owned(),
            status,
            at: self.at,
            took: self.at.elapsed(),
            http2: self.http2,
        });
    }
}
