//! A thread that serves until it is told to end: waits for its bell and for whatever else it listens to.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headgate_ring::ThreadBell;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{SendFlags, Shutdown, sockopt};

/// How long nothing is accepted after a failure.
const RECOVERY: Duration = Duration::from_millis(100);
/// How often a failure is told that lasts.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// A peer that has gone is an error, and no signal.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
/// Darwin has no such flag; every Rust program ignores the signal from its start.
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::empty();

/// A thread with a bell that ends it. Dropping this rings the bell and waits for the end.
pub(crate) struct Thread {
    name: &'static str,
    bell: Arc<ThreadBell>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts a thread of this name, at most 15 bytes. `body` ends when its bell is readable.
    ///
    /// # Errors
    /// When there is no thread or no descriptor to be had.
    pub(crate) fn start(
        name: &'static str,
        body: impl FnOnce(&ThreadBell) + Send + 'static,
    ) -> io::Result<Self> {
        let bell = Arc::new(ThreadBell::new()?);
        let end = Arc::clone(&bell);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || body(&end))?;
        Ok(Self {
            name,
            bell,
            thread: Some(thread),
        })
    }

    /// Whether it has ended, which only a fault makes it do before the drop of this.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.bell.ring();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread {} had panicked", self.name);
        }
    }
}

/// What connections come from.
pub(crate) trait Listener: AsFd {
    /// One of them.
    type Stream: Stream;

    /// The next connection, if there is one.
    fn take(&self) -> io::Result<Self::Stream>;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn take(&self) -> io::Result<UnixStream> {
        Ok(self.accept()?.0)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn take(&self) -> io::Result<TcpStream> {
        Ok(self.accept()?.0)
    }
}

/// A connection.
pub(crate) trait Stream: Send + Sized + 'static {
    /// Another handle of the same connection.
    fn duplicate(&self) -> io::Result<Self>;
    /// Ends both directions; fails where the peer has gone already.
    fn end(&self) -> io::Result<()>;
    /// Reads once, for so long at most.
    fn read_within(&self, bytes: &mut [u8], time: Duration) -> io::Result<usize>;
    /// Writes once, for so long at most.
    fn write_within(&self, bytes: &[u8], time: Duration) -> io::Result<usize>;
}

impl<S: AsFd + From<OwnedFd> + Send + 'static> Stream for S {
    fn duplicate(&self) -> io::Result<Self> {
        self.as_fd().try_clone_to_owned().map(Self::from)
    }

    fn end(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, Shutdown::Both)?)
    }

    fn read_within(&self, bytes: &mut [u8], time: Duration) -> io::Result<usize> {
        sockopt::set_socket_timeout(self, sockopt::Timeout::Recv, Some(time))?;
        Ok(rustix::io::read(self, bytes)?)
    }

    fn write_within(&self, bytes: &[u8], time: Duration) -> io::Result<usize> {
        sockopt::set_socket_timeout(self, sockopt::Timeout::Send, Some(time))?;
        Ok(rustix::net::send(self, bytes, SEND)?)
    }
}

/// Gives `serve` every connection that comes, one after another, until the bell rings.
pub(crate) fn accept_until<L: Listener>(bell: &ThreadBell, listener: &L, mut serve: impl FnMut(L::Stream)) {
    let mut failing = Failing::default();
    while wait(bell, listener) {
        match listener.take() {
            Ok(stream) => serve(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => failing.recover(|| tracing::warn!("a connection cannot be accepted: {error}")),
        }
    }
}

/// Connections that cannot be accepted: out of descriptors, as a rule, which does not get better by trying at once, and
/// which a line of the log for each try would not make better either.
#[derive(Default)]
pub(crate) struct Failing {
    /// When it was told last.
    told: Option<Instant>,
}

impl Failing {
    /// Waits a while, and has it told once a minute.
    pub(crate) fn recover(&mut self, tell: impl FnOnce()) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
            self.told = Some(Instant::now());
            tell();
        }
        std::thread::sleep(RECOVERY);
    }
}

