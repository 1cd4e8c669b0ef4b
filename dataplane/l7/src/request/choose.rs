//! The second step: which upstream a request goes to, and to which endpoint of it.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;

use super::answer::Answer;
use super::record::RequestRecord;
use crate::gateway::Gateway;
use crate::headers::Client;
use headgate_net::number::Number;
use headgate_net::record::{Event, HttpCount, UpstreamCount};
use headgate_net::routes::Route;
use headgate_ring::message::UpstreamProtocol;

/// The endpoints that a request may go to.
pub(crate) struct Candidates {
    pub(crate) upstream: Number,
    /// What its pods speak.
    pub(crate) protocol: UpstreamProtocol,
    endpoints: Arc<[SocketAddr]>,
}

impl Candidates {
    /// Chooses one of the route's backends, and notes which.
    pub(crate) fn of(gateway: &Gateway, route: &Route, record: &RequestRecord) -> Result<Self, Answer> {
        let upstream = backend(gateway, route);
        if let Some(upstream) = upstream {
            record.goes_to(upstream);
        }
        let ready = upstream.and_then(|upstream| {
            let known = gateway.current.configured(|config| {
                let known = config.upstreams.of(upstream)?;
                Some((known.protocol, Arc::clone(&known.endpoints)))
            });
            Some((upstream, known.flatten()?))
        });
        match ready {
            Some((upstream, (protocol, endpoints))) if !endpoints.is_empty() => Ok(Self {
                upstream: upstream.clone(),
                protocol,
                endpoints,
            }),
            _ => {
                gateway.tally.count(HttpCount::NoEndpoint);
                if let Some(upstream) = upstream {
                    let counts = &gateway.tally.upstream(upstream).counts;
                    counts.count(UpstreamCount::WithoutEndpoint);
                }
                let reason = "the service has no ready endpoint";
                Err(Answer::new(StatusCode::SERVICE_UNAVAILABLE, reason))
            }
        }
    }

    /// The next endpoint to try, by the policies of now: they may have changed while the request waited.
    pub(crate) fn next(
        &self,
        gateway: &Gateway,
        client: &Client,
        tried: &[SocketAddr],
    ) -> Option<SocketAddr> {
        gateway
            .pool
            .choose(&self.upstream, &self.endpoints, tried, |endpoint| {
                gateway.current.allows(client.ip(), endpoint)
            })
    }

    /// No endpoint is open to the client; the flow log is told of the first.
    pub(crate) fn denied(&self, gateway: &Gateway, client: &Client) -> Answer {
        gateway.tally.count(HttpCount::Denied);
        if let Some(endpoint) = self.endpoints.first() {
            gateway.log(Event::RequestDenied, client, *endpoint);
        }
        Answer::new(StatusCode::FORBIDDEN, "a network policy denies this client")
    }

    /// Counts what happened, as a whole and of the upstream.
    pub(crate) fn count(&self, gateway: &Gateway, event: HttpCount, of_upstream: UpstreamCount) {
        gateway.tally.count(event);
        gateway.tally.upstream(&self.upstream).counts.count(of_upstream);
    }
}

fn backend<'a>(gateway: &Gateway, route: &'a Route) -> Option<&'a Number> {
    let backends = route.backends();
    let place = match backends {
        [only] => (only.weight > 0).then_some(0),
        _ => {
            let weights = backends.iter().map(|backend| backend.weight);
            gateway.shares.with(route.number(), |shares| shares.next(weights))
        }
    };
    Some(&backends[place?].upstream)
}
