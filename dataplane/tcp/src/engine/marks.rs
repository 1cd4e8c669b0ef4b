//! What a mark, or any other reduction, does to what is sent (RFC 3168, section 6.1.2).

use headgate_net::clock::Nanos;

use super::sender::Sender;

impl Sender {
    /// The window was reduced, for whatever reason.
    pub(super) fn note_reduction(&mut self) {
        if self.yielding.on {
            self.yielding.tells = true;
            self.yielding.until = Some(self.next);
        }
    }

    /// The peer tells of a mark: as a loss, but that nothing is sent again (RFC 9438, section 4.6). The factor is that of a
    /// loss too. RFC 8511 would have 0.85, as an experiment, which takes from those that share a queue and do not (section 5);
    /// kernels do not.
    pub(super) fn yield_to_mark(&mut self, now: Nanos) {
        if self.yielding.until.is_some() {
            return;
        }
        if self.cubic.window() <= self.mss {
            let pause = now.after(self.rtt.timeout(self.yielding.pauses));
            self.yielding.pause = Some(pause);
            self.yielding.pauses = self.yielding.pauses.saturating_add(1);
            self.since = now;
        }
        self.cubic.yield_to_mark();
        self.note_reduction();
        self.yielding.fresh = true;
    }

    /// Whether a mark had the window reduced since this was asked last.
    pub(crate) fn has_yielded(&mut self) -> bool {
        std::mem::take(&mut self.yielding.fresh)
    }
}

#[cfg(test)]
mod tests;
