//! Where frames come from and go to.
//!
//! * [`XdpPort`]: the AF_XDP queues of an interface that one worker serves.
//! * `memory::pair`: two ends in one process, for tests and benches; no kernel involved.
//! * `Faulty`: any port behind a bad line: loss, duplicates, reordering, corruption.
//! * `pcap`: capture files as a source and as a sink.

#[cfg(any(test, feature = "harness"))]
pub mod faults;
#[cfg(any(test, feature = "harness"))]
pub mod memory;
#[cfg(any(test, feature = "harness"))]
pub mod pcap;
#[cfg(target_os = "linux")]
mod xdp;

#[cfg(test)]
mod tests;

use std::os::fd::BorrowedFd;

use headgate_xsk::{Frame, FrameCache};

#[cfg(any(test, feature = "harness"))]
pub use faults::{Faults, Faulty};
#[cfg(target_os = "linux")]
pub use xdp::XdpPort;

/// One worker's share of an interface.
///
/// A worker calls `receive` and `transmit` in turns; `receive` first, so that frames which were sent come back before
/// new ones are needed.
pub trait Port: Send {
    /// Moves up to `max` received frames to the end of `out`; `0 <= result <= max`.
    fn receive(&mut self, cache: &mut FrameCache, out: &mut Vec<Frame>, max: usize) -> usize;

    /// Sends from the front of `frames`; what does not fit now stays there, in order. Called with no frames
    /// it only takes back what was sent before. Returns how many frames it took.
    fn transmit(&mut self, cache: &mut FrameCache, frames: &mut Vec<Frame>) -> usize;

    /// Whether `receive` would bring something now. Asked once before a worker sleeps.
    fn ready(&self) -> bool;

    /// Whether `transmit` must be called again for frames that it took, with more or without.
    fn pending(&self) -> bool {
        false
    }

    /// What becomes readable when frames arrive; empty for ports that are asked in turns only.
    fn wakers(&self) -> Vec<BorrowedFd<'_>>;
}
