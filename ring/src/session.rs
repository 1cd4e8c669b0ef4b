//! Messages and transactions between two processes that share a pair of rings.
//!
//! The dataplane binds a [`Listener`](crate::SessionListener) and accepts; a control plane [`connect`](crate::connect)s. Whichever dies, the other's next
//! call says [`SessionError::PeerGone`], and one that is blocked says so at once. A session that reported an error
//! other than a timeout is closed; the two begin again with a new one.
//!
//! To wait for messages together with other things, wait until [`Session::as_fd`] is readable (`poll`, or tokio's
//! `AsyncFd`), then call `try_receive` until it gives `None`. Start with such a round before the first wait.

mod error;

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::PollFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

pub use self::error::SessionError;
use self::error::io_failed;
use crate::bell::{Bell, Connected, Deadline};
use crate::encoding::{ToDataRef, encode, encoded_size};
use crate::handshake::{HandshakeError, PeerProcess, SessionParts};
use crate::limits::{MESSAGE_BYTES, TRANSACTION_BYTES, TRANSACTION_OPERATIONS};
use crate::message::{Generation, Key, Object, ToControl, ToData};
use crate::record::Corruption;
use crate::ring::{Reader, RingWriter, Towards};
use crate::sockets;
use crate::transaction::{Collector, OperationRef, Transaction, TransactionError, check_generation};

/// The control plane's end.
pub type ControlSession = Session<ToData, ToControl>;
/// The dataplane's end.
pub type DataSession = Session<ToControl, ToData>;

/// One end: sends `S`, receives `R`.
#[derive(Debug)]
pub struct Session<S, R> {
    peer: PeerProcess,
    /// Rung for records that were written. Its end is the session's end.
    socket: Bell,
    /// Rung for room that was made.
    room: Bell,
    writer: RingWriter,
    reader: Reader,
    open: bool,
    /// The generation sent last, 0 before the first.
    sent: Generation,
    /// The transaction that is being received.
    collector: Collector,
    messages: PhantomData<fn(S) -> R>,
}

/// Ends a session from another thread than the one that uses it.
#[derive(Debug)]
pub struct HangUp {
    socket: OwnedFd,
    room: OwnedFd,
}

impl HangUp {
    /// Ends the session for both sides: a call that waits for the peer says [`SessionError::PeerGone`] at once.
    pub fn hang_up(&self) {
        // Both: who waits for room sees the end of either, but not of the socket on every system (`sockets::GONE`).
        for line in [&self.socket, &self.room] {
            // The peer may have done so already, which is an error of no consequence.
            let _ = rustix::net::shutdown(line, rustix::net::Shutdown::Both);
        }
    }
}

impl ControlSession {
    pub(crate) fn control(link: SessionParts) -> Self {
        Self::new(link, Towards::ToData, Towards::ToControl)
    }

    /// Sends a transaction. An error that says that nothing was sent leaves the session open: the generation was
    /// not above the last one, or the transaction or one of its objects is too large. `timeout` is for the whole;
    /// `None` waits as long as the peer lives.
    pub fn send_transaction(
        &mut self,
        transaction: &Transaction,
        timeout: Option<Duration>,
    ) -> Result<(), SessionError> {
        let Transaction {
            generation,
            full,
            ref operations,
        } = *transaction;
        let operations = operations.iter().map(OperationRef::from);
        self.send_operations(generation, full, operations, timeout)
    }

    /// As [`Self::send_transaction`], of objects that stand elsewhere: a whole state is sent without a copy of it.
    pub fn send_operations<'a>(
        &mut self,
        generation: Generation,
        full: bool,
        operations: impl ExactSizeIterator<Item = OperationRef<'a>> + Clone,
        timeout: Option<Duration>,
    ) -> Result<(), SessionError> {
        self.check_open()?;
        check_generation(generation, self.sent)?;
        check_sendable(generation, operations.clone())?;
        let deadline = Deadline::after(timeout);
        let result = self.write_transaction(generation, full, operations, deadline);
        self.sent = generation;
        self.close_on_error(timed_out(result, timeout))
    }

    fn write_transaction<'a>(
        &mut self,
        generation: Generation,
        full: bool,
        operations: impl ExactSizeIterator<Item = OperationRef<'a>>,
        deadline: Deadline,
    ) -> Result<(), Interrupted> {
        let count = operations.len() as u32;
        self.write_message(&encode(&ToDataRef::Begin { generation, full })?, deadline)?;
        for operation in operations {
            let encoded = match operation {
                OperationRef::PutPacked(packed) => {
                    self.write_message(packed.message(), deadline)?;
                    continue;
                }
                OperationRef::Put(object) => encode(&ToDataRef::Put(object))?,
                OperationRef::Delete(key) => encode(&ToDataRef::Delete(key))?,
            };
            self.write_message(&encoded, deadline)?;
        }
        let commit = ToDataRef::Commit {
            generation,
            operations: count,
        };
        self.write_message(&encode(&commit)?, deadline)?;
        self.wake_reader()?;
        Ok(())
    }
}

