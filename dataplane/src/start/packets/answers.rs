//! What pods answer that only the kernel reaches: from the TAP device to the workers.

use std::net::IpAddr;
use std::sync::Arc;

use headgate_xsk::{Frame, FrameCache, Umem};

use crate::worker::Shared;
use headgate_net::fib::TapAddresses;
use headgate_net::flow::{SourcePortOwner, SourcePorts};
use headgate_net::ids::{PortId, WorkerId};
use headgate_net::wire::{self, Address, Headers, Parsed, Tuple, quote};

/// Gives packets to the workers whose flows they are of.
pub(super) struct Answers {
    shared: Arc<Shared>,
    cache: FrameCache,
    addresses: TapAddresses,
    source_ports: SourcePorts,
    /// Workers that were given some since they were woken, a bit each.
    rung: u64,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Given,
    /// It is no answer to Headgate.
    Ignored,
    /// The worker does not keep up.
    Lost,
}

impl Answers {
    pub(super) fn new(
        shared: &Arc<Shared>,
        umem: &'static Umem,
        addresses: TapAddresses,
        source_ports: SourcePorts,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            cache: umem.cache(),
            addresses,
            source_ports,
            rung: 0,
        }
    }

    /// A frame to read into.
    pub(super) fn frame(&mut self) -> Option<Frame> {
        self.cache.take()
    }

    pub(super) fn put_back(&mut self, frame: Frame) {
        self.cache.put(frame);
    }

    pub(super) fn give(&mut self, frame: Frame) -> Fate {
        let Some(worker) = owner(frame.data(), self.addresses, &self.source_ports) else {
            self.cache.put(frame);
            return Fate::Ignored;
        };
        let index = usize::from(worker.0);
        match self.shared.peers[index].hand_over(frame, PortId::KERNEL) {
            Ok(()) => {
                self.rung |= 1 << index;
                Fate::Given
            }
            Err(frame) => {
                self.cache.put(frame);
                Fate::Lost
            }
        }
    }

    /// Has them look.
    pub(super) fn wake(&mut self) {
        let rung = std::mem::take(&mut self.rung);
        for (_, peer) in (0..)
            .zip(&self.shared.peers)
            .filter(|(index, _)| rung & (1 << index) != 0)
        {
            peer.wake();
        }
    }
}

/// Whose flow a packet is of that came by the TAP device: one to an address and a source port of Headgate's there, or an ICMP
/// error about one from them. `None` for all else, which nobody has asked for: put on the pipeline's ways to the kernel it
/// would come back here.
fn owner(frame: &[u8], addresses: TapAddresses, ports: &SourcePorts) -> Option<WorkerId> {
    let Ok(Parsed::Ip(headers)) = wire::parse(frame) else {
        return None;
    };
    let (address, port) = if headers.v6 {
        end::<[u8; 16]>(frame, &headers)
    } else {
        end::<[u8; 4]>(frame, &headers)
    }?;
    match ports.owner(port)? {
        SourcePortOwner::L4(worker) if addresses.contains(address) => Some(worker),
        _ => None,
    }
}

/// The end of a flow that the packet is for.
fn end<A: Address>(frame: &[u8], headers: &Headers) -> Option<(IpAddr, u16)> {
    let tuple = Tuple::<A>::of(frame, headers);
    if matches!(headers.protocol, wire::TCP | wire::UDP) {
        return Some((tuple.destination.ip(), tuple.destination_port));
    }
    let quote = quote::parse_quote(frame, headers)?;
    let quoted = Tuple::<A>::of(frame, &quote.headers);
    (quoted.source == tuple.destination).then(|| (quoted.source.ip(), quoted.source_port))
}

#[cfg(test)]
mod tests;
