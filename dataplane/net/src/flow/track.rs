//! Following a flow's state, for its timeouts.

use super::Flows;
use super::entry::{Direction, FIN, FlowState, RST};
use crate::wire::{Address, tcp_flag};

/// What a packet means for its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// It belongs to it.
    Continue,
    /// It opens a new connection with the tuple of one that is over: the flow is to be removed, and another made.
    Reopen,
}

impl<A: Address> Flows<A> {
    /// Takes note of a packet of the flow in `slot`; `tcp_flags` are 0 for UDP. Touches the other direction's entry only
    /// where the state changes.
    #[inline]
    pub fn track(&mut self, slot: usize, tcp_flags: u8) -> Tracked {
        let state = self.entry(slot).state;
        let control = tcp_flags & (tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST);
        if control == 0 && matches!(state, FlowState::TcpEstablished | FlowState::UdpReplied) {
            return Tracked::Continue;
        }
        self.track_change(slot, state, tcp_flags)
    }

    #[cold]
    fn track_change(&mut self, slot: usize, state: FlowState, tcp_flags: u8) -> Tracked {
        let direction = self.entry(slot).direction();
        let has = |flag| tcp_flags & flag != 0;
        let over = matches!(state, FlowState::TcpClosed | FlowState::TcpReset);
        if over && has(tcp_flag::SYN) && !has(tcp_flag::ACK) && direction == Direction::FromClient {
            return Tracked::Reopen;
        }
        if has(tcp_flag::FIN) {
            self.entry_mut(slot).flags |= FIN;
        }
        let next = match (state, direction) {
            (FlowState::UdpUnreplied, Direction::FromPod) => FlowState::UdpReplied,
            (FlowState::UdpUnreplied | FlowState::UdpReplied, _) => state,
            _ if has(tcp_flag::RST) => {
                self.entry_mut(slot).flags |= RST;
                FlowState::TcpReset
            }
            // Who has reset a connection does not go on with it: that reset was somebody else's, and the end that
            // it was meant for has ignored it too (RFC 5961, section 3).
            (FlowState::TcpReset, _) if !has(tcp_flag::SYN) && self.entry(slot).flags & RST != 0 => {
                self.entry_mut(slot).flags &= !RST;
                self.closing(slot)
            }
            (FlowState::TcpReset, _) => state,
            (FlowState::TcpOpening, Direction::FromPod) if has(tcp_flag::SYN) => FlowState::TcpAnswered,
            (FlowState::TcpAnswered, Direction::FromClient) if has(tcp_flag::ACK) => self.closing(slot),
            (FlowState::TcpEstablished | FlowState::TcpHalfClosed, _) if has(tcp_flag::FIN) => {
                self.closing(slot)
            }
            _ => state,
        };
        if next != state {
            self.set_state(slot, next);
        }
        Tracked::Continue
    }

    /// The state of an open connection by the FINs of both directions.
    fn closing(&self, slot: usize) -> FlowState {
        let closed = |flags: u8| flags & FIN != 0;
        let here = closed(self.entry(slot).flags);
        let there = self
            .partner(slot)
            .is_some_and(|partner| closed(self.entry(partner).flags));
        match (here, there) {
            (true, true) => FlowState::TcpClosed,
            (false, false) => FlowState::TcpEstablished,
            _ => FlowState::TcpHalfClosed,
        }
    }
}
