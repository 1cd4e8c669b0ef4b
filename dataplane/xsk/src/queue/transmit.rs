//! Packets out: the transmit and completion rings.

use rustix::io::Errno;
use rustix::net::SendFlags;
use xsk_rs::FrameDesc;

use super::BATCH;
use super::socket::Socket;
use crate::umem::{Frame, FrameCache};

/// Kicks for one batch at most: a kernel that sends 32 packets a call needs two, and one that is busy gets
/// another chance.
const KICKS: usize = 3;

impl Socket {
    pub(super) fn transmit(&mut self, cache: &mut FrameCache, frames: &mut Vec<Frame>) -> usize {
        self.reap(cache);
        if self.unsent {
            self.kick();
        }
        let before = frames.len();
        while !frames.is_empty() {
            let room = self.rings.transmit.nb_free(BATCH as u32) as usize;
            let count = frames.len().min(BATCH).min(room);
            if count == 0 {
                break;
            }
            let queued = self.enqueue(frames, count);
            self.counts.transmitted.add(queued as u64);
            self.counts.sending.add(queued as u64);
            if !self.rings.zero_copy || self.rings.transmit.needs_wakeup() {
                self.kick();
            }
            self.reap(cache);
        }
        before - frames.len()
    }

    /// Moves the first `count` frames into the transmit ring, which has room for them.
    fn enqueue(&mut self, frames: &mut Vec<Frame>, count: usize) -> usize {
        let mut ready = 0;
        for frame in frames.drain(..count) {
            if !std::ptr::eq(frame.umem(), self.umem) {
                self.counts.foreign.add(1);
                continue;
            }
            self.descriptors[ready] = self.describe(&frame);
            // The kernel owns the frame from here on.
            self.umem.owners().lend(frame.into_index(), self.sending);
            ready += 1;
        }
        // SAFETY: the frames are of the ring's memory and the kernel's alone: each `Frame` has just ended.
        let queued = unsafe { self.rings.transmit.produce(&self.descriptors[..ready]) };
        debug_assert_eq!(queued, ready, "the ring had room for {count}");
        queued
    }

    #[inline]
    fn describe(&self, frame: &Frame) -> FrameDesc {
        let mut descriptor = self.kernel.descriptors[frame.index() as usize];
        // SAFETY: the descriptor is of a frame of this memory that `frame` owns, and the slice behind the
        // cursor ends with this statement; only the descriptor's length is written.
        unsafe { self.kernel.umem.data_mut(&mut descriptor) }
            .cursor()
            .set_pos(frame.len());
        descriptor
    }

    /// Takes back the frames that were sent.
    fn reap(&mut self, cache: &mut FrameCache) {
        if self.counts.sending.get() == 0 {
            return;
        }
        loop {
            // SAFETY: as for receiving: the descriptors are overwritten, and checked before they are used.
            let taken = unsafe { self.rings.completion.consume(&mut self.descriptors) };
            for at in 0..taken {
                if let Some((index, _)) = self.reclaim(self.descriptors[at].addr(), self.sending) {
                    self.counts.sending.subtract(1);
                    self.counts.completed.add(1);
                    cache.put_index(index);
                }
            }
            if taken < BATCH {
                break;
            }
        }
        cache.publish();
    }

    /// Tells the kernel to send what is in the transmit ring.
    fn kick(&mut self) {
        for _ in 0..KICKS {
            self.counts.kicks.add(1);
            match rustix::net::send(&*self, &[], SendFlags::DONTWAIT) {
                Ok(_) => {
                    self.unsent = false;
                    return;
                }
                Err(Errno::AGAIN) => self.counts.again.add(1),
                Err(Errno::BUSY) => self.counts.busy.add(1),
                Err(Errno::NOBUFS) => {
                    self.counts.no_buffers.add(1);
                    break;
                }
                Err(_) => {
                    // The interface is down or gone. The frames are the kernel's until it comes back.
                    self.counts.kick_errors.add(1);
                    break;
                }
            }
        }
        self.unsent = true;
    }
}
