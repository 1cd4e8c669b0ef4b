//! Answers that cost the other side something, and so are counted out.

use std::time::Duration;

use super::Packet;
use headgate_net::clock::Nanos;
use headgate_net::packet::error::{self, Error};
use headgate_net::packet::{Address, reset, tcp_flag};
use headgate_net::verdict::{Answer, Reason, Verdict};

impl<A: Address> Packet<'_, A> {
    /// Turns the packet into an ICMP error about it; `reason` counts where nothing can be sent.
    #[cold]
    pub(super) fn answer(&mut self, answer: Answer, error: Error, reason: Reason) -> Verdict {
        if !self.desk.limiter.allow(self.ctx.now) {
            return self.drop(Reason::RateLimited);
        }
        let headers = self.headers;
        self.become_answer(answer, reason, |buffer| error::answer(buffer, &headers, error))
    }

    /// Turns a TCP segment into the reset that answers it; `reason` counts where nothing can be sent.
    #[cold]
    pub(super) fn reset(&mut self, reason: Reason) -> Verdict {
        if self.headers.tcp_flags & tcp_flag::RST != 0 {
            return self.drop(reason);
        }
        if !self.desk.limiter.allow(self.ctx.now) {
            return self.drop(Reason::RateLimited);
        }
        let headers = self.headers;
        self.become_answer(Answer::Reset, reason, |buffer| reset::answer(buffer, &headers))
    }

    fn become_answer(
        &mut self,
        answer: Answer,
        reason: Reason,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Verdict {
        let before = self.frame.len();
        self.frame.set_len(self.frame.capacity());
        match write(self.frame.data_mut()) {
            Some(len) => {
                self.frame.set_len(len);
                self.desk.counters.answer(answer)
            }
            None => {
                self.frame.set_len(before);
                self.drop(reason)
            }
        }
    }
}

/// A token bucket for ICMP errors and resets, which RFC 1812 (4.3.2.8) and RFC 4443 (2.4 f) want limited: a flood of
/// packets must not make us one of answers, whose receivers may have sent nothing.
#[derive(Debug)]
pub(super) struct Limiter {
    tokens: u32,
    /// When the last token came in.
    filled: Nanos,
}

impl Limiter {
    /// Tokens that come in each second, and that can be saved up.
    const RATE: u32 = 10_000;
    const INTERVAL: u64 = Duration::from_secs(1).as_nanos() as u64 / Self::RATE as u64;
    const BURST: u32 = 1_000;

    fn allow(&mut self, now: Nanos) -> bool {
        let due = now.0.saturating_sub(self.filled.0) / Self::INTERVAL;
        self.filled.0 += due * Self::INTERVAL;
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(due).min(Self::BURST);
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self {
            tokens: Self::BURST,
            filled: Nanos(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut limiter = Limiter::default();
        let now = Nanos(5_000_000_000);
        let allowed = (0..5_000).filter(|_| limiter.allow(now)).count();
        assert_eq!(allowed, Limiter::BURST as usize);
        let mut allowed = 0;
        for millisecond in 1..=100 {
            let now = now.after(Duration::from_millis(millisecond));
            allowed += (0..100).filter(|_| limiter.allow(now)).count();
        }
        assert_eq!(allowed, 1_000);
    }
}
