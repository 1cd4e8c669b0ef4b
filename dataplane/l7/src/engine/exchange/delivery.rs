//! To which pod a request goes, and by which connection.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::task::Poll;

use http::StatusCode;

use super::{Ended, Exchange};
use crate::buffer::Spare;
use crate::engine::Turn;
use crate::engine::client::Client;
use crate::net::{Connecting, Stream};
use crate::request::Answer;
use crate::upstream::{Lease, Link};
use crate::wire::Wire;
use headgate_net::clock::Nanos;
use headgate_net::record::{HttpCount, UpstreamCount};
use headgate_ring::message::UpstreamProtocol;

/// The pod's side of an exchange.
#[derive(Default)]
pub(super) enum Pod {
    /// None is chosen, or it is not needed any more.
    #[default]
    None,
    /// No source port was free towards any of the endpoints.
    Waiting {
        lease: Lease,
        until: Nanos,
        /// It is its turn to try again.
        granted: bool,
    },
    Connecting {
        connecting: Connecting,
        lease: Lease,
        until: Nanos,
    },
    /// The connection that it shares with others is not there yet.
    Joining {
        link: Box<Link>,
        lease: Lease,
        until: Nanos,
    },
    Open {
        link: Box<Link>,
        lease: Lease,
        /// Whether the link has carried an exchange before.
        reused: bool,
    },
}