/// False when it is time to end.
fn wait(bell: &ThreadBell, listener: &impl AsFd) -> bool {
    let mut fds = [
        PollFd::new(bell, PollFlags::IN),
        PollFd::new(listener, PollFlags::IN),
    ];
    // An interrupted wait finds nothing to accept.
    let _ = poll(&mut fds, None);
    fds[0].revents().is_empty()
}

/// Connections that are being served, each by a thread of its own: one that is slow, or silent, or asks for much delays
/// nobody. None outlives this.
pub(crate) struct Crew<S: Stream> {
    name: &'static str,
    /// At one time.
    most: usize,
    /// After how long a connection gives way where there are too many; never without.
    give_way: Option<Duration>,
    /// Who came first stands first.
    members: Vec<Member<S>>,
    /// Members whose connections were ended for others, until their threads have noticed.
    leaving: Vec<JoinHandle<()>>,
}

struct Member<S> {
    stream: S,
    thread: JoinHandle<()>,
    since: Instant,
}

impl<S: Stream> Crew<S> {
    /// For so many at one time.
    pub(crate) const fn new(name: &'static str, most: usize) -> Self {
        Self {
            name,
            most,
            give_way: None,
            members: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// Where there are too many, the one that came first is ended for another, if it was there for so long.
    pub(crate) fn that_give_way(mut self, after: Duration) -> Self {
        self.give_way = Some(after);
        self
    }

    /// Serves a connection; gives it back where there are too many, none of which has taken long. One that cannot be served
    /// because the system has no thread or descriptor left is closed.
    pub(crate) fn serve(&mut self, stream: S, serve: impl FnOnce(&S) + Send + 'static) -> Result<(), S> {
        self.members.retain(|member| !member.thread.is_finished());
        self.leaving.retain(|thread| !thread.is_finished());
        if self.members.len() >= self.most && !self.give_way() {
            return Err(stream);
        }
        if let Err(error) = self.start(stream, serve) {
            tracing::warn!("a connection cannot be served: {error}");
        }
        Ok(())
    }

    /// Ends the connection that came first, if it has been there for long. Returns whether there is room now.
    fn give_way(&mut self) -> bool {
        let longest = self.members.first();
        let gives_way = self.leaving.len() < self.most
            && longest
                .is_some_and(|member| self.give_way.is_some_and(|after| member.since.elapsed() >= after));
        if gives_way {
            let Member { stream, thread, .. } = self.members.remove(0);
            // Wakes the thread; a client that has gone already is as good.
            let _ = stream.end();
            self.leaving.push(thread);
        }
        gives_way
    }

    fn start(&mut self, stream: S, serve: impl FnOnce(&S) + Send + 'static) -> io::Result<()> {
        let ours = stream.duplicate()?;
        let body = move || {
            serve(&stream);
            // Dropping is not enough: the other handle is open until the next connection comes. A client that has gone
            // already is no event.
            let _ = stream.end();
        };
        let thread = std::thread::Builder::new().name(self.name.into()).spawn(body)?;
        self.members.push(Member {
            stream: ours,
            thread,
            since: Instant::now(),
        });
        Ok(())
    }
}

impl<S: Stream> Drop for Crew<S> {
    fn drop(&mut self) {
        let members = self.members.drain(..).map(|Member { stream, thread, .. }| {
            // Wakes the thread; a client that has gone already is as good.
            let _ = stream.end();
            thread
        });
        let threads: Vec<_> = members.collect();
        for thread in threads.into_iter().chain(self.leaving.drain(..)) {
            if thread.join().is_err() {
                tracing::error!("the thread {} had panicked", self.name);
            }
        }
    }
}

/// A connection that must take all within a time: a limit for each write alone would let a reader of single bytes stay for
/// ever.
pub(crate) struct Patient<'a, S> {
    /// The connection.
    pub(crate) stream: &'a S,
    /// When patience ends.
    pub(crate) until: Instant,
}

impl<S: Stream> Write for Patient<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write_within(bytes, left(self.until)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Stream> Read for Patient<'_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read_within(bytes, left(self.until)?)
    }
}

/// The time until then, or that it has passed.
pub(crate) fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_lasts_is_told_once() {
        let (mut failing, mut told) = (Failing::default(), 0);
        for _ in 0..3 {
            failing.recover(|| told += 1);
        }
        assert_eq!(told, 1);
    }
}
