//! How much a client may send before it hears from us (RFC 9113, section 6.9).

use std::time::Duration;

use headgate_net::clock::Nanos;

/// A window that is used up in so short a time, by half, is what holds the client back: it doubles. So it comes to what the path
/// carries in half a second, whatever its round trip is, as long as what comes is taken as fast.
const SHORT: Duration = Duration::from_millis(250);

/// A receive window, of a stream or of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    /// Bytes that may lie here unread, now and to begin with.
    size: u32,
    begun: u32,
    /// What of it the client may still send; negative after it was lowered.
    left: i64,
    /// Bytes that were read since the client was last told.
    read: u32,
    since: Nanos,
}

impl ReceiveWindow {
    pub(super) fn new(size: u32, now: Nanos) -> Self {
        Self {
            size,
            begun: size,
            left: size.into(),
            read: 0,
            since: now,
        }
    }

    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Bytes that lie here unread.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn unread(&self) -> i64 {
        i64::from(self.size) - self.left - i64::from(self.read)
    }

    /// By how much it has grown, in bytes.
    pub(super) fn grown(&self) -> u32 {
        self.size - self.begun
    }

    /// Takes note of bytes that have come. `false` where the client was not allowed to send them.
    #[must_use]
    pub(super) fn arrives(&mut self, bytes: u32) -> bool {
        self.left -= i64::from(bytes);
        self.left >= 0
    }

    /// Takes note of bytes that were read: how much the client may send beyond what it knows of, once that is worth telling. The
    /// window grows up to `most`.
    pub(super) fn reads(&mut self, bytes: u32, most: u32, now: Nanos) -> Option<u32> {
        self.read += bytes;
        if self.read < self.size / 2 {
            return None;
        }
        let mut more = self.read;
        if now < self.since.after(SHORT) && self.size < most {
            let size = self.size.saturating_mul(2).min(most);
            more += size - self.size;
            self.size = size;
        }
        (self.read, self.since) = (0, now);
        self.left += i64::from(more);
        Some(more)
    }
}
