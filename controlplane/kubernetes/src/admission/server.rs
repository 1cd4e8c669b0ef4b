//! HTTPS for the API server: HTTP/2 or HTTP/1.1, and bounds for whoever else finds the port.

use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::guests::{Guest, Guests, Standing};
use super::reviewer::Reviewer;

/// At one time; then those that have said least make place for new ones.
const CONNECTIONS: usize = 128;
/// Requests of one connection at one time.
const STREAMS: u32 = 16;
/// Of a request's head, in bytes.
const HEAD: u32 = 32 << 10;
/// For a handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// For a head, which is also how long a connection may say nothing: the API server's stay open for 90 s.
const SILENCE: Duration = Duration::from_secs(100);
/// After this time a connection is asked to end, so that nobody has one for ever,
const LIFE: Duration = Duration::from_secs(600);
/// and after this it ends.
const FAREWELL: Duration = Duration::from_secs(10);

/// Answers for ever.
pub(super) async fn serve(listener: StdListener, tls: Arc<ServerConfig>, reviewer: Arc<Reviewer>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let (acceptor, guests) = (TlsAcceptor::from(tls), Guests::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is left, say.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, reviewer) = (acceptor.clone(), reviewer.clone());
        guests.admit(async move |guest| connection(stream, &acceptor, &reviewer, &guest).await);
    }
}

/// A client that goes away, or makes no sense, is no event.
async fn connection(stream: TcpStream, acceptor: &TlsAcceptor, reviewer: &Arc<Reviewer>, guest: &Arc<Guest>) {
    let shaken = async {
        // Readiness alone may be a mistake.
        stream.peek(&mut [0]).await?;
        guest.has(Standing::Spoken);
        acceptor.accept(stream).await
    };
    let stream = match timeout(HANDSHAKE, shaken).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!("admission webhook: {error}"),
        Err(_) => return,
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let answer = service_fn(|request: Request<Incoming>| {
        let (reviewer, busy) = (reviewer.clone(), guest.begins());
        async move {
            let answer = reviewer.respond(request).await;
            drop(busy);
            Ok::<Response<Full<Bytes>>, Infallible>(answer)
        }
    });
    let stream = TokioIo::new(stream);
    if is_http2 {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD)
            .keep_alive_interval(SILENCE)
            .keep_alive_timeout(FAREWELL);
        let mut connection = pin!(http.serve_connection(stream, answer));
        if timeout(LIFE, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(FAREWELL, connection).await;
        }
    } else {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .max_buf_size(HEAD as usize)
            .header_read_timeout(SILENCE);
        let mut connection = pin!(http.serve_connection(stream, answer));
        if timeout(LIFE, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(FAREWELL, connection).await;
        }
    }
}