/// Checks before the first byte is sent what would otherwise tear a transaction apart.
fn check_sendable<'a>(
    generation: Generation,
    operations: impl ExactSizeIterator<Item = OperationRef<'a>>,
) -> Result<(), SessionError> {
    if operations.len() > TRANSACTION_OPERATIONS {
        return Err(TransactionError::Operations(generation).into());
    }
    let mut total = 0;
    for operation in operations {
        let bytes = match operation {
            OperationRef::Put(object) => encoded_size(&ToDataRef::Put(object))?,
            OperationRef::PutPacked(packed) => packed.message().len(),
            OperationRef::Delete(key) => encoded_size(&ToDataRef::Delete(key))?,
        };
        if bytes > MESSAGE_BYTES {
            return Err(SessionError::TooLarge {
                what: operation_key(operation).to_string(),
                bytes,
            });
        }
        total += bytes;
    }
    if total > TRANSACTION_BYTES {
        return Err(TransactionError::Bytes(generation).into());
    }
    Ok(())
}

fn operation_key(operation: OperationRef<'_>) -> Key {
    match operation {
        OperationRef::Put(object) => object.key(),
        OperationRef::PutPacked(packed) => packed.object().key(),
        OperationRef::Delete(key) => key.clone(),
    }
}

impl DataSession {
    pub(crate) fn data(link: SessionParts) -> Self {
        Self::new(link, Towards::ToControl, Towards::ToData)
    }

    /// The next transaction, `None` when none is complete yet. Use either this or [`Session::try_receive`] on a
    /// session, not both.
    pub fn try_receive_transaction(&mut self) -> Result<Option<Transaction>, SessionError> {
        self.check_open()?;
        let result = self.collect();
        self.close_on_error(result)
    }

    fn collect(&mut self) -> Result<Option<Transaction>, SessionError> {
        while let Some(bytes) = self.read_message()? {
            let message = self.decode(&bytes)?;
            if let Some(transaction) = self.collector.take(message, bytes.len())? {
                return Ok(Some(transaction));
            }
        }
        Ok(None)
    }

    /// The next transaction, `None` when none was complete in time; what came of it is kept for the next call.
    pub fn receive_transaction(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<Option<Transaction>, SessionError> {
        self.receive_with(timeout, Self::try_receive_transaction)
    }
}

impl<S: Serialize, R: DeserializeOwned> Session<S, R> {
    fn new(link: SessionParts, write: Towards, read: Towards) -> Self {
        let SessionParts {
            peer,
            socket,
            room,
            memory,
            layout,
            session,
        } = link;
        Self {
            peer,
            socket,
            room,
            writer: layout.writer(Arc::clone(&memory), write, session),
            reader: layout.reader(memory, read, session),
            open: true,
            sent: 0,
            collector: Collector::default(),
            messages: PhantomData,
        }
    }

