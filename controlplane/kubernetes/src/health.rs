//! `/healthz` and `/readyz` of the control plane.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headgate_controlplane::feedback::Mailbox;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// At one time; others wait, each no longer than for these to end.
const CONNECTIONS: usize = 32;
/// For all of a connection.
const TIME: Duration = Duration::from_secs(5);

/// A listener that the runtime of the source is to serve.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers for ever.
pub(crate) async fn serve(listener: std::net::TcpListener, mailbox: Mailbox, leaving: watch::Receiver<bool>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is left, say.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (mailbox, leaving) = (mailbox.clone(), leaving.clone());
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let leaving = *leaving.borrow();
                let answer = answer(request.method(), request.uri().path(), &mailbox, leaving);
                async { Ok::<_, Infallible>(answer) }
            });
            let mut http = http1::Builder::new();
            http.keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(TIME);
            // A client that goes away, or says nothing, is no event.
            let _ = timeout(TIME, http.serve_connection(TokioIo::new(stream), answer)).await;
            drop(permit);
        });
    }
}

fn answer(method: &Method, path: &str, mailbox: &Mailbox, leaving: bool) -> Response<String> {
    let (status, line) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/healthz" | "/livez") => (StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if leaving => (
            StatusCode::SERVICE_UNAVAILABLE,
            "draining: it ends with the dataplane\n",
        ),
        (&Method::GET | &Method::HEAD, "/readyz") if mailbox.acknowledged() > 0 => (StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the dataplane has not yet acknowledged the state of the cluster\n",
        ),
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "here are /healthz and /readyz\n"),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n"),
    };
    let mut response = Response::new(line.to_owned());
    *response.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allow = header::HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
