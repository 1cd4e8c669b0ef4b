//! The second stage: which upstream a request goes to, and to which endpoint of it.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;

use super::answer::Answer;
use super::record::RequestRecord;
use super::{ClientConnection, Gateway};
use headgate_net::number::Number;
use headgate_net::record::{Event, HttpCount, UpstreamCount};
use headgate_net::routes::Route;

/// The endpoints that a request may go to.
pub(super) struct Candidates<'a> {
    gateway: &'a Gateway,
    peer: &'a ClientConnection,
    pub(super) upstream: &'a Number,
    endpoints: Arc<[SocketAddr]>,
}

impl<'a> Candidates<'a> {
    /// Chooses one of the route's backends, and notes which.
    pub(super) fn of(
        gateway: &'a Gateway,
        peer: &'a ClientConnection,
        route: &'a Route,
        record: &RequestRecord,
    ) -> Result<Self, Answer> {
        let upstream = backend(gateway, route);
        if let Some(upstream) = upstream {
            record.goes_to(upstream);
        }
        let ready = upstream.and_then(|upstream| {
            let endpoints = gateway
                .current
                .configured(|config| config.upstreams.of(upstream).cloned());
            Some((upstream, endpoints.flatten()?))
        });
        match ready {
            Some((upstream, endpoints)) if !endpoints.is_empty() => Ok(Self {
                gateway,
                peer,
                upstream,
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
    pub(super) fn next(&self, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let (gateway, client) = (self.gateway, self.peer.client.ip());
        gateway
            .pool
            .choose(self.upstream, &self.endpoints, tried, |endpoint| {
                gateway.current.allows(client, endpoint)
            })
    }

    /// No endpoint is open to the client; the flow log is told of the first.
    pub(super) fn denied(&self) -> Answer {
        self.gateway.tally.count(HttpCount::Denied);
        if let Some(endpoint) = self.endpoints.first() {
            let client = &self.peer.client;
            self.gateway
                .log(Event::RequestDenied, client.address, client.listener, *endpoint);
        }
        Answer::new(StatusCode::FORBIDDEN, "a network policy denies this client")
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
