//! One request: from its head to the head of the answer.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::Parts;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::Shared;
use super::answer::{answer, last_answer};
use super::body::{Body, Exchange, Relayed};
use super::http::{Io, Refusal};
use super::middleware::{self, Client, Host};
use super::running::Place;
use super::upstream::{ConnectError, Lease};
use headgate_net::record::Event;
use headgate_net::routes;

/// What the requests of one client connection have in common.
pub(super) struct Session {
    pub(super) shared: Rc<Shared>,
    pub(super) client: Client,
    /// Requests being answered, responses included.
    pub(super) active: Rc<Cell<usize>>,
    /// The other half of the tunnel that this connection is about to become.
    pub(super) tunnel: RefCell<Option<Tunnel>>,
    /// Rung when this connection is to be reset.
    pub(super) bell: Rc<Notify>,
    /// Pods that the flow log knows this client has reached.
    pub(super) reached: RefCell<Vec<SocketAddr>>,
}

impl Session {
    /// Pods of one connection that are remembered; beyond, the flow log has nothing more about it.
    const REACHED: usize = 64;

    /// Tells the flow log of the first request to a pod.
    fn reach(&self, endpoint: SocketAddr) {
        let mut reached = self.reached.borrow_mut();
        if self.shared.records_allowed() && reached.len() < Self::REACHED && !reached.contains(&endpoint) {
            reached.push(endpoint);
            let client = &self.client;
            self.shared
                .record(Event::RequestAllowed, client.address, client.listener, endpoint);
        }
    }
}

/// A pod's end of a connection that has become something else.
pub(super) struct Tunnel {
    pub(super) upstream: Parts<Io>,
    /// Keeps the endpoint's count right while the tunnel lasts.
    pub(super) lease: Lease,
}

/// An answer that is not a pod's.
struct Refused {
    status: StatusCode,
    reason: &'static str,
    /// Whether the connection closes after it.
    last: bool,
}

fn refused(status: StatusCode, reason: &'static str) -> Refused {
    Refused {
        status,
        reason,
        last: false,
    }
}

/// Answers a request. Never fails: what goes wrong is an answer too.
pub(super) async fn handle(
    session: Rc<Session>,
    verdict: Result<(), Refusal>,
    request: Request<Incoming>,
) -> Response<Body> {
    let shared = Rc::clone(&session.shared);
    session.active.set(session.active.get() + 1);
    let exchange = Exchange {
        shared: Rc::clone(&shared),
        started: Instant::now(),
        active: Rc::clone(&session.active),
    };
    let id = middleware::request_id(request.headers(), &shared);
    let method = request.method().clone();
    let response = match check(verdict, &request) {
        Ok(()) => forward(&session, request, &id, exchange).await,
        Err(refusal) => {
            shared.tally.count(|c| c.refused += 1);
            Err(refusal)
        }
    };
    let response = response.unwrap_or_else(|r| {
        let answer = if r.last { last_answer } else { answer };
        answer(r.status, r.reason, &id, &method)
    });
    shared.tally.answered(response.status());
    tracing::trace!(client = %session.client.address, %method, status = response.status().as_u16(), id = ?id);
    response
}

/// What needs no route to be refused.
fn check(verdict: Result<(), Refusal>, request: &Request<Incoming>) -> Result<(), Refused> {
    if let Err(Refusal { status, reason }) = verdict {
        return Err(Refused {
            status,
            reason,
            last: true,
        });
    }
    if request.method() == Method::CONNECT {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refused {
            status,
            reason: "this is no forward proxy",
            last: true,
        });
    }
    let continues = |expect: &HeaderValue| expect.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !request.headers().get_all(EXPECT).iter().all(continues) {
        return Err(refused(
            StatusCode::EXPECTATION_FAILED,
            "the only expectation that is understood is 100-continue",
        ));
    }
    Ok(())
}

/// A request as routes look at it.
struct AsHead<'a>(&'a Request<Incoming>);

impl routes::Head for AsHead<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn any_header(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0
            .headers()
            .get_all(name)
            .iter()
            .any(|value| is(value.as_bytes()))
    }

    fn query(&self) -> Option<&str> {
        self.0.uri().query()
    }
}

