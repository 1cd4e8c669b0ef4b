//! The first stage: whether a request is to be served, and by which route.

use std::sync::Arc;

use http::header::EXPECT;
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::Answer;
use super::record::RequestRecord;
use super::redirect::redirect;
use super::{ClientConnection, Gateway};
use crate::headers::Host;
use headgate_net::record::HttpCount;
use headgate_net::routes::{self, Route};

/// A request that goes to a backend, unless there is none.
pub(super) struct Admitted<'a> {
    pub(super) route: &'a Route,
    /// For the pod.
    pub(super) host: HeaderValue,
}

/// Finds the route of a request, and notes it. `verdict` is what its connection says of its framing.
pub(super) fn admit<'a>(
    gateway: &Gateway,
    peer: &ClientConnection,
    verdict: Result<(), Answer>,
    request: &Request<Incoming>,
    record: &'a RequestRecord,
) -> Result<Admitted<'a>, Answer> {
    let refused = |answer| {
        gateway.tally.count(HttpCount::Refused);
        answer
    };
    let bad = |reason| refused(Answer::new(StatusCode::BAD_REQUEST, reason));
    verdict.and_then(|()| check(request)).map_err(refused)?;
    let host =
        Host::of(request.uri(), request.headers()).map_err(|_| bad("the Host header is not a host"))?;
    let route = find(gateway, host.as_ref(), request)
        .map_err(|_| bad("the path is not valid"))?
        .ok_or_else(|| Answer::new(StatusCode::NOT_FOUND, "there is no configuration yet"))?
        .ok_or_else(|| {
            gateway.tally.count(HttpCount::NoRoute);
            Answer::new(StatusCode::NOT_FOUND, "no rule matches this host and path")
        })?;
    let route = record.found(route);
    if let Some(filters) = route.filters()
        && let Some(elsewhere) = &filters.redirect
        && let Some(answer) = redirect(elsewhere, &peer.client, host.as_ref(), request.uri())
    {
        return Err(answer);
    }
    let host = match host {
        Some(host) => host.header,
        None => HeaderValue::try_from(peer.client.listener.to_string()).map_err(|_| bad("no host"))?,
    };
    Ok(Admitted { route, host })
}

/// What needs no route to be refused.
fn check(request: &Request<Incoming>) -> Result<(), Answer> {
    if request.method() == Method::CONNECT {
        return Err(Answer::new(StatusCode::METHOD_NOT_ALLOWED, "this is no forward proxy").last());
    }
    let continues = |expect: &HeaderValue| expect.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !request.headers().get_all(EXPECT).iter().all(continues) {
        return Err(Answer::new(
            StatusCode::EXPECTATION_FAILED,
            "the only expectation that is understood is 100-continue",
        ));
    }
    Ok(())
}

/// `None` within says that no route matches, `None` that there is no configuration.
fn find(
    gateway: &Gateway,
    host: Option<&Host>,
    request: &Request<Incoming>,
) -> Result<Option<Option<Arc<Route>>>, routes::BadPath> {
    let name = host.map_or("", |host| &host.name);
    let path = routes::normal(request.uri().path())?;
    Ok(gateway
        .current
        .configured(|config| config.routes.find(name, &path, &AsHead(request)).cloned()))
}

/// A request as routes look at it.
struct AsHead<'a>(&'a Request<Incoming>);

impl routes::Head for AsHead<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn any_header(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut values = self.0.headers().get_all(name).iter();
        values.any(|value| is(value.as_bytes()))
    }

    fn query(&self) -> Option<&str> {
        self.0.uri().query()
    }
}
