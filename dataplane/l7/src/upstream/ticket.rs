//! The right to one exchange with a pod.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::Parts;
use hyper::{Request, Response};

use super::link::Link;
use super::{Claim, Pool};
use crate::body::Upload;
use crate::io::Io;
use crate::running::RunningRequest;
use headgate_net::number::Number;

/// The right to use a link for one exchange. What is dropped before the exchange has ended closes the link, and whatever
/// happens the endpoint's count is right afterwards: the fields are dropped in their order.
pub(crate) struct Ticket {
    /// `None` once it was given back.
    link: Option<Link>,
    claim: Claim,
    /// The request that it is for.
    pub(crate) running: RunningRequest,
    /// Whether the link has carried an exchange before.
    pub(crate) reused: bool,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    Refused(io::Error),
    Late,
}

impl Ticket {
    /// A kept link to an endpoint, or a new one.
    pub(crate) async fn take(
        pool: &Rc<Pool>,
        upstream: &Number,
        endpoint: SocketAddr,
        running: RunningRequest,
    ) -> Result<Self, ConnectError> {
        let claim = Claim::new(pool, upstream, endpoint);
        let (link, reused) = match claim.take_kept() {
            Some(link) => (link, true),
            None => (pool.connect(endpoint).await?, false),
        };
        running.drives(link.task());
        Ok(Self {
            link: Some(link),
            claim,
            running,
            reused,
        })
    }

    /// Sends the request; gives it back if nothing of it was sent.
    pub(crate) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<> {
        let link = self.link.as_mut().expect("held until given back");
        link.send(request)
    }

    /// Waits for the bytes of a connection that has become something else.
    pub(crate) async fn upgraded(&mut self) -> Option<Parts<Io>> {
        self.link.as_mut()?.upgraded().await
    }

    /// The response is complete: keeps the link, once the request is complete, too.
    pub(crate) fn give_back(mut self) {
        /// How long a pod may take to read the rest of a request that it has answered already.
        const PATIENCE: Duration = Duration::from_secs(1);
        let Some(mut link) = self.link.take().filter(|link| !link.is_closed()) else {
            return;
        };
        if link.is_ready() {
            return self.keep(link);
        }
        tokio::task::spawn_local(async move {
            if let Ok(true) = tokio::time::timeout(PATIENCE, link.ready()).await {
                self.keep(link);
            }
        });
    }

    fn keep(&self, link: Link) {
        if !self.running.is_cut() {
            self.claim.keep(link);
        }
    }
}
