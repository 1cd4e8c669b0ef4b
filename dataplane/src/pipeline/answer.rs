//! Answers that cost the other side something, and so are counted out.

use super::Packet;
use headgate_net::bucket::TokenBucket;
use headgate_net::verdict::{Answer, Reason, Verdict};
use headgate_net::wire::error::{self, Error};
use headgate_net::wire::{Address, reset, tcp_flag};

impl<A: Address> Packet<'_, A> {
    /// Turns the packet into an ICMP error about it; `reason` counts where nothing can be sent.
    #[cold]
    pub(super) fn answer(&mut self, answer: Answer, error: Error, reason: Reason) -> Verdict {
        if !self.common.limiter.take(self.ctx.now) {
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
        if !self.common.limiter.take(self.ctx.now) {
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
                self.common.counters.answer(answer)
            }
            None => {
                self.frame.set_len(before);
                self.drop(reason)
            }
        }
    }
}

/// What limits ICMP errors and resets, as RFC 1812 (4.3.2.8) and RFC 4443 (2.4 f) want: a flood of packets must not make
/// us one of answers, whose receivers may have sent nothing.
pub(super) const fn limiter() -> TokenBucket {
    /// Answers a second.
    const RATE: u32 = 10_000;
    /// Answers at once.
    const BURST: u32 = 1_000;
    TokenBucket::new(RATE, BURST)
}
