//! A client's TLS, in place: records are taken from a connection and put on it without a task.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::server::ServerConnectionData;
use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, HandshakeKind, ProtocolVersion};
use tokio::io::AsyncWrite;

use super::hello::{PLAIN_ON_TLS, UNRECOGNIZED_NAME, hello};
use super::records::{self, AHEAD, OVERHEAD, RECORD, is_alert};
use crate::buffer::{Buffer, Spare};
use crate::current::Current;
use crate::net::Stream;

/// How often more is read for records that turn out to hold nothing, before others have their turn.
const EMPTY_RECORDS: usize = 16;
/// Messages of a handshake that has not ended, at most.
const MOST: usize = 64 << 10;

/// The handshake is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Greeted {
    pub(crate) resumed: bool,
    /// The client has chosen HTTP/2 (RFC 9113, section 3.2).
    pub(crate) http2: bool,
}

/// Why there is no handshake. The client is told, and the connection closes.
#[derive(Debug)]
pub(crate) enum NotGreeted {
    /// It speaks HTTP.
    Plain,
    /// It asks for a host without a certificate.
    UnknownName,
    Failed(io::Error),
}

/// One client's.
#[derive(Default)]
pub(crate) struct Session {
    state: TlsState,
    /// Ciphertext that came and was not read yet: once it was looked at, a part of a record.
    incoming: Buffer,
    /// Ciphertext that waits for room.
    outgoing: Buffer,
    /// Plain text that was in the way when something had to be sent.
    stash: Buffer,
    /// The client has said that nothing follows.
    ended: bool,
    /// What the client said that is no TLS; nothing is read after it.
    failure: Option<Error>,
}

enum TlsState {
    /// Until the name is known that the client asks for. Of what came, so much was looked at.
    Hello(Acceptor, usize),
    Open(UnbufferedServerConnection),
}

impl Default for TlsState {
    fn default() -> Self {
        Self::Hello(Acceptor::default(), 0)
    }
}

/// What became of a look at the records that are here.
enum TlsProgress {
    /// More has to come.
    Blocked,
    /// Nothing is here, and we may send.
    Writable,
    /// Nothing comes, and nothing may be sent.
    Ended,
}

