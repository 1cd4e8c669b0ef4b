//! Waiting without missing anything.
//!
//! Readiness from epoll is a matter of edges: what was there before the last look gives no new event. So the
//! worker first forgets old readiness, then announces that it sleeps, then looks at every ring and inbox once more, and
//! only then waits. What arrives in between is either seen by that look or makes an edge that ends the wait.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

/// The descriptors that can end a worker's sleep.
pub(super) struct Sleeper {
    fds: Vec<AsyncFd<OwnedFd>>,
}

impl Sleeper {
    /// Must be made on the worker's runtime.
    pub(super) fn new<'a>(fds: impl Iterator<Item = BorrowedFd<'a>>) -> io::Result<Self> {
        // A duplicate is the same socket to the kernel, and needs no borrow of the port.
        #[expect(
            deprecated,
            reason = "unsound with types that change their descriptor, which OwnedFd does not; its successor is unsafe"
        )]
        let register =
            |fd: BorrowedFd<'_>| AsyncFd::with_interest(fd.try_clone_to_owned()?, Interest::READABLE);
        Ok(Self {
            fds: fds.map(register).collect::<io::Result<_>>()?,
        })
    }

    /// Waits for a descriptor, `other`, or `deadline`. `look` is called when everything is armed: it announces the
    /// sleep and says whether there is work after all.
    pub(super) async fn wait(
        &self,
        deadline: Instant,
        other: impl Future<Output = ()>,
        look: impl FnOnce() -> bool,
    ) {
        let mut timer = pin!(sleep_until(deadline));
        let mut other = pin!(other);
        let mut look = Some(look);
        poll_fn(|cx| {
            let ended = timer.as_mut().poll(cx).is_ready() || other.as_mut().poll(cx).is_ready();
            match look.take() {
                Some(look) => {
                    self.arm(cx);
                    if look() || ended {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                }
                None if ended || self.any_ready(cx) => Poll::Ready(()),
                None => Poll::Pending,
            }
        })
        .await;
    }

    /// Forgets readiness until there is none, which leaves a waker behind.
    fn arm(&self, cx: &mut Context<'_>) {
        for fd in &self.fds {
            while let Poll::Ready(Ok(mut guard)) = fd.poll_read_ready(cx) {
                guard.clear_ready();
            }
        }
    }

    fn any_ready(&self, cx: &mut Context<'_>) -> bool {
        // All of them are asked, since asking is what leaves the waker.
        self.fds
            .iter()
            .filter(|fd| fd.poll_read_ready(cx).is_ready())
            .count()
            > 0
    }
}
