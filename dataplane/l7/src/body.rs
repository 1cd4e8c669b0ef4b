//! Bodies on their way through: streamed piece by piece, each taken from one side only when the other side has room.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::Shared;
use super::upstream::Lease;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is sent: to a client or to a pod.
pub(super) enum Body {
    Empty,
    Text(Option<Bytes>),
    /// A client's, for a pod, and when a piece of it was last taken.
    Request(Incoming, Rc<Cell<Instant>>),
    /// A pod's, for a client.
    Response(Box<Relayed>),
}

impl Body {
    pub(super) fn text(text: Bytes) -> Self {
        Self::Text(Some(text))
    }
}

/// The body of a pod's response. Holds the connection that it comes over, which is kept for another request if the
/// body was read to its end, and closed otherwise.
pub(super) struct Relayed {
    incoming: Incoming,
    lease: Option<Lease>,
    /// How long the pod may pause; the timer is made when it first does.
    patience: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    paused: bool,
    _exchange: Exchange,
}

/// A request being answered: records how long that took when it is dropped.
pub(super) struct Exchange {
    pub(super) shared: Rc<Shared>,
    pub(super) started: Instant,
    pub(super) active: Rc<Cell<usize>>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.shared.tally.took(self.started.elapsed());
        self.active.set(self.active.get() - 1);
    }
}

impl Relayed {
    pub(super) fn new(incoming: Incoming, lease: Lease, patience: Duration, exchange: Exchange) -> Self {
        Self {
            incoming,
            lease: Some(lease),
            patience,
            pause: None,
            paused: false,
            _exchange: exchange,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Its connection has gone away without an error, as if the body ended here.
        if self.lease.as_ref().is_some_and(|lease| lease.place.is_cut()) {
            return Poll::Ready(Some(Err(self.broken("policies no longer allow it".into()))));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            return self.poll_pause(cx);
        };
        self.paused = false;
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => Some(Err(self.broken(error.into()))),
            None => {
                self.finish();
                None
            }
        })
    }

    /// The pod pauses: for how long already?
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let patience = self.patience;
        let pause = self
            .pause
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if !self.paused {
            self.paused = true;
            pause.as_mut().reset(Instant::now() + patience);
        }
        ready!(pause.as_mut().poll(cx));
        Poll::Ready(Some(Err(self.broken("the pod stopped sending".into()))))
    }

    fn broken(&mut self, error: BoxError) -> BoxError {
        self.lease = None;
        self._exchange.shared.tally.count(|c| c.broken_responses += 1);
        error
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        // hyper does not ask for the end of a body whose length it knows.
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Request(incoming, taken) => {
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                taken.set(Instant::now());
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Response(relayed) => relayed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Text(None) => true,
            Self::Text(Some(_)) => false,
            Self::Request(incoming, _) => incoming.is_end_stream(),
            Self::Response(relayed) => relayed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Text(None) => SizeHint::with_exact(0),
            Self::Text(Some(text)) => SizeHint::with_exact(text.len() as u64),
            Self::Request(incoming, _) => incoming.size_hint(),
            Self::Response(relayed) => relayed.incoming.size_hint(),
        }
    }
}
