//! The first step: whether a request is to be served, and by which route.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

use super::answer::Answer;
use super::record::RequestRecord;
use super::redirect::redirect;
use crate::gateway::Gateway;
use crate::h1::request::{BadHost, Expectation, Host, RequestHead};
use crate::headers::Client;
use headgate_net::record::HttpCount;
use headgate_net::routes::{self, Route};

/// A request that goes to a backend, unless there is none.
pub(crate) struct Admitted<'a> {
    pub(crate) route: &'a Arc<Route>,
    /// For the pod.
    pub(crate) host: Cow<'a, str>,
}

/// Finds the route of a request, and notes it.
pub(crate) fn admit<'a>(
    gateway: &Gateway,
    client: &Client,
    head: &RequestHead<'_, 'a>,
    record: &'a RequestRecord,
) -> Result<Admitted<'a>, Answer> {
    let bad = |reason| {
        gateway.tally.count(HttpCount::Refused);
        Answer::new(StatusCode::BAD_REQUEST, reason).last()
    };
    if head.expects == Expectation::Unknown {
        gateway.tally.count(HttpCount::Refused);
        let reason = "the only expectation that is understood is 100-continue";
        return Err(Answer::new(StatusCode::EXPECTATION_FAILED, reason));
    }
    let host = host(head).map_err(|_| bad("the Host header is not a host"))?;
    let route = find(gateway, host.as_ref(), head)
        .map_err(|_| bad("the path is not valid"))?
        .ok_or_else(|| Answer::new(StatusCode::NOT_FOUND, "there is no configuration yet"))?
        .ok_or_else(|| {
            gateway.tally.count(HttpCount::NoRoute);
            Answer::new(StatusCode::NOT_FOUND, "no rule matches this host and path")
        })?;
    let route = record.found(route);
    if let Some(filters) = route.filters()
        && let Some(elsewhere) = &filters.redirect
        && let Some(answer) = redirect(elsewhere, client, host.as_ref(), &head.target)
    {
        return Err(answer);
    }
    let host = match host {
        Some(host) => Cow::Borrowed(host.text),
        None => Cow::Owned(client.listener.to_string()),
    };
    Ok(Admitted { route, host })
}

/// The host of a request; `None` if it names none, as HTTP/1.0 allows. The authority of an absolute target stands before Host
/// (RFC 9112, section 3.2.2).
fn host<'b>(head: &RequestHead<'_, 'b>) -> Result<Option<Host<'b>>, BadHost> {
    // A Host that is none is an error beside any target (section 3.2).
    let host = head.host.map(Host::of).transpose()?;
    match head.target.authority {
        Some(authority) => Host::of(authority.as_bytes()).map(Some),
        None => Ok(host),
    }
}

/// `None` within says that no route matches, `None` that there is no configuration.
fn find(
    gateway: &Gateway,
    host: Option<&Host<'_>>,
    head: &RequestHead<'_, '_>,
) -> Result<Option<Option<Arc<Route>>>, routes::BadPath> {
    let name = host.map_or("", |host| &host.name);
    let path = routes::normal(head.target.path)?;
    Ok(gateway
        .current
        .configured(|config| config.routes.find(name, &path, head).cloned()))
}