    /// What ends this session from another thread.
    ///
    /// # Errors
    ///
    /// The process has no descriptor left.
    pub fn hang_up_handle(&self) -> Result<HangUp, HandshakeError> {
        let duplicate = |bell: &Bell| {
            let line = bell.as_fd().try_clone_to_owned();
            line.map_err(crate::handshake::failed("duplicate the socket"))
        };
        Ok(HangUp {
            socket: duplicate(&self.socket)?,
            room: duplicate(&self.room)?,
        })
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerProcess {
        self.peer
    }

    /// Whether no call has closed the session. The peer may be gone all the same.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Sends a message, waiting while the ring is full: until `timeout`, `None` for as long as the peer lives.
    /// Success means that it stands in the ring, not that the peer has read it.
    pub fn send(&mut self, message: &S, timeout: Option<Duration>) -> Result<(), SessionError> {
        self.check_open()?;
        let bytes = encode(message)?;
        let result = self
            .write_message(&bytes, Deadline::after(timeout))
            .and_then(|()| Ok(self.wake_reader()?));
        if let (Err(Interrupted::Timeout { sent: 0 }), Some(timeout)) = (&result, timeout) {
            return Err(SessionError::Timeout(timeout));
        }
        self.close_on_error(timed_out(result, timeout))
    }

    /// The next message, `None` when none is complete yet.
    pub fn try_receive(&mut self) -> Result<Option<R>, SessionError> {
        self.check_open()?;
        let result = self
            .read_message()
            .and_then(|bytes| bytes.map(|bytes| self.decode(&bytes)).transpose());
        self.close_on_error(result)
    }

    /// The next message, `None` when none was complete in time. Without a timeout it waits as long as the peer
    /// lives.
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<Option<R>, SessionError> {
        self.receive_with(timeout, Self::try_receive)
    }

    fn receive_with<T>(
        &mut self,
        timeout: Option<Duration>,
        attempt: impl Fn(&mut Self) -> Result<Option<T>, SessionError>,
    ) -> Result<Option<T>, SessionError> {
        let deadline = Deadline::after(timeout);
        loop {
            if let Some(received) = attempt(self)? {
                return Ok(Some(received));
            }
            let wait = deadline.wait([(self.socket.as_fd(), PollFlags::IN)]);
            if self
                .close_on_error(wait.map_err(io_failed("wait for a message")))?
                .is_none()
            {
                return Ok(None);
            }
        }
    }

    /// Puts a message into the ring, in as many records as it takes. The reader is woken only where this side would
    /// wait: the caller wakes it when there is no more to come.
    fn write_message(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), Interrupted> {
        let mut sent = 0;
        while sent < bytes.len() {
            sent += match self.writer.write(sent == 0, &bytes[sent..])? {
                0 => self.write_when_room(sent, bytes, deadline)?,
                taken => taken,
            };
        }
        Ok(())
    }

    /// Waits for room and writes one record.
    fn write_when_room(
        &mut self,
        sent: usize,
        bytes: &[u8],
        deadline: Deadline,
    ) -> Result<usize, Interrupted> {
        loop {
            self.wake_reader()?;
            let line = self.room.drain().map_err(io_failed("read the bell for room"))?;
            if line == Connected::HungUp {
                return Err(SessionError::PeerGone.into());
            }
            self.writer.set_waits();
            let taken = self.writer.write(sent == 0, &bytes[sent..])?;
            if taken > 0 {
                return Ok(taken);
            }
            let gone = sockets::GONE | PollFlags::HUP | PollFlags::ERR;
            let on = [
                (self.room.as_fd(), PollFlags::IN),
                (self.socket.as_fd(), sockets::GONE),
            ];
            match deadline.wait(on).map_err(io_failed("wait for room"))? {
                None => return Err(Interrupted::Timeout { sent }),
                Some([_, socket]) if socket.intersects(gone) => return Err(SessionError::PeerGone.into()),
                Some(_) => {}
            }
        }
    }

    fn wake_reader(&mut self) -> Result<(), SessionError> {
        if self.writer.reader_waits()
            && self.socket.ring().map_err(io_failed("wake the peer"))? == Connected::HungUp
        {
            return Err(SessionError::PeerGone);
        }
        Ok(())
    }

    /// Takes a message out of the ring. When there is none, a byte on the socket will tell of the next.
    fn read_message(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, SessionError> {
        let mut message = self.reader.read()?;
        let mut line = Connected::Open;
        if message.is_none() {
            // In this order: a byte that comes after the first step is for what is written after the last look.
            line = self
                .socket
                .drain()
                .map_err(io_failed("read the bell for messages"))?;
            self.reader.set_waits();
            message = self.reader.read()?;
        }
        if self.reader.writer_waits() {
            // A peer that hung up meanwhile shows at the socket.
            self.room.ring().map_err(io_failed("tell the peer of room"))?;
        }
        if message.is_none() && line == Connected::HungUp {
            return Err(SessionError::PeerGone);
        }
        Ok(message)
    }

    fn decode(&self, bytes: &[u8]) -> Result<R, SessionError> {
        Ok(decode(bytes).map_err(|reason| Corruption::Message {
            sequence: self.reader.last_sequence(),
            reason,
        })?)
    }

    fn check_open(&self) -> Result<(), SessionError> {
        if self.open {
            Ok(())
        } else {
            Err(SessionError::Closed)
        }
    }

    /// After an error the two sides no longer agree on anything, so both shall know.
    fn close_on_error<T>(&mut self, result: Result<T, SessionError>) -> Result<T, SessionError> {
        if result.is_err() {
            self.open = false;
            self.socket.hang_up();
            self.room.hang_up();
        }
        result
    }
}

/// Readable when there may be something to receive, or the peer is gone.
impl<S, R> AsFd for Session<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// For tokio's `AsyncFd`, which asks for it.
impl<S, R> AsRawFd for Session<S, R> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }
}

/// How a message did not get into the ring.
enum Interrupted {
    /// The deadline passed after `sent` bytes of the message.
    Timeout {
        sent: usize,
    },
    Error(SessionError),
}

impl<E: Into<SessionError>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

fn timed_out(result: Result<(), Interrupted>, timeout: Option<Duration>) -> Result<(), SessionError> {
    result.map_err(|interrupted| match interrupted {
        Interrupted::Timeout { .. } => SessionError::Timeout(timeout.unwrap_or(Duration::MAX)),
        Interrupted::Error(error) => error,
    })
}

/// Bytes of the message that puts an object. One of more than [`MESSAGE_BYTES`] cannot be sent, nor can the transaction
/// that it is part of.
#[must_use]
pub fn put_bytes(object: &Object) -> usize {
    // What cannot be encoded cannot be sent either.
    encoded_size(&ToDataRef::Put(object)).unwrap_or(usize::MAX)
}

/// The message that `bytes` are, all of them.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(format!("{} of {} bytes are left over", rest.len(), bytes.len())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod stress;
