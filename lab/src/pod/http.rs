//! HTTP that tells what it saw.
//!
//! | path | answer |
//! |---|---|
//! | `/bytes/N?seed=S` | `N` pseudo-random bytes, their SHA-256 in `x-sha256` |
//! | `/chunked/N?seed=S` | the same without a `Content-Length` |
//! | `/upload` | the number of bytes received and their SHA-256 |
//! | `/slow/MS` | what it saw, after so many milliseconds |
//! | `/status/NNN` | that status |
//! | `/close` | what it saw, with `Connection: close` |
//! | `/reset` | the connection ends without an answer |
//! | `/tunnel` | to a request with `Upgrade`: 101, and then whatever is sent comes back |
//! | anything else | what it saw |
//!
//! Every answer has the pod's name in `x-pod`.

use std::{convert::Infallible, net::SocketAddr, rc::Rc, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};

use super::pattern::{Pattern, hex};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A request as the pod saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The pod's name.
    pub pod: String,
    /// The request's method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `HTTP/1.1`.
    pub version: String,
    /// The other end of the connection.
    pub remote: SocketAddr,
    /// Whether the pod's end of the connection is TLS; this server has none.
    pub tls: bool,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// The first header of this name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What `/upload` answers.
#[derive(Serialize)]
struct Received<'a> {
    pod: &'a str,
    bytes: u64,
    sha256: String,
}

pub(super) async fn serve(listener: TcpListener, name: Rc<str>) {
    while let Ok((stream, remote)) = listener.accept().await {
        tokio::task::spawn_local(connection(stream, remote, name.clone()));
    }
}

async fn connection(stream: TcpStream, remote: SocketAddr, name: Rc<str>) {
    // Without it the pieces of an answer wait for each other's acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let name = name.clone();
        async move {
            let mut answer = answer(request, remote, &name).await?;
            let shown = HeaderValue::from_str(&name).unwrap_or(HeaderValue::from_static("unnamed"));
            answer.headers_mut().insert("x-pod", shown);
            Ok::<_, Hangup>(answer)
        }
    });
    // Errors are the client's going away, or `/reset`.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// Ends the connection without an answer.
#[derive(Debug)]
struct Hangup;

impl std::fmt::Display for Hangup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("asked to hang up")
    }
}

impl std::error::Error for Hangup {}

async fn answer(request: Request<Incoming>, remote: SocketAddr, name: &str) -> Result<Answer, Hangup> {
    let path = request.uri().path().to_owned();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (first, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    Ok(match (first, rest.parse::<u64>().ok()) {
        ("bytes", Some(length)) => bytes(&request, length, true),
        ("chunked", Some(length)) => bytes(&request, length, false),
        ("upload", _) => upload(request, name).await?,
        ("slow", Some(milliseconds)) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            json(&seen(&request, remote, name))
        }
        ("status", Some(status)) => {
            let status = u16::try_from(status)
                .ok()
                .and_then(|s| StatusCode::from_u16(s).ok());
            let mut answer = json(&seen(&request, remote, name));
            *answer.status_mut() = status.unwrap_or(StatusCode::BAD_REQUEST);
            answer
        }
        ("close", _) => {
            let mut answer = json(&seen(&request, remote, name));
            answer
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
            answer
        }
        ("reset", _) => return Err(Hangup),
        ("tunnel", _) => tunnel(request),
        _ => json(&seen(&request, remote, name)),
    })
}

fn seen(request: &Request<Incoming>, remote: SocketAddr, name: &str) -> Seen {
    let path = request
        .uri()
        .path_and_query()
        .map_or("", |p| p.as_str())
        .to_owned();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Seen {
        pod: name.to_owned(),
        method: request.method().to_string(),
        path,
        version: format!("{:?}", request.version()),
        remote,
        tls: false,
        headers: request
            .headers()
            .iter()
            .map(|(n, v)| (n.to_string(), text(v)))
            .collect(),
    }
}

fn json(value: &impl Serialize) -> Answer {
    // Structs of strings and numbers always serialise.
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    let mut answer = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn bytes(request: &Request<Incoming>, length: u64, sized: bool) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let seed = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("seed=")?.parse().ok())
        .unwrap_or(0);
    let pattern = Pattern::new(length, seed);
    let sum = pattern.clone().sha256();
    let body = Stream {
        pattern,
        length: sized.then_some(length),
    };
    let mut answer = Response::new(body.boxed_unsync());
    if let Ok(value) = HeaderValue::from_str(&sum) {
        answer.headers_mut().insert("x-sha256", value);
    }
    answer
}

fn tunnel(request: Request<Incoming>) -> Answer {
    let mut answer = Response::new(Full::default().boxed_unsync());
    let Some(protocol) = request.headers().get(header::UPGRADE).cloned() else {
        *answer.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return answer;
    };
    tokio::task::spawn_local(async {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let (mut incoming, mut outgoing) = tokio::io::split(TokioIo::new(upgraded));
            // Errors are the client's going away.
            let _ = tokio::io::copy(&mut incoming, &mut outgoing).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut outgoing).await;
        }
    });
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let upgrade = HeaderValue::from_static("upgrade");
    answer.headers_mut().insert(header::CONNECTION, upgrade);
    answer.headers_mut().insert(header::UPGRADE, protocol);
    answer
}

async fn upload(request: Request<Incoming>, name: &str) -> Result<Answer, Hangup> {
    let mut body = request.into_body();
    let mut hash = Context::new(&SHA256);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        // The client went away in the middle of the body: nobody to answer.
        let frame = frame.map_err(|_| Hangup)?;
        if let Some(data) = frame.data_ref() {
            hash.update(data);
            bytes += data.len() as u64;
        }
    }
    Ok(json(&Received {
        pod: name,
        bytes,
        sha256: hex(hash.finish().as_ref()),
    }))
}

/// A [`Pattern`] as a body; its length is told only where it is known.
struct Stream {
    pattern: Pattern,
    length: Option<u64>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.pattern.next().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.length
            .map_or_else(hyper::body::SizeHint::default, hyper::body::SizeHint::with_exact)
    }
}
