//! A client's TLS, in place: records are taken from a connection and put on it without a task.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};
use rustls::{Error, HandshakeKind};
use tokio::io::AsyncWrite;

use crate::buffer::Buffer;
use crate::current::Current;
use crate::net::Stream;

/// A fatal alert: unrecognized_name (RFC 6066, section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// The plain text of a record at most (RFC 8446, section 5.1).
const RECORD: usize = 1 << 14;
/// What a record has besides: header, type, tag; an explicit nonce with TLS 1.2.
const OVERHEAD: usize = 64;
/// A record's type, version and length.
const HEADER: usize = 5;
/// Ciphertext that is read ahead: a whole record, as large as it may be (RFC 8446, section 5.2).
const AHEAD: usize = HEADER + RECORD + 256;
/// How often more is read for records that turn out to hold nothing, before others have their turn.
const EMPTY_RECORDS: usize = 16;
/// Messages of a handshake that has not ended, at most.
const MOST: usize = 64 << 10;

/// What a client reads that speaks HTTP to a TLS listener.
const PLAIN_ON_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: text/plain; charset=utf-8\r\n\
content-length: 68\r\n\
server: headgate\r\n\
connection: close\r\n\
\r\n\
400 Bad Request: this port speaks HTTPS, and the request was HTTP.\n\n";

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
    /// Ciphertext that came and was not read yet.
    incoming: Vec<u8>,
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
    Ended,
}

impl Session {
    pub(super) fn greet(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        current: &Current,
    ) -> Poll<Result<Greeted, NotGreeted>> {
        loop {
            if let TlsState::Hello(acceptor, seen) = &mut self.state {
                if self.incoming.first().is_some_and(u8::is_ascii_alphabetic) {
                    // A method's first letter is no record's type (RFC 8446, section 5.1).
                    self.say(PLAIN_ON_TLS);
                    return Poll::Ready(Err(NotGreeted::Plain));
                }
                match hello(acceptor, &self.incoming, seen) {
                    Ok(None) => {}
                    Ok(Some(name)) => {
                        let found = current.configured(|config| config.tls.find(name.as_deref()).cloned());
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
                let looked = self.look();
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
            match ready!(self.receive(cx, stream, most)) {
                Ok(1..) => {}
                Ok(0) => {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    return Poll::Ready(Err(NotGreeted::Failed(error)));
                }
                Err(error) => return Poll::Ready(Err(NotGreeted::Failed(error))),
            }
        }
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

    /// Gives `take` what the records hold that have arrived.
    pub(super) fn read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        mut take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        for _ in 0..EMPTY_RECORDS {
            if !self.stash.is_empty() {
                let count = self.stash.len();
                take(self.stash.bytes());
                self.stash = Buffer::default();
                return Poll::Ready(Ok(count));
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            let look = self.look().map_err(broken);
            // Tickets, new keys, alerts.
            if !self.outgoing.is_empty() {
                let _ = self.send(cx, stream)?;
            }
            look?;
            if !self.stash.is_empty() || self.ended {
                continue;
            }
            match ready!(self.receive(cx, stream, AHEAD))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                _ => continue,
            }
        }
        // There may be more, and others have their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Encrypts what lies in `outbox` and sends it, in records as large as they may be.
    pub(super) fn flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        outbox: &mut Buffer,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.send(cx, stream))?;
            if outbox.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let piece = &outbox.bytes()[..outbox.len().min(RECORD)];
            let taken = piece.len();
            self.encrypt(piece)?;
            outbox.consume(taken);
        }
    }

    fn encrypt(&mut self, plain: &[u8]) -> io::Result<()> {
        // What has come stands before what goes: the records of both are one sequence to the library.
        if !matches!(
            self.look().map_err(broken)?,
            TlsProgress::Writable | TlsProgress::Ended
        ) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let TlsState::Open(connection) = &mut self.state else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let UnbufferedStatus { discard, state, .. } = connection.process_tls_records(&mut self.incoming);
        let written = match state.map_err(broken)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let room = plain.len() + OVERHEAD;
                append(&mut self.outgoing, room, |to| traffic.encrypt(plain, to)).map_err(io::Error::other)
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.incoming.drain(..discard);
        written
    }

    /// Says that nothing follows, as far as there is room.
    pub(super) fn say_goodbye(&mut self, cx: &mut Context<'_>, stream: &mut Stream) {
        let looked = self.look();
        if let (Ok(TlsProgress::Writable | TlsProgress::Ended), TlsState::Open(connection)) =
            (looked, &mut self.state)
        {
            let UnbufferedStatus { discard, state, .. } = connection.process_tls_records(&mut self.incoming);
            if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
                // There is always memory for an alert.
                let _ = append(&mut self.outgoing, OVERHEAD, |to| traffic.queue_close_notify(to));
            }
            self.incoming.drain(..discard);
        }
        let _ = self.send(cx, stream);
    }

