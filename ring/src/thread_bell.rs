//! What one thread wakes another of its process by.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod eventfd;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
use eventfd::Eventfd as Line;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
mod pair;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
use pair::SocketPair as Line;

/// A bell that any thread rings and one waits for. It rings on until it is silenced, however often it was rung.
#[derive(Debug)]
pub struct ThreadBell(Line);

impl ThreadBell {
    /// A bell that is silent.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        Line::new().map(Self)
    }

    /// Never waits.
    pub fn ring(&self) {
        self.0.ring();
    }

    /// Never waits. Look afterwards at what the bell tells of: what is put down from now on rings again.
    pub fn silence(&self) {
        self.0.silence();
    }
}

/// Readable while it rings.
impl AsFd for ThreadBell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn rings(bell: &ThreadBell) -> bool {
        let mut on = [PollFd::new(bell, PollFlags::IN)];
        poll(&mut on, Some(&Timespec::default())).unwrap() == 1
    }

    #[test]
    fn it_rings_until_it_is_silenced() {
        let bell = ThreadBell::new().unwrap();
        assert!(!rings(&bell));
        bell.silence();
        for times in [1, 2, 1_000, 1_000_000] {
            for _ in 0..times {
                bell.ring();
            }
            assert!(rings(&bell) && rings(&bell));
            bell.silence();
            assert!(!rings(&bell), "after {times} times");
        }
    }

    #[test]
    fn a_thread_that_waits_is_woken() {
        let bell = ThreadBell::new().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| poll(&mut [PollFd::new(&bell, PollFlags::IN)], None));
            bell.ring();
            assert_eq!(waiting.join().unwrap(), Ok(1));
        });
    }
}
