//! The body of a response on its way to a client: streamed piece by piece, each taken when the client has room.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::record::RequestRecord;
use crate::upstream::Ticket;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is sent to a client.
pub(crate) enum ReplyBody {
    Empty,
    Text(Option<Bytes>),
    /// A pod's.
    Relayed(Box<Relayed>),
}

/// The body of a pod's response. Holds the ticket of the exchange, which is given back if the body was read to its end,
/// and the record of the request.
pub(crate) struct Relayed {
    incoming: Incoming,
    ticket: Option<Ticket>,
    /// How long the pod may pause; the timer is made when it first does.
    patience: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    paused: bool,
    /// From the moment when the reply goes to the client.
    record: Option<RequestRecord>,
}

impl ReplyBody {
    /// Gives the body the record of its request, which ends with it. A body that is there already is as good as sent.
    pub(super) fn keep(&mut self, record: RequestRecord) {
        match self {
            Self::Empty | Self::Text(None) => {}
            Self::Text(Some(text)) => record.sends(text.len()),
            Self::Relayed(relayed) => relayed.record = Some(record),
        }
    }
}

impl Relayed {
    pub(super) fn new(incoming: Incoming, ticket: Ticket, patience: Duration) -> Self {
        Self {
            incoming,
            ticket: Some(ticket),
            patience,
            pause: None,
            paused: false,
            record: None,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // The pod's connection has gone away without an error, as if the body ended here.
        if self.ticket.as_ref().is_some_and(|ticket| ticket.running.is_cut()) {
            return Poll::Ready(Some(Err(self.broken("policies no longer allow it".into()))));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            return self.poll_pause(cx);
        };
        self.paused = false;
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if let (Some(record), Some(data)) = (&self.record, frame.data_ref()) {
                    record.sends(data.len());
                }
                Some(Ok(frame))
            }
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
        let begin = || tokio::time::sleep(patience);
        let began = self.pause.is_some();
        let pause = self.pause.get_or_insert_with(|| Box::pin(begin()));
        if !std::mem::replace(&mut self.paused, true) && began {
            pause.set(begin());
        }
        ready!(pause.as_mut().poll(cx));
        Poll::Ready(Some(Err(self.broken("the pod stopped sending".into()))))
    }

    fn broken(&mut self, error: BoxError) -> BoxError {
        self.ticket = None;
        if let Some(record) = &self.record {
            record.broke_off();
        }
        error
    }

    fn finish(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.give_back();
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

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Relayed(relayed) => relayed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Text(None) => true,
            Self::Text(Some(_)) => false,
            Self::Relayed(relayed) => relayed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Text(None) => SizeHint::with_exact(0),
            Self::Text(Some(text)) => SizeHint::with_exact(text.len() as u64),
            Self::Relayed(relayed) => relayed.incoming.size_hint(),
        }
    }
}
