//! The body of a request on its way to a pod: streamed piece by piece, each taken when the pod's connection has room.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::clock;

/// A client's body, for a pod.
pub(crate) enum Upload {
    Empty,
    Client(Incoming, Progress),
}

/// When a piece of a body was last taken, and how much was.
#[derive(Clone)]
pub(crate) struct Progress(Rc<(Cell<Instant>, Cell<u64>)>);

impl Progress {
    pub(crate) fn new() -> Self {
        Self(Rc::new((Cell::new(clock::now()), Cell::default())))
    }

    /// When a piece was last taken; when this was made, if none was.
    pub(crate) fn last(&self) -> Instant {
        self.0.0.get()
    }

    /// Bytes taken so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.1.get()
    }

    fn took(&self, bytes: usize) {
        self.0.1.set(self.bytes() + bytes as u64);
        self.restart();
    }

    /// As if a piece were taken now.
    pub(crate) fn restart(&self) {
        self.0.0.set(clock::now());
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Client(incoming, progress) => {
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                progress.took(data.map_or(0, Bytes::len));
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(incoming, _) => incoming.size_hint(),
        }
    }
}
