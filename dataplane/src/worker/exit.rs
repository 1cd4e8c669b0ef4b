//! The ways that frames leave a thread by: to be sent, to wait for their neighbour, to the kernel, or to be free again.

use std::sync::Arc;

use headgate_xsk::{Frame, FrameCache};

use super::parked::{Parked, Released};
use super::stage::Terminator;
use super::{KernelPath, Shared, Wanted};
use crate::pipeline::Context;
use headgate_net::clock::Nanos;
use headgate_net::fib::Lookup;
use headgate_net::ids::PortId;
use headgate_net::record::{PacketCount, WorkerRecord};
use headgate_net::verdict::{Kernel, Reason};
use headgate_net::wire::set_link;

/// Where complete frames are put to be sent.
pub(super) trait Outlet {
    /// Queues a frame.
    ///
    /// # Errors
    /// The frame, when too many wait.
    fn send(&mut self, frame: Frame, port: PortId) -> Result<(), Frame>;
}

/// All of them, with what they need.
pub(super) struct Exit<O> {
    pub(super) outlet: O,
    pub(super) cache: FrameCache,
    /// Where what is dropped here is counted.
    record: Arc<WorkerRecord>,
    kernel: Arc<dyn KernelPath>,
    shared: Arc<Shared>,
    pub(super) parked: Parked,
    /// Packets of our own stack and where they go, between its turn and ours.
    made: Vec<(Frame, Lookup)>,
}

impl<O: Outlet> Exit<O> {
    pub(super) fn new(
        outlet: O,
        cache: FrameCache,
        record: &Arc<WorkerRecord>,
        kernel: Arc<dyn KernelPath>,
        shared: &Arc<Shared>,
        parked: Parked,
    ) -> Self {
        Self {
            outlet,
            cache,
            record: Arc::clone(record),
            kernel,
            shared: Arc::clone(shared),
            parked,
            made: Vec::new(),
        }
    }

    /// Queues a complete frame to be sent.
    pub(super) fn transmit(&mut self, frame: Frame, port: PortId) {
        if let Err(frame) = self.outlet.send(frame, port) {
            self.discard(frame, Reason::TransmitFull);
        }
    }

    /// Counts a drop and frees the frame.
    pub(super) fn discard(&mut self, frame: Frame, reason: Reason) {
        self.record.drops.count(reason);
        self.cache.put(frame);
    }

    /// Keeps a frame until its neighbour is known.
    pub(super) fn park(&mut self, now: Nanos, frame: Frame, to: Wanted) {
        match self.parked.park(frame, to, now) {
            Ok(false) => {}
            Ok(true) => {
                // A full queue of questions is asked again when the next frame for this neighbour comes.
                let _ = self.shared.wanted.try_send(to);
            }
            Err(frame) => self.discard(frame, Reason::ResolveFull),
        }
    }

    /// Sends the frames whose neighbours are known by now. Returns how many wait no more.
    pub(super) fn settle_parked(&mut self, ctx: &Context<'_>) -> usize {
        let mut settled = Vec::new();
        self.parked
            .settle(ctx.fib, ctx.now, |outcome| settled.push(outcome));
        let count = settled.len();
        for outcome in settled {
            match outcome {
                Released::Send(port, frame) => self.transmit(frame, port),
                Released::TimedOut(frame) => self.discard(frame, Reason::Unresolved),
            }
        }
        count
    }

    /// Gives a frame to the host's own stack.
    pub(super) fn give_to_kernel(&mut self, mut frame: Frame) {
        if self.kernel.send(frame.data_mut()) {
            self.cache.put(frame);
        } else {
            self.discard(frame, Reason::KernelFull);
        }
    }

    /// Sends up to `room` packets that a terminator has. Returns how many.
    pub(super) fn send_from(&mut self, terminator: &mut Terminator, ctx: &Context<'_>, room: usize) -> usize {
        let mut made = std::mem::take(&mut self.made);
        let sent = terminator.egress(ctx.now, &mut self.cache, ctx.fib, room, &mut made);
        self.record.packets.add(PacketCount::FromL7, sent as u64);
        for (frame, lookup) in made.drain(..) {
            self.route(ctx, frame, lookup);
        }
        self.made = made;
        sent
    }

    /// Sends a packet of our own stack.
    fn route(&mut self, ctx: &Context<'_>, mut frame: Frame, lookup: Lookup) {
        match lookup {
            Lookup::Hop(id) => {
                let hop = ctx.fib.hop(id);
                set_link(frame.data_mut(), hop.source_mac, hop.destination_mac);
                self.transmit(frame, hop.port);
            }
            Lookup::Unresolved { port, neighbour } => self.park(ctx.now, frame, (port, neighbour)),
            Lookup::Kernel | Lookup::Local => {
                self.record.kernel.count(Kernel::OtherDevice);
                self.give_to_kernel(frame);
            }
            Lookup::Unreachable => self.discard(frame, Reason::NoRoute),
        }
    }
}
