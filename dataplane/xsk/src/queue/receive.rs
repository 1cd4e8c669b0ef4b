//! Packets in: the receive and fill rings.

use rustix::net::RecvFlags;
use xsk_rs::FrameDesc;

use super::BATCH;
use super::socket::Socket;
use crate::umem::{FRAME_CAPACITY, FRAME_HEADROOM, FRAME_SIZE, Frame, FrameCache};

/// The kernel gets frames when this many are missing from the fill ring, not for each single one.
const REFILL: u64 = BATCH as u64 / 2;

impl Socket {
    pub(super) fn receive(&mut self, cache: &mut FrameCache, out: &mut Vec<Frame>, max: usize) -> usize {
        let before = out.len();
        let mut left = max;
        while left > 0 {
            let ask = left.min(BATCH);
            // SAFETY: the descriptors are of the memory that the ring belongs to, whatever they were before:
            // the call overwrites them, and what it wrote is checked below before it is followed.
            let taken = unsafe { self.rings.receive.consume(&mut self.descriptors[..ask]) };
            for at in 0..taken {
                let descriptor = self.descriptors[at];
                out.extend(self.accept(&descriptor, cache));
            }
            left -= taken;
            if taken < ask {
                break;
            }
        }
        self.refill(cache);
        if left == max && self.busy_poll {
            // A failure is nothing to act upon: the packets, if any, are there at the next call.
            let _ = rustix::net::recv(&*self, &mut [0_u8; 0], RecvFlags::DONTWAIT);
        }
        let received = out.len() - before;
        self.counts.received.add(received as u64);
        received
    }

    /// Makes a received descriptor a frame, if it can be true.
    #[inline]
    fn accept(&mut self, descriptor: &FrameDesc, cache: &mut FrameCache) -> Option<Frame> {
        let (index, offset) = self.reclaim(descriptor.addr(), self.receiving)?;
        self.counts.filling.subtract(1);
        let len = descriptor.lengths().data();
        if len > FRAME_SIZE - offset {
            // The frame is ours again; what the kernel says of its contents is not to be believed.
            self.counts.bad_descriptors.add(1);
            cache.put_index(index);
            return None;
        }
        if len > FRAME_CAPACITY || descriptor.has_more_frames() {
            self.counts.oversized.add(1);
            cache.put_index(index);
            return None;
        }
        // SAFETY: the kernel had the frame, by `reclaim`, and has handed it back; so nothing owns it.
        let mut frame = unsafe { Frame::own(self.umem, index, len) };
        if offset != FRAME_HEADROOM {
            // Some drivers begin packets elsewhere. Frames do not, so that they can be sent again as they are.
            frame.move_from(offset);
        }
        Some(frame)
    }

    /// Gives the kernel as many frames as the fill ring lacks.
    pub(super) fn refill(&mut self, cache: &mut FrameCache) {
        let mut missing = u64::from(self.ring_size) - self.counts.filling.get();
        while missing >= REFILL {
            let want = missing.min(BATCH as u64) as usize;
            let mut ready = 0;
            while ready < want {
                let Some(index) = cache.take_index() else { break };
                self.umem.owners().lend(index, self.receiving);
                self.descriptors[ready] = self.kernel.descriptors[index as usize];
                ready += 1;
            }
            if ready == 0 {
                break;
            }
            // SAFETY: the frames are of the ring's memory, and the kernel's alone since they were taken
            // from the cache. The ring has room: never more than `ring_size` of its entries are in use.
            let filled = unsafe { self.rings.fill.produce(&self.descriptors[..ready]) };
            self.counts.filling.add(filled as u64);
            for at in filled..ready {
                self.give_up(at, cache);
            }
            missing -= filled as u64;
            if filled < want {
                break;
            }
        }
        cache.publish();
        if self.rings.fill.needs_wakeup() {
            // As above: nothing depends on this call's result.
            let _ = self.rings.fill.wakeup(self.rings.receive.fd_mut(), 0);
        }
    }

    /// Frees the frame of descriptor `at`, which the fill ring had no room for.
    #[cold]
    fn give_up(&mut self, at: usize, cache: &mut FrameCache) {
        if let Some((index, _)) = self.reclaim(self.descriptors[at].addr(), self.receiving) {
            cache.put_index(index);
        }
    }
}
