//! The third stage: a request goes to a pod, and the head of the response comes back.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body as _, Incoming};
use tokio::time::error::Elapsed;

use super::answer::Answer;
use super::choose::Candidates;
use super::{ClientConnection, Gateway};
use crate::body::{Progress, Upload};
use crate::headers::{self, Client};
use crate::running::{Cut, RunningRequest};
use crate::upstream::{ConnectError, Ticket};
use headgate_net::record::{HttpCount, UpstreamCount};

/// The protocol that a request asks to change to (RFC 9110 section 7.8); requests with a body do not change.
pub(super) fn wanted_upgrade(request: &Request<Incoming>) -> Option<HeaderValue> {
    let asked = request.headers().get_all(CONNECTION).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|v| v.trim().eq_ignore_ascii_case("upgrade")))
    });
    let possible = asked && request.version() == Version::HTTP_11 && request.body().is_end_stream();
    // HTTP/2 in a tunnel would carry requests that no rule has seen, with headers of the client's own making; RFC 9113
    // section 3.1 has done away with it.
    let known = |value: &HeaderValue| {
        let http2 = |protocol: &str| protocol.trim().eq_ignore_ascii_case("h2c");
        value.to_str().is_ok_and(|value| !value.split(',').any(http2))
    };
    let mut protocols = request.headers().get_all(UPGRADE).iter();
    let only = protocols.next().filter(|_| protocols.next().is_none());
    only.filter(|value| possible && known(value)).cloned()
}

/// Turns a client's request into the one for the pod.
pub(super) fn prepare(
    request: Request<Incoming>,
    client: &Client,
    host: HeaderValue,
    id: &HeaderValue,
    upgrade: Option<&HeaderValue>,
) -> Request<Upload> {
    let (mut head, body) = request.into_parts();
    if head.uri.authority().is_some() {
        let origin = head
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or(PathAndQuery::from_static("/"));
        head.uri = Uri::from(origin);
    }
    headers::prepare_request(&mut head.headers, client, host, id);
    if let Some(protocol) = upgrade {
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol.clone());
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let body = if body.is_end_stream() {
        Upload::Empty
    } else {
        // hyper takes it that GET and HEAD have no body unless somebody says so, and would drop it.
        if !head.headers.contains_key(CONTENT_LENGTH) {
            head.headers
                .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Upload::Client(body, Progress::new())
    };
    Request::from_parts(head, body)
}

/// A request on its way to one of its candidates.
pub(super) struct Delivery<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) peer: &'a ClientConnection,
    pub(super) cut: &'a Cut,
    pub(super) candidates: Candidates<'a>,
}

enum Exchanged {
    Answer(Response<Incoming>, Ticket),
    /// Nothing was sent, or what may be sent twice: it may be sent again.
    Unsent(Request<Upload>),
}

