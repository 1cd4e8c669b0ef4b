//! Answers on `status.sock`.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::Status;

/// A reader that takes longer than this is cut off.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers until it is dropped.
pub struct Server {
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds the socket and answers each connection with one document, on a thread of its own. The socket is open to
    /// the group, as monitoring wants it.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(path: &Path, status: impl Fn() -> Status + Send + 'static) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let end = Arc::clone(&bell);
        let answer_all = move || {
            while wait(&listener, &end) {
                match listener.accept() {
                    // Whoever asked may be gone; that is no event.
                    Ok((connection, _)) => drop(answer(connection, &status())),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        // Out of descriptors, as a rule, which does not get better by trying at once.
                        tracing::warn!("the status socket cannot accept: {error}");
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("headgate-status".into())
            .spawn(answer_all)?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The only error is a full counter, and then the bell rings already.
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the status thread had panicked");
        }
    }
}

/// False when it is time to end.
fn wait(listener: &UnixListener, end: &OwnedFd) -> bool {
    let mut fds = [
        PollFd::new(end, PollFlags::IN),
        PollFd::new(listener, PollFlags::IN),
    ];
    // An interrupted wait finds nothing to accept.
    let _ = poll(&mut fds, None);
    fds[0].revents().is_empty()
}

fn answer(mut connection: UnixStream, status: &Status) -> io::Result<()> {
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut document = serde_json::to_vec(status)?;
    document.push(b'\n');
    connection.write_all(&document)
}
