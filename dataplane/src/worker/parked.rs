//! Frames that wait until the kernel knows their neighbour.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use headgate_xsk::Frame;

use headgate_net::clock::Nanos;
use headgate_net::fib::{Fib, Hop};
use headgate_net::ids::PortId;
use headgate_net::wire::set_link;

/// Frames of one worker that wait, for all neighbours together.
const CAPACITY: usize = 512;
/// Of these, for one neighbour: as many as Linux keeps (`unres_qlen_bytes` is some 100 full packets), so that one dead
/// pod cannot take all places.
const PER_NEIGHBOUR: usize = 64;
/// The kernel asks three times a second apart; asking it more often gains nothing.
const ASK_AGAIN: Duration = Duration::from_millis(1000);

type Neighbour = (PortId, IpAddr);

/// The waiting frames of one worker.
pub(super) struct Parked {
    waiting: HashMap<Neighbour, Queue>,
    count: usize,
    patience: Duration,
    publication: u64,
}

struct Queue {
    frames: Vec<Frame>,
    asked: Nanos,
    deadline: Nanos,
}

/// What came of the frames that waited.
pub(super) enum Released {
    /// Complete: send it by this port.
    Send(PortId, Frame),
    /// The neighbour did not answer in time.
    TimedOut(Frame),
}

impl Parked {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            waiting: HashMap::new(),
            count: 0,
            patience,
            publication: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Keeps a frame; true when the kernel must be asked for the neighbour now.
    ///
    /// # Errors
    /// The frame, when too many wait.
    pub(super) fn park(&mut self, frame: Frame, to: Neighbour, now: Nanos) -> Result<bool, Frame> {
        if self.count >= CAPACITY {
            return Err(frame);
        }
        let deadline = now.after(self.patience);
        let mut first = false;
        let queue = self.waiting.entry(to).or_insert_with(|| {
            first = true;
            Queue {
                frames: Vec::new(),
                asked: now,
                deadline,
            }
        });
        if queue.frames.len() >= PER_NEIGHBOUR {
            return Err(frame);
        }
        queue.frames.push(frame);
        self.count += 1;
        let ask = first || now.since(queue.asked) >= ASK_AGAIN;
        if ask {
            queue.asked = now;
        }
        Ok(ask)
    }

    /// When frames will have waited too long; `None` when none waits.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.waiting.values().map(|queue| queue.deadline).min()
    }

    /// Takes the frames whose neighbour is known now and those that have waited too long.
    pub(super) fn settle(&mut self, fib: &Fib, now: Nanos, mut take: impl FnMut(Released)) {
        if self.waiting.is_empty() {
            self.publication = fib.publication;
            return;
        }
        let news = std::mem::replace(&mut self.publication, fib.publication) != fib.publication;
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        if !news && !due {
            return;
        }
        let count = &mut self.count;
        self.waiting.retain(|(port, neighbour), queue| {
            let hop = fib.neighbour(*port, *neighbour).map(|hop| *fib.hop(hop));
            if hop.is_none() && queue.deadline > now {
                return true;
            }
            *count -= queue.frames.len();
            queue
                .frames
                .drain(..)
                .map(|frame| outcome(frame, hop))
                .for_each(&mut take);
            false
        });
    }
}

fn outcome(mut frame: Frame, hop: Option<Hop>) -> Released {
    match hop {
        Some(hop) => {
            set_link(frame.data_mut(), hop.source_mac, hop.destination_mac);
            Released::Send(hop.port, frame)
        }
        None => Released::TimedOut(frame),
    }
}
