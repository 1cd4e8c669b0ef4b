//! hyper's view of a connection: plain or TLS, watched or not, without a copy in between.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::net::{Reset, Stream};

/// A byte stream of a client or to a pod.
pub(crate) enum Transport {
    Plain(Stream),
    Tls(Box<TlsStream<Stream>>),
}

/// Sees what is received before hyper does.
pub(crate) trait Watch: Unpin {
    fn received(&mut self, bytes: &[u8]);
    /// Whether hyper leaves the connection open when it has done with it.
    fn keeps_open(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Watch for () {
    fn received(&mut self, _bytes: &[u8]) {}
}

/// A [`Transport`] as hyper wants it.
pub(crate) struct Io<W = ()> {
    pub(crate) transport: Transport,
    watch: W,
}

impl Io {
    /// A connection without TLS that nobody watches.
    pub(crate) fn plain(stream: Stream) -> Self {
        Self {
            transport: Transport::Plain(stream),
            watch: (),
        }
    }
}

impl<W: Watch> Io<W> {
    pub(crate) fn watched(transport: Transport, watch: W) -> Self {
        Self { transport, watch }
    }
}

impl Transport {
    /// What resets the connection below.
    pub(crate) fn reset(&self) -> Reset {
        match self {
            Self::Plain(stream) => stream.reset(),
            Self::Tls(stream) => stream.get_ref().0.reset(),
        }
    }

    /// Lets `take` see at most `limit` bytes of what has arrived, all of which it takes. Ready with 0 at the end.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => stream.poll_receive(cx, limit, take),
            Self::Tls(stream) => {
                let mut stream = Pin::new(stream.as_mut());
                let data = ready!(stream.as_mut().poll_fill_buf(cx))?;
                let taken = data.len().min(limit);
                take(&data[..taken]);
                stream.consume(taken);
                Poll::Ready(Ok(taken))
            }
        }
    }
}

impl<W: Watch> hyper::rt::Read for Io<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { transport, watch } = &mut *self;
        let taken = transport.poll_receive(cx, buffer.remaining(), |data| {
            buffer.put_slice(data);
            watch.received(data);
        });
        taken.map_ok(|_| ())
    }
}

impl<W: Watch> hyper::rt::Write for Io<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.keeps_open() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, data)
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, data),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, data),
        }
    }
}
