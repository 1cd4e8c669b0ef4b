//! Bodies of answers: whole, or as they come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// A body.
pub(crate) enum Body {
    Full(Option<Bytes>),
    /// Pieces as they come; an error breaks the connection (HTTP/1.1) or the stream (HTTP/2).
    Stream(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body {
    /// The same bytes, so many a second.
    pub(crate) fn trickle(self, bytes_per_second: u64) -> Body {
        // Ten pieces a second look like a slow line to every reader.
        let piece = usize::try_from(bytes_per_second.div_ceil(10)).unwrap_or(usize::MAX);
        let pause = Duration::from_secs_f64(piece as f64 / bytes_per_second as f64);
        self.through(move |bytes, to| async move {
            for part in bytes.chunks(piece) {
                if to.send(Ok(Bytes::copy_from_slice(part))).await.is_err() {
                    return false;
                }
                tokio::time::sleep(pause).await;
            }
            true
        })
    }

    /// The first bytes, and then the end of the connection.
    pub(crate) fn cut(self, after: usize) -> Body {
        let mut left = after;
        self.through(move |bytes, to| {
            let part = bytes.slice(..bytes.len().min(left));
            left -= part.len();
            let done = left == 0;
            async move {
                let sent = to.send(Ok(part)).await.is_ok();
                if done {
                    let _ = to.send(Err(io::ErrorKind::ConnectionReset.into())).await;
                }
                sent && !done
            }
        })
    }

    /// Passes each piece on by `pass`, which tells whether there shall be more.
    fn through<F>(
        self,
        mut pass: impl FnMut(Bytes, mpsc::Sender<io::Result<Bytes>>) -> F + Send + 'static,
    ) -> Body
    where
        F: Future<Output = bool> + Send,
    {
        let (to, from) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut source = match self {
                Body::Full(bytes) => {
                    pass(bytes.unwrap_or_default(), to).await;
                    return;
                }
                Body::Stream(source) => source,
            };
            while let Some(Ok(bytes)) = source.recv().await {
                if !pass(bytes, to.clone()).await {
                    return;
                }
            }
        });
        Body::Stream(from)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Body::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Stream(source) => source
                .poll_recv(context)
                .map(|piece| piece.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Body::Stream(_) => SizeHint::default(),
        }
    }
}