/// What is done once everything that is here was read and something may be sent.
type AtWrite<'a> = &'a mut dyn FnMut(&mut WriteTraffic<'_, ServerConnectionData>);

impl Session {
    pub(super) fn greet(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        current: &Current,
    ) -> Poll<Result<Greeted, NotGreeted>> {
        loop {
            if let TlsState::Hello(acceptor, seen) = &mut self.state {
                if self.incoming.bytes().first().is_some_and(u8::is_ascii_alphabetic) {
                    // A method's first letter is no record's type (RFC 8446, section 5.1).
                    self.say(PLAIN_ON_TLS);
                    return Poll::Ready(Err(NotGreeted::Plain));
                }
                match hello(acceptor, self.incoming.bytes(), seen) {
                    Ok(None) => {}
                    Ok(Some((name, preference))) => {
                        let found = current
                            .configured(|config| config.tls.find(name.as_deref(), preference).cloned());
                        let Some(config) = found.flatten() else {
                            self.say(&UNRECOGNIZED_NAME);
                            return Poll::Ready(Err(NotGreeted::UnknownName));
                        };
                        match UnbufferedServerConnection::new(config) {
                            Ok(connection) => self.state = TlsState::Open(connection),
                            Err(error) => return Poll::Ready(Err(failed(error))),
                        }
                        continue;
                    }
                    Err((error, alert)) => {
                        self.say(&alert);
                        return Poll::Ready(Err(failed(error)));
                    }
                }
            } else {
                let looked = self.look_and_keep(&mut |_| {});
                // Our part of the handshake, or what is wrong with the client's.
                let sent = self.send(cx, stream);
                match looked {
                    Err(error) => return Poll::Ready(Err(failed(error))),
                    Ok(TlsProgress::Writable | TlsProgress::Ended) => return Poll::Ready(Ok(self.greeted())),
                    Ok(TlsProgress::Blocked) => {}
                }
                if let Poll::Ready(Err(error)) = sent {
                    return Poll::Ready(Err(NotGreeted::Failed(error)));
                }
            }
            let most = self.incoming.len() + AHEAD;
            if most > MOST {
                let error = io::Error::new(io::ErrorKind::InvalidData, "the handshake is too long");
                return Poll::Ready(Err(NotGreeted::Failed(error)));
            }
            let incoming = &mut self.incoming;
            let came = ready!(stream.poll_receive(cx, AHEAD, |data| incoming.append(data)));
            if came.map_err(NotGreeted::Failed)? == 0 {
                let error = io::ErrorKind::UnexpectedEof.into();
                return Poll::Ready(Err(NotGreeted::Failed(error)));
            }
        }
    }

    /// The first bytes have come by another way.
    pub(super) fn take_over(&mut self, inbox: &mut Buffer) {
        self.incoming.append(inbox.bytes());
        inbox.clear();
    }

    fn greeted(&self) -> Greeted {
        let TlsState::Open(connection) = &self.state else {
            return Greeted::default();
        };
        Greeted {
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            http2: connection.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Adds what the records hold that have arrived to `inbox`.
    pub(super) fn read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        inbox: &mut Buffer,
        spare: &mut Spare,
    ) -> Poll<io::Result<usize>> {
        let before = inbox.len();
        for _ in 0..EMPTY_RECORDS {
            if !self.stash.is_empty() {
                inbox.fill(spare).extend_from_slice(self.stash.bytes());
                self.stash = Buffer::default();
                return Poll::Ready(Ok(inbox.len() - before));
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            let looked = self.look(
                &mut |plain| inbox.fill(spare).extend_from_slice(plain),
                &mut |_| {},
            );
            self.incoming.settle(spare);
            // Tickets, new keys, alerts.
            if !self.outgoing.is_empty() {
                let _ = self.send(cx, stream)?;
            }
            looked.map_err(broken)?;
            if inbox.len() > before {
                return Poll::Ready(Ok(inbox.len() - before));
            }
            if !self.ended {
                ready!(self.receive(cx, stream, spare))?;
            }
        }
        // There may be more, and others have their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what comes until a record is whole.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        spare: &mut Spare,
    ) -> Poll<io::Result<()>> {
        while let Some(most) = records::missing(self.incoming.bytes()) {
            let to = &mut self.incoming;
            let came = ready!(stream.poll_receive(cx, most, |data| to.fill(spare).extend_from_slice(data)))?;
            if came == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts what lies in `outbox` and sends it, in records as large as they may be.
    pub(super) fn flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        outbox: &mut Buffer,
        spare: &mut Spare,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.send(cx, stream))?;
            if outbox.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let most = stream
                .window()
                .map_or(RECORD, |window| records::most(window, self.version()));
            let piece = &outbox.bytes()[..outbox.len().min(most)];
            let taken = piece.len();
            let record = spare.scratch(RECORD + OVERHEAD);
            let length = self.encrypt(piece, record)?;
            outbox.consume(taken);
            // What was to be said first waits before it.
            let sent = if self.outgoing.is_empty() {
                write(cx, stream, &record[..length])?
            } else {
                0
            };
            self.outgoing.append(&record[sent..length]);
        }
    }

    /// Makes a record of `plain` in `to`; how long it is.
    fn encrypt(&mut self, plain: &[u8], to: &mut [u8]) -> io::Result<usize> {
        let mut made = None;
        // What has come stands before what goes: the records of both are one sequence to the library.
        self.look_and_keep(&mut |traffic| made = Some(traffic.encrypt(plain, to)))
            .map_err(broken)?;
        match made {
            Some(made) => made.map_err(io::Error::other),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Says that nothing follows, as far as there is room.
    pub(super) fn say_goodbye(&mut self, cx: &mut Context<'_>, stream: &mut Stream) {
        let (mut alert, mut length) = ([0; OVERHEAD], 0);
        // Where something is wrong with the client, it was told so.
        let _ = self.look_and_keep(&mut |traffic| {
            // There is room for an alert.
            length = traffic.queue_close_notify(&mut alert).unwrap_or_default();
        });
        self.outgoing.append(&alert[..length]);
        let _ = self.send(cx, stream);
    }

    /// Reads the records that are here while something is sent: plain text is kept for the next who reads.
    fn look_and_keep(&mut self, at_write: AtWrite<'_>) -> Result<TlsProgress, Error> {
        let mut stash = std::mem::take(&mut self.stash);
        let looked = self.look(&mut |plain| stash.append(plain), at_write);
        self.stash = stash;
        if self.incoming.is_empty() {
            self.incoming = Buffer::default();
        }
        looked
    }

    /// Reads the records that are here: `take` gets their plain text, and answers are put to what is sent.
    fn look(&mut self, take: &mut dyn FnMut(&[u8]), at_write: AtWrite<'_>) -> Result<TlsProgress, Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        let looked = loop {
            match self.look_once(take, at_write) {
                Ok(None) => {}
                Ok(Some(look)) => break Ok(look),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = &looked {
            self.failure = Some(error.clone());
            self.tell_what_is_wrong();
        }
        looked
    }

    /// Has the library do one thing with what is here.
    fn look_once(
        &mut self,
        take: &mut dyn FnMut(&[u8]),
        at_write: AtWrite<'_>,
    ) -> Result<Option<TlsProgress>, Error> {
        let TlsState::Open(connection) = &mut self.state else {
            return Ok(Some(TlsProgress::Blocked));
        };
        let UnbufferedStatus { discard, state, .. } =
            connection.process_tls_records(self.incoming.bytes_mut());
        let mut read = discard;
        let progress = match state {
            Err(error) => Err(error),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    None => break Ok(None),
                    Some(Err(error)) => break Err(error),
                    Some(Ok(record)) => {
                        read += record.discard;
                        take(record.payload);
                    }
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut self.outgoing, |to| data.encode(to)).map(|()| None)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(None)
            }
            // Told once.
            Ok(ConnectionState::PeerClosed) => {
                self.ended = true;
                Ok(None)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                at_write(&mut traffic);
                Ok(Some(TlsProgress::Writable))
            }
            Ok(ConnectionState::Closed) => {
                self.ended = true;
                Ok(Some(TlsProgress::Ended))
            }
            Ok(_) => Ok(Some(TlsProgress::Blocked)),
        };
        self.incoming.consume(read);
        progress
    }

    /// The library has found an error and tells the client by an alert, which comes with the next looks. Another one would read the
    /// same bytes again and find them wrong again, so there is none after it.
    fn tell_what_is_wrong(&mut self) {
        let TlsState::Open(connection) = &mut self.state else {
            return;
        };
        loop {
            match connection.process_tls_records(self.incoming.bytes_mut()).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let before = self.outgoing.len();
                    let encoded = encode(&mut self.outgoing, |to| data.encode(to));
                    if encoded.is_err() || is_alert(&self.outgoing.bytes()[before..]) {
                        break;
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => break,
            }
        }
        self.incoming = Buffer::default();
    }

    /// Sends what waits for room.
    fn send(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        if self.outgoing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let sent = write(cx, stream, self.outgoing.bytes())?;
        self.outgoing.consume(sent);
        if !self.outgoing.is_empty() {
            return Poll::Pending;
        }
        self.outgoing = Buffer::default();
        Poll::Ready(Ok(()))
    }

    fn version(&self) -> Option<ProtocolVersion> {
        match &self.state {
            TlsState::Open(connection) => connection.protocol_version(),
            TlsState::Hello(..) => None,
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.outgoing.append(bytes);
    }
}

/// Sends what there is room for; how much. Where that is less than all, the caller's waker is registered.
fn write(cx: &mut Context<'_>, stream: &mut Stream, mut bytes: &[u8]) -> io::Result<usize> {
    let length = bytes.len();
    while !bytes.is_empty() {
        match Pin::new(&mut *stream).poll_write(cx, bytes)? {
            Poll::Pending => break,
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(sent) => bytes = &bytes[sent..],
        }
    }
    Ok(length - bytes.len())
}

/// Adds up to `room` bytes that `write` makes.
fn append<E>(
    to: &mut Buffer,
    room: usize,
    write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> Result<(), E> {
    to.append_with(room, write)
}

/// As [`append`], for a message whose length is not known before.
fn encode(
    to: &mut Buffer,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Error> {
    let mut room = 1024;
    for _ in 0..2 {
        match append(to, room, &mut write) {
            Ok(()) => return Ok(()),
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                room = required_size;
            }
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
    Err(Error::General("a message has no length".to_owned()))
}

fn failed(error: Error) -> NotGreeted {
    NotGreeted::Failed(broken(error))
}

fn broken(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