    /// Reads the records that are here: plain text goes to the stash, answers to what is sent.
    fn look(&mut self) -> Result<TlsProgress, Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        // What was read is taken out once: records may be of a byte each.
        let mut read = 0;
        let looked = loop {
            match self.look_once(&mut read) {
                Ok(None) => {}
                Ok(Some(look)) => break Ok(look),
                Err(error) => break Err(error),
            }
        };
        self.incoming.drain(..read);
        if let Err(error) = &looked {
            self.failure = Some(error.clone());
            self.tell_what_is_wrong();
        }
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        looked
    }

    /// Has the library do one thing with what is here from `read` on.
    fn look_once(&mut self, read: &mut usize) -> Result<Option<TlsProgress>, Error> {
        let TlsState::Open(connection) = &mut self.state else {
            return Ok(Some(TlsProgress::Blocked));
        };
        let UnbufferedStatus { discard, state, .. } =
            connection.process_tls_records(&mut self.incoming[*read..]);
        *read += discard;
        match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    *read += record.discard;
                    self.stash.append(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut data) => encode(&mut self.outgoing, |to| data.encode(to))?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed | ConnectionState::Closed => {
                self.ended = true;
                return Ok(Some(TlsProgress::Ended));
            }
            ConnectionState::WriteTraffic(_) => return Ok(Some(TlsProgress::Writable)),
            _ => return Ok(Some(TlsProgress::Blocked)),
        }
        Ok(None)
    }

    /// The library has found an error and tells the client by an alert, which comes with the next looks. Another one would read the
    /// same bytes again and find them wrong again, so there is none after it.
    fn tell_what_is_wrong(&mut self) {
        let TlsState::Open(connection) = &mut self.state else {
            return;
        };
        loop {
            match connection.process_tls_records(&mut self.incoming).state {
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
        self.incoming = Vec::new();
    }

    fn receive(&mut self, cx: &mut Context<'_>, stream: &mut Stream, most: usize) -> Poll<io::Result<usize>> {
        let incoming = &mut self.incoming;
        let room = most.saturating_sub(incoming.len());
        stream.poll_receive(cx, room, |data| incoming.extend_from_slice(data))
    }

    fn send(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, self.outgoing.bytes()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.consume(sent);
        }
        self.outgoing = Buffer::default();
        Poll::Ready(Ok(()))
    }

    fn say(&mut self, bytes: &[u8]) {
        self.outgoing.append(bytes);
    }
}

/// The name that a client asks for, once its first message is whole: `None` within where it asks for none.
fn hello(
    acceptor: &mut Acceptor,
    incoming: &[u8],
    seen: &mut usize,
) -> Result<Option<Option<String>>, (Error, Vec<u8>)> {
    while *seen < incoming.len() {
        let mut rest = &incoming[*seen..];
        let read = acceptor.read_tls(&mut rest);
        let read = read.map_err(|error| (Error::General(error.to_string()), Vec::new()))?;
        *seen += read;
        match acceptor.accept() {
            Ok(None) if read > 0 => {}
            Ok(None) => return Ok(None),
            Ok(Some(accepted)) => {
                return Ok(Some(accepted.client_hello().server_name().map(str::to_owned)));
            }
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                // Into memory, which takes everything.
                let _ = alert.write_all(&mut bytes);
                return Err((error, bytes));
            }
        }
    }
    Ok(None)
}

/// Whether a record is an alert: by its type in clear and in TLS 1.2, by its length where only the keys tell the type (two bytes, the
/// type and a tag: RFC 8446, section 5.2).
fn is_alert(record: &[u8]) -> bool {
    match record {
        [21, ..] => true,
        [23, ..] => record.len() == HEADER + 2 + 1 + 16,
        _ => false,
    }
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