impl Delivery<'_> {
    /// Sends the request to one endpoint after another until one answers, as long as nothing can have been done twice.
    pub(super) async fn run(
        &self,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Ticket), Answer> {
        let mut tried = Vec::new();
        let mut failure = None;
        while tried.len() < self.gateway.limits.tries {
            let Some(endpoint) = self.candidates.next(&tried) else {
                break;
            };
            if !tried.is_empty() {
                self.count(HttpCount::Retries, UpstreamCount::Retries);
            }
            match self.ticket(endpoint).await {
                Ok(ticket) => {
                    let reused = ticket.reused;
                    self.peer.reach(self.gateway, endpoint);
                    if ticket.running.is_cut() {
                        return Err(self.candidates.denied());
                    }
                    match self.exchange(ticket, request).await? {
                        Exchanged::Answer(response, ticket) => return Ok((response, ticket)),
                        // The pod had closed the kept connection: that is no fault of the endpoint.
                        Exchanged::Unsent(again) if reused => {
                            self.count(HttpCount::Retries, UpstreamCount::Retries);
                            request = again;
                            continue;
                        }
                        Exchanged::Unsent(again) => {
                            self.count(HttpCount::BadResponses, UpstreamCount::BadResponses);
                            let reason = "the service closed the connection at once";
                            failure = Some(Answer::new(StatusCode::BAD_GATEWAY, reason));
                            request = again;
                        }
                    }
                }
                Err(answer) => failure = Some(answer),
            }
            tried.push(endpoint);
        }
        Err(failure.unwrap_or_else(|| self.candidates.denied()))
    }

    async fn ticket(&self, endpoint: std::net::SocketAddr) -> Result<Ticket, Answer> {
        let gateway = self.gateway;
        let running = RunningRequest::enter(&gateway.running, &self.peer.client, endpoint, self.cut);
        let ticket = Ticket::take(&gateway.pool, self.candidates.upstream, endpoint, running);
        ticket.await.map_err(|error| match error {
            ConnectError::Refused(error) => {
                tracing::debug!(%endpoint, %error, "no connection to a pod");
                self.count(HttpCount::ConnectFailed, UpstreamCount::ConnectFailed);
                Answer::new(StatusCode::BAD_GATEWAY, "the service refused the connection")
            }
            ConnectError::Late => {
                tracing::debug!(%endpoint, "no connection to a pod in time");
                self.count(HttpCount::ConnectTimeouts, UpstreamCount::ConnectTimeouts);
                Answer::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "the service did not accept the connection in time",
                )
            }
        })
    }

    /// Counts what happened, as a whole and of the upstream.
    fn count(&self, event: HttpCount, of_upstream: UpstreamCount) {
        let tally = &self.gateway.tally;
        tally.count(event);
        tally.upstream(self.candidates.upstream).counts.count(of_upstream);
    }

    /// Sends the request over a link and waits for the head of the response.
    async fn exchange(&self, mut ticket: Ticket, request: Request<Upload>) -> Result<Exchanged, Answer> {
        let gateway = self.gateway;
        let spare = spare(&request);
        let progress = match request.body() {
            Upload::Client(_, progress) => Some(progress.clone()),
            Upload::Empty => None,
        };
        let answer = pin!(ticket.send(request));
        match patiently(gateway.limits.response, progress, answer).await {
            _ if ticket.running.is_cut() => Err(self.candidates.denied().last()),
            Ok(Ok(response)) => Ok(Exchanged::Answer(response, ticket)),
            // An answer that is none would be none again.
            Ok(Err(mut error)) => match error
                .take_message()
                .or(spare.filter(|_| !error.error().is_parse()))
            {
                Some(again) => Ok(Exchanged::Unsent(again)),
                None => {
                    tracing::debug!(error = %error.error(), "no response from a pod");
                    self.count(HttpCount::BadResponses, UpstreamCount::BadResponses);
                    let reason = "the service did not answer the request";
                    Err(Answer::new(StatusCode::BAD_GATEWAY, reason))
                }
            },
            Err(_) => {
                self.count(HttpCount::ResponseTimeouts, UpstreamCount::ResponseTimeouts);
                let reason = "the service did not answer in time";
                Err(Answer::new(StatusCode::GATEWAY_TIMEOUT, reason))
            }
        }
    }
}

/// Waits for `answer` until nothing of the request was taken for as long as `patience`: an upload may take its time.
async fn patiently<T>(
    patience: Duration,
    progress: Option<Progress>,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Elapsed> {
    let Some(progress) = progress else {
        return tokio::time::timeout(patience, answer).await;
    };
    progress.restart();
    loop {
        let until = progress.last() + patience;
        match tokio::time::timeout_at(until, answer.as_mut()).await {
            Err(_) if progress.last() + patience > until => {}
            done => return done,
        }
    }
}

/// A copy of a request that may be sent twice: without a body, by an idempotent method (RFC 9110 section 9.2.2).
fn spare(request: &Request<Upload>) -> Option<Request<Upload>> {
    let repeatable = request.method().is_idempotent() && request.body().is_end_stream();
    repeatable.then(|| {
        let mut head = request::Builder::new()
            .method(request.method().clone())
            .uri(request.uri().clone())
            .version(request.version())
            .body(Upload::Empty)
            .expect("the parts of a request make a request");
        *head.headers_mut() = request.headers().clone();
        head
    })
}
