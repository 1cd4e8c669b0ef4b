//! Frames that cost us something and bring nobody anything: so many, and no more.
//!
//! Each takes from a stock that grows with time and with what is done for the client. So a client that resets what it has asked
//! for (CVE-2023-44487), or has us reset it (CVE-2025-8671), or sends pings, settings, priorities, updates of windows or empty frames
//! without end (CVE-2019-9511 to 9518) ends its connection, and one that works with it never comes near.

use headgate_net::clock::Nanos;

/// The stock of a client's new connection, and what it grows to at most; what it gains a second.
const MOST: u32 = 2_000;
const A_SECOND: u64 = 50;
/// The same of a connection to a pod, which many clients share.
const MOST_OF_POD: u32 = 20_000;
const A_SECOND_OF_POD: u64 = 2_000;
/// What a reset costs, and what a whole answer brings.
pub(super) const RESET: u32 = 10;
pub(super) const ANSWER: u32 = 10;
/// What a frame of a body brings that we send, unless it is short because of a window: who takes it may well ask how long it was
/// on its way, as those of gRPC do, and tell of room in both windows.
pub(super) const SENT: u32 = 3;
/// One for each so many bytes of bodies that go or come.
const BYTES: u64 = 1_024;

/// A connection's stock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calm {
    left: u32,
    most: u32,
    a_second: u64,
    since: Nanos,
    /// Bytes of bodies that brought nothing yet.
    bytes: u64,
}

impl Calm {
    pub(super) fn of_client(now: Nanos) -> Self {
        Self::new(MOST, A_SECOND, now)
    }

    pub(super) fn of_pod(now: Nanos) -> Self {
        Self::new(MOST_OF_POD, A_SECOND_OF_POD, now)
    }

    fn new(most: u32, a_second: u64, now: Nanos) -> Self {
        Self {
            left: most,
            most,
            a_second,
            since: now,
            bytes: 0,
        }
    }

    /// Takes something. `false` where that was too much.
    #[must_use]
    pub(super) fn takes(&mut self, cost: u32, now: Nanos) -> bool {
        let gained = now.0.saturating_sub(self.since.0).saturating_mul(self.a_second) / 1_000_000_000;
        if gained > 0 {
            self.gains(u32::try_from(gained).unwrap_or(self.most));
            self.since = now;
        }
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    pub(super) fn gains(&mut self, gain: u32) {
        self.left = self.left.saturating_add(gain).min(self.most);
    }

    /// Bytes of a body have come or gone.
    pub(super) fn moves(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.bytes >= BYTES {
            self.gains(u32::try_from(self.bytes / BYTES).unwrap_or(self.most));
            self.bytes %= BYTES;
        }
    }
}