impl Pod {
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        match self {
            Self::None => None,
            Self::Waiting { lease, .. }
            | Self::Connecting { lease, .. }
            | Self::Joining { lease, .. }
            | Self::Open { lease, .. } => Some(lease.endpoint),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    pub(super) fn link(&mut self) -> Option<&mut Link> {
        match self {
            Self::Open { link, .. } => Some(link),
            Self::None | Self::Waiting { .. } | Self::Connecting { .. } | Self::Joining { .. } => None,
        }
    }

    /// When waiting for a connection ends.
    pub(super) fn until(&self) -> Option<Nanos> {
        match self {
            Self::Waiting { until, .. } | Self::Connecting { until, .. } | Self::Joining { until, .. } => {
                Some(*until)
            }
            Self::None | Self::Open { .. } => None,
        }
    }

    /// Whether nothing waits for the pod to have room.
    pub(super) fn has_everything(&self) -> bool {
        match self {
            Self::Open { link, .. } => link.has_sent(),
            Self::None | Self::Waiting { .. } | Self::Connecting { .. } | Self::Joining { .. } => true,
        }
    }

    /// Keeps the connection for another request, unless the pod has said more than it was asked for.
    pub(super) fn give_back(&mut self, now: Nanos, spare: &mut Spare) {
        self.settle(spare);
        if let Self::Open { link, lease, .. } = std::mem::take(self)
            && link.inbox.is_empty()
        {
            lease.give_back(link, now);
        }
    }

    /// The pod is to stop whatever it does.
    pub(super) fn reset(&mut self) {
        if let Self::Open { mut link, .. } = std::mem::take(self) {
            link.wire.reset();
        }
    }

    pub(super) fn settle(&mut self, spare: &mut Spare) {
        if let Self::Open { link, .. } = self {
            link.inbox.settle(spare);
            link.outbox.settle(spare);
        }
    }
}

impl Exchange {
    /// Goes on until there is a connection to a pod. Whether there is.
    pub(super) fn deliver(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<bool, Ended> {
        loop {
            if let Pod::None = self.pod {
                self.choose(client, turn)?;
            }
            if let Pod::Waiting { .. } = self.pod
                && !self.may_go_on(client, turn)?
            {
                return Ok(false);
            }
            let (connected, until) = match &mut self.pod {
                Pod::Connecting {
                    connecting, until, ..
                } => (connecting.poll(turn.cx).map_ok(Some), *until),
                Pod::Joining { link, until, .. } => (link.poll_connected(turn.cx).map_ok(|()| None), *until),
                Pod::None | Pod::Waiting { .. } | Pod::Open { .. } => return Ok(true),
            };
            let error = match connected {
                Poll::Ready(Ok(stream)) => {
                    self.opened(stream, client, turn);
                    return Ok(true);
                }
                Poll::Pending if turn.now < until => return Ok(false),
                Poll::Pending => None,
                Poll::Ready(Err(error)) => Some(error),
            };
            self.not_opened(error.as_ref(), turn);
        }
    }

    /// Chooses the next endpoint, and takes a kept connection to it or begins to open one.
    fn choose(&mut self, client: &mut Client, turn: &Turn<'_, '_>) -> Result<(), Ended> {
        let gateway = turn.gateway;
        if self.tried.len() >= gateway.limits.tries {
            return self.nothing_left(client, turn);
        }
        let Some(endpoint) = self.candidates.next(gateway, client.who(), &self.tried) else {
            return self.nothing_left(client, turn);
        };
        if gateway.shortage.is_of(endpoint) {
            return self.choose_another(endpoint, client, turn);
        }
        if !self.tried.is_empty() {
            self.candidates
                .count(gateway, HttpCount::Retries, UpstreamCount::Retries);
        }
        let lease = gateway.pool.lease(&self.candidates.upstream, endpoint);
        match self.reach(lease, client, turn) {
            Ok(()) => Ok(()),
            Err((_, error)) if error.kind() == ErrorKind::AddrNotAvailable => {
                self.choose_another(endpoint, client, turn)
            }
            Err((_, error)) => {
                self.tried.push(endpoint);
                self.refused(&error, endpoint, turn);
                self.choose(client, turn)
            }
        }
    }

    /// Takes a kept connection, or begins to open one.
    fn reach(
        &mut self,
        lease: Lease,
        client: &mut Client,
        turn: &Turn<'_, '_>,
    ) -> Result<(), (Lease, io::Error)> {
        let gateway = turn.gateway;
        if self.candidates.protocol == UpstreamProtocol::Http2 {
            return self.join(lease, client, turn);
        }
        if let Some(link) = lease.take_kept() {
            client.peer.reach(gateway, lease.endpoint);
            self.upload.restart(turn.now);
            self.pod = Pod::Open {
                link,
                lease,
                reused: true,
            };
            return Ok(());
        }
        match gateway.net.connect(lease.endpoint) {
            Ok(connecting) => {
                let until = turn.now.after(gateway.limits.connect);
                self.pod = Pod::Connecting {
                    connecting,
                    lease,
                    until,
                };
                Ok(())
            }
            Err(error) => Err((lease, error)),
        }
    }

    /// Takes a stream of a connection that others use, too, or will when it is there.
    fn join(
        &mut self,
        lease: Lease,
        client: &mut Client,
        turn: &Turn<'_, '_>,
    ) -> Result<(), (Lease, io::Error)> {
        let (stream, reused) = match lease.share(&turn.gateway.net) {
            Ok(shared) => shared,
            Err(error) => return Err((lease, error)),
        };
        let link = Link::new(Wire::Part(stream));
        if reused {
            client.peer.reach(turn.gateway, lease.endpoint);
            self.upload.restart(turn.now);
            self.pod = Pod::Open { link, lease, reused };
        } else {
            let until = turn.now.after(turn.gateway.limits.connect);
            self.pod = Pod::Joining { link, lease, until };
        }
        Ok(())
    }

    /// There is a connection: a new one, or the one that others share.
    fn opened(&mut self, stream: Option<Stream>, client: &mut Client, turn: &Turn<'_, '_>) {
        let (link, lease) = match (std::mem::take(&mut self.pod), stream) {
            (Pod::Connecting { lease, .. }, Some(stream)) => {
                turn.gateway.tally.count(HttpCount::UpstreamConnects);
                (Link::new(Wire::plain(stream)), lease)
            }
            (Pod::Joining { link, lease, .. }, _) => (link, lease),
            _ => return,
        };
        client.peer.reach(turn.gateway, lease.endpoint);
        self.upload.restart(turn.now);
        self.pod = Pod::Open {
            link,
            lease,
            reused: false,
        };
    }

    /// There is no connection; `error` is `None` where it took too long.
    fn not_opened(&mut self, error: Option<&std::io::Error>, turn: &Turn<'_, '_>) {
        let Some(endpoint) = self.pod.endpoint() else {
            return;
        };
        let pod = std::mem::take(&mut self.pod);
        self.tried.push(endpoint);
        if let Some(error) = error {
            return self.refused(error, endpoint, turn);
        }
        if let Pod::Joining { mut link, .. } = pod
            && let Some(stream) = link.wire.part()
        {
            // What is asked next tries anew, as it would for itself.
            stream.retire();
        }
        tracing::debug!(%endpoint, "no connection to a pod in time");
        let (http, upstream) = (HttpCount::ConnectTimeouts, UpstreamCount::ConnectTimeouts);
        self.candidates.count(turn.gateway, http, upstream);
        let reason = "the service did not accept the connection in time";
        self.failure = Some(Answer::new(StatusCode::GATEWAY_TIMEOUT, reason));
    }

    fn refused(&mut self, error: &std::io::Error, endpoint: SocketAddr, turn: &Turn<'_, '_>) {
        tracing::debug!(%endpoint, %error, "no connection to a pod");
        let (http, upstream) = (HttpCount::ConnectFailed, UpstreamCount::ConnectFailed);
        self.candidates.count(turn.gateway, http, upstream);
        let reason = "the service refused the connection";
        self.failure = Some(Answer::new(StatusCode::BAD_GATEWAY, reason));
    }

    /// No source port is free towards an endpoint.
    fn choose_another(
        &mut self,
        endpoint: SocketAddr,
        client: &mut Client,
        turn: &Turn<'_, '_>,
    ) -> Result<(), Ended> {
        self.tried.push(endpoint);
        self.short.get_or_insert(endpoint);
        self.choose(client, turn)
    }

    /// No endpoint is left to be tried. Where a port is all that is missing, one may become free.
    fn nothing_left(&mut self, client: &Client, turn: &Turn<'_, '_>) -> Result<(), Ended> {
        let gateway = turn.gateway;
        let Some(endpoint) = self.short.take() else {
            return Err(self.failed(client, turn));
        };
        gateway.shortage.add(endpoint);
        self.pod = Pod::Waiting {
            lease: gateway.pool.lease(&self.candidates.upstream, endpoint),
            until: turn.now.after(gateway.limits.connect),
            granted: false,
        };
        Ok(())
    }

    /// Whether one that waits for a source port has a connection now, or opens one.
    fn may_go_on(&mut self, client: &mut Client, turn: &Turn<'_, '_>) -> Result<bool, Ended> {
        match std::mem::take(&mut self.pod) {
            Pod::Waiting {
                lease,
                until,
                granted: true,
            } => match self.reach(lease, client, turn) {
                Ok(()) => return Ok(true),
                Err((lease, _)) => {
                    self.pod = Pod::Waiting {
                        lease,
                        until,
                        granted: false,
                    };
                }
            },
            other => self.pod = other,
        }
        if self.pod.until().is_some_and(|until| turn.now < until) {
            return Ok(false);
        }
        let (http, upstream) = (HttpCount::ConnectFailed, UpstreamCount::ConnectFailed);
        self.candidates.count(turn.gateway, http, upstream);
        let reason = "no port is free for a connection to the service";
        Err(Ended::Answer(Answer::new(StatusCode::BAD_GATEWAY, reason)))
    }

    /// The pod towards which it waits for a source port.
    pub(in crate::engine) fn waits_for_port(&self) -> Option<SocketAddr> {
        match &self.pod {
            Pod::Waiting { lease, .. } => Some(lease.endpoint),
            _ => None,
        }
    }

    /// It may try again.
    pub(in crate::engine) fn grant(&mut self) {
        if let Pod::Waiting { granted, .. } = &mut self.pod {
            *granted = true;
        }
    }

    /// No endpoint is left to be tried.
    fn failed(&mut self, client: &Client, turn: &Turn<'_, '_>) -> Ended {
        let answer = self.failure.take();
        Ended::Answer(answer.unwrap_or_else(|| self.candidates.denied(turn.gateway, client.who())))
    }

    /// The pod has ended the connection before a byte of its response: is the request to be sent again?
    pub(super) fn hung_up(&mut self, turn: &Turn<'_, '_>) -> Result<bool, Ended> {
        let Pod::Open { link, lease, reused } = &mut self.pod else {
            return Ok(false);
        };
        let (endpoint, reused) = (lease.endpoint, *reused);
        let refused = link.wire.part().is_some_and(|stream| stream.is_refused());
        let gateway = turn.gateway;
        if !(self.upload.may_be_repeated() || refused && self.upload.is_all_here()) {
            let (http, upstream) = (HttpCount::BadResponses, UpstreamCount::BadResponses);
            self.candidates.count(gateway, http, upstream);
            let reason = "the service did not answer the request";
            return Err(Ended::Answer(Answer::new(StatusCode::BAD_GATEWAY, reason)));
        }
        self.pod = Pod::None;
        self.upload.rewind();
        if (reused || refused) && self.again < gateway.limits.tries {
            self.again += 1;
            // The pod had closed the kept connection, or is busy: that is no fault of the endpoint.
            self.candidates
                .count(gateway, HttpCount::Retries, UpstreamCount::Retries);
        } else {
            let (http, upstream) = (HttpCount::BadResponses, UpstreamCount::BadResponses);
            self.candidates.count(gateway, http, upstream);
            let reason = "the service closed the connection at once";
            self.failure = Some(Answer::new(StatusCode::BAD_GATEWAY, reason));
            self.tried.push(endpoint);
        }
        Ok(true)
    }
}