/// Finds the endpoints for a request and sends it to one of them.
async fn forward(
    session: &Rc<Session>,
    request: Request<Incoming>,
    id: &HeaderValue,
    exchange: Exchange,
) -> Result<Response<Body>, Refused> {
    let shared = &session.shared;
    let bad = |reason| {
        shared.tally.count(|c| c.refused += 1);
        refused(StatusCode::BAD_REQUEST, reason)
    };
    let host =
        Host::of(request.uri(), request.headers()).map_err(|_| bad("the Host header is not a host"))?;
    let name = host.as_ref().map_or("", |host| &host.name);
    let path = routes::normal(request.uri().path()).map_err(|_| bad("the path is not valid"))?;
    let endpoints = shared
        .configured(|config| {
            let route = config.routes.find(name, &path, &AsHead(&request))?;
            let backend = route.backend(|| shared.random());
            Some(backend.map_or_else(Arc::default, |backend| config.endpoints_of(&backend.upstream)))
        })
        .ok_or_else(|| refused(StatusCode::NOT_FOUND, "there is no configuration yet"))?
        .ok_or_else(|| {
            shared.tally.count(|c| c.no_route += 1);
            refused(StatusCode::NOT_FOUND, "no rule matches this host and path")
        })?;
    if endpoints.is_empty() {
        shared.tally.count(|c| c.no_endpoint += 1);
        return Err(refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "the service has no ready endpoint",
        ));
    }
    let header = match host {
        Some(host) => host.header,
        None => HeaderValue::try_from(session.client.listener.to_string()).map_err(|_| bad("no host"))?,
    };
    drop(path);
    let upgrade = wanted_upgrade(&request);
    let outgoing = prepare(request, &session.client, header, id, upgrade.as_ref())?;
    let attempt = Attempt {
        session,
        endpoints: &endpoints,
    };
    let (response, lease) = attempt.run(outgoing).await?;
    answer_with(session, response, lease, exchange, upgrade.is_some()).await
}

/// The protocol that a request asks to change to (RFC 9110 section 7.8); requests with a body do not change.
fn wanted_upgrade(request: &Request<Incoming>) -> Option<HeaderValue> {
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
fn prepare(
    request: Request<Incoming>,
    client: &Client,
    host: HeaderValue,
    id: &HeaderValue,
    upgrade: Option<&HeaderValue>,
) -> Result<Request<Body>, Refused> {
    let (mut head, body) = request.into_parts();
    if head.uri.authority().is_some() {
        let origin = head
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or(PathAndQuery::from_static("/"));
        head.uri = Uri::from(origin);
    }
    middleware::prepare_request(&mut head.headers, client, host, id);
    if let Some(protocol) = upgrade {
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol.clone());
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let body = if body.is_end_stream() {
        Body::Empty
    } else {
        // hyper takes it that GET and HEAD have no body unless somebody says so, and would drop it.
        if !head.headers.contains_key(CONTENT_LENGTH) {
            head.headers
                .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Body::Request(body, Rc::new(Cell::new(Instant::now())))
    };
    Ok(Request::from_parts(head, body))
}

/// The endpoints that a request may go to.
struct Attempt<'a> {
    session: &'a Rc<Session>,
    endpoints: &'a [SocketAddr],
}

impl Attempt<'_> {
    /// Sends the request to one endpoint after another until one answers, as long as nothing can have been done twice.
    async fn run(&self, mut request: Request<Body>) -> Result<(Response<Incoming>, Lease), Refused> {
        let shared = &self.session.shared;
        let mut tried = Vec::new();
        let mut failure = None;
        while tried.len() < shared.limits.tries {
            let Some(endpoint) = self.choose(&tried) else {
                break;
            };
            if !tried.is_empty() {
                shared.tally.count(|c| c.retries += 1);
            }
            match self.lease(endpoint).await {
                Ok(lease) => {
                    let reused = lease.reused;
                    self.session.reach(endpoint);
                    if lease.place.is_cut() {
                        return Err(self.denied());
                    }
                    match self.exchange(lease, request).await? {
                        Exchanged::Answer(response, lease) => return Ok((*response, lease)),
                        // The pod had closed the kept connection: that is no fault of the endpoint.
                        Exchanged::Unsent(again) if reused => {
                            shared.tally.count(|c| c.retries += 1);
                            request = *again;
                            continue;
                        }
                        Exchanged::Unsent(again) => {
                            shared.tally.count(|c| c.bad_responses += 1);
                            failure = Some(refused(
                                StatusCode::BAD_GATEWAY,
                                "the service closed the connection at once",
                            ));
                            request = *again;
                        }
                    }
                }
                Err(refusal) => failure = Some(refusal),
            }
            tried.push(endpoint);
        }
        Err(failure.unwrap_or_else(|| self.denied()))
    }

    /// No pod is open to the client; the flow log is told of the first.
    fn denied(&self) -> Refused {
        let (shared, client) = (&self.session.shared, &self.session.client);
        shared.tally.count(|c| c.denied += 1);
        if let Some(endpoint) = self.endpoints.first() {
            shared.record(Event::RequestDenied, client.address, client.listener, *endpoint);
        }
        refused(StatusCode::FORBIDDEN, "a network policy denies this client")
    }

    fn choose(&self, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let (client, shared) = (self.session.client.ip(), &self.session.shared);
        // By the policies of now: they may have changed while the request waited.
        shared
            .pool
            .choose(self.endpoints, tried, |endpoint| shared.allows(client, endpoint))
    }

    async fn lease(&self, endpoint: SocketAddr) -> Result<Lease, Refused> {
        let shared = &self.session.shared;
        let place = Place::enter(shared, &self.session.client, endpoint, &self.session.bell);
        let place = match Lease::reuse(shared, endpoint, place) {
            Ok(lease) => return Ok(lease),
            Err(place) => place,
        };
        Lease::connect(shared, endpoint, place)
            .await
            .map_err(|error| match error {
                ConnectError::Refused(error) => {
                    tracing::debug!(%endpoint, %error, "no connection to a pod");
                    shared.tally.count(|c| c.connect_failed += 1);
                    refused(StatusCode::BAD_GATEWAY, "the service refused the connection")
                }
                ConnectError::Late => {
                    tracing::debug!(%endpoint, "no connection to a pod in time");
                    shared.tally.count(|c| c.connect_timeouts += 1);
                    refused(
                        StatusCode::GATEWAY_TIMEOUT,
                        "the service did not accept the connection in time",
                    )
                }
            })
    }

    /// Sends the request over a connection and waits for the head of the response.
    async fn exchange(&self, mut lease: Lease, request: Request<Body>) -> Result<Exchanged, Refused> {
        let shared = &self.session.shared;
        let spare = lease.reused.then(|| spare(&request)).flatten();
        let taken = match request.body() {
            Body::Request(_, taken) => Rc::clone(taken),
            _ => Rc::new(Cell::new(Instant::now())),
        };
        match patiently(shared.limits.response, &taken, lease.send(request)).await {
            _ if lease.place.is_cut() => Err(Refused {
                last: true,
                ..self.denied()
            }),
            Ok(Ok(response)) => Ok(Exchanged::Answer(Box::new(response), lease)),
            Ok(Err(mut error)) => match error.take_message().or(spare) {
                Some(again) => Ok(Exchanged::Unsent(Box::new(again))),
                None => {
                    tracing::debug!(endpoint = %lease.endpoint, error = %error.error(), "no response from a pod");
                    shared.tally.count(|c| c.bad_responses += 1);
                    Err(refused(
                        StatusCode::BAD_GATEWAY,
                        "the service did not answer the request",
                    ))
                }
            },
            Err(_) => {
                shared.tally.count(|c| c.response_timeouts += 1);
                Err(refused(
                    StatusCode::GATEWAY_TIMEOUT,
                    "the service did not answer in time",
                ))
            }
        }
    }
}

/// Waits for `answer` until nothing of the request was taken for as long as `patience`: an upload may take its time.
async fn patiently<T>(
    patience: Duration,
    taken: &Cell<Instant>,
    answer: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut answer = pin!(answer);
    taken.set(Instant::now());
    loop {
        let until = taken.get() + patience;
        match tokio::time::timeout_at(until, &mut answer).await {
            Err(_) if taken.get() + patience > until => {}
            done => return done,
        }
    }
}

enum Exchanged {
    Answer(Box<Response<Incoming>>, Lease),
    /// The kept connection was closed; the request may be sent again.
    Unsent(Box<Request<Body>>),
}

/// A copy of a request that may be sent twice: without a body, by an idempotent method (RFC 9110 section 9.2.2).
fn spare(request: &Request<Body>) -> Option<Request<Body>> {
    let repeatable = request.method().is_idempotent() && request.body().is_end_stream();
    repeatable.then(|| {
        let mut head = request::Builder::new()
            .method(request.method().clone())
            .uri(request.uri().clone())
            .version(request.version())
            .body(Body::Empty)
            .expect("the parts of a request make a request");
        *head.headers_mut() = request.headers().clone();
        head
    })
}

/// Turns the pod's response into the one for the client.
async fn answer_with(
    session: &Rc<Session>,
    response: Response<Incoming>,
    mut lease: Lease,
    exchange: Exchange,
    upgrade: bool,
) -> Result<Response<Body>, Refused> {
    let shared = &session.shared;
    lease.place.answered();
    let (mut head, incoming) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let upstream = if upgrade { lease.upgraded().await } else { None };
        let Some(upstream) = upstream else {
            shared.tally.count(|c| c.bad_responses += 1);
            return Err(refused(
                StatusCode::BAD_GATEWAY,
                "the service changed the protocol unasked",
            ));
        };
        shared.tally.count(|c| c.upgrades += 1);
        *session.tunnel.borrow_mut() = Some(Tunnel { upstream, lease });
        let protocol = head.headers.remove(UPGRADE);
        middleware::strip_hop_by_hop(&mut head.headers);
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = protocol {
            head.headers.insert(UPGRADE, protocol);
        }
        return Ok(Response::from_parts(head, Body::Empty));
    }
    middleware::prepare_response(&mut head.headers);
    head.version = Version::HTTP_11;
    let body = Relayed::new(incoming, lease, shared.limits.read, exchange);
    Ok(Response::from_parts(head, Body::Response(Box::new(body))))
}
