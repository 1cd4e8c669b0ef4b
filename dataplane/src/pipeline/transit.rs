//! Packets of flows that are in the table.

use std::net::{IpAddr, SocketAddr};

use super::Packet;
use crate::options::EstablishedFlows;
use headgate_net::fib::{HopId, Lookup};
use headgate_net::flow::{Direction, FlowState, NextHop, Tick, Tracked};
use headgate_net::ids::PortId;
use headgate_net::lb::BalancedService;
use headgate_net::record::Event;
use headgate_net::record::{PacketCount, ServiceCount};
use headgate_net::verdict::{Answer, Kernel, Reason, Verdict};
use headgate_net::wire::error::Error;
use headgate_net::wire::{self, Address, ethernet, ipv4};

/// How a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Hop(HopId),
    Resolve { port: PortId, neighbour: IpAddr },
    Kernel,
    Unreachable,
}

impl<'a, A: Address> Packet<'a, A> {
    /// Sends the packet of the flow in `slot` on its way; `None` where the flow is over, and the packet is to be seen as one
    /// of no flow.
    #[inline]
    pub(super) fn transit(&mut self, slot: usize) -> Option<Verdict> {
        if !self.flows.entry(slot).is_allowed_by(self.ctx.tables.publication) && !self.re_examine(slot) {
            return None;
        }
        match self.flows.track(slot, self.headers.tcp_flags) {
            Tracked::Continue => Some(self.forward(slot)),
            Tracked::Reopen => {
                self.flows.remove(slot);
                None
            }
        }
    }

    /// Whether the flow stands under a state that it has not been seen under. What does not is cut: the Service is gone,
    /// policy forbids it now, or the backend is gone and the client has not yet got an answer from it that
    /// it would miss. Established TCP connections to a backend that is not ready any more live on: it may be draining.
    #[cold]
    pub(super) fn re_examine(&mut self, slot: usize) -> bool {
        let service = self.service(slot);
        if let Some(service) = service
            && self.is_allowed(slot)
        {
            // From here on packets are counted by the index alone: the counts there are this Service's now.
            let _ = self.common.counters.service(service.number());
            let publication = self.ctx.tables.publication;
            let number = service.number().short_index();
            self.flows.entry_mut(slot).set_allowed_by(publication, number);
            return true;
        }
        if service.is_some() {
            self.record_cut(slot);
        }
        self.flows.remove(slot);
        self.common.counters.count(PacketCount::FlowsCut);
        false
    }

    fn record_cut(&mut self, slot: usize) {
        let (ctx, entry) = (self.ctx, self.flows.entry(slot));
        let (client, pod) = (entry.client(), entry.pod());
        let pod = SocketAddr::new(pod.destination.ip(), pod.destination_port);
        let protocol = entry.protocol;
        self.common
            .recorder
            .denied(|| ctx.record(Event::FlowCut, &client, pod, protocol));
    }

    /// The flow's Service, where it is there and the backend, too, if that still matters.
    fn service(&self, slot: usize) -> Option<&'a BalancedService> {
        let entry = self.flows.entry(slot);
        let (client, pod) = (entry.client(), entry.pod());
        let movable = entry.direction() == Direction::FromClient
            && matches!(
                entry.state,
                FlowState::TcpOpening | FlowState::UdpUnreplied | FlowState::UdpReplied
            );
        let services = &self.ctx.tables.services;
        services
            .lookup(client.destination.ip(), entry.protocol, client.destination_port)
            .filter(|service| {
                let backend = SocketAddr::new(pod.destination.ip(), pod.destination_port);
                !movable || service.backends().binary_search(&backend).is_ok()
            })
    }

    /// Whether the flow may go on as far as policies are concerned.
    fn is_allowed(&self, slot: usize) -> bool {
        let entry = self.flows.entry(slot);
        // A flow that nobody has answered is not established: its next packet may as well be its first.
        if self.common.established == EstablishedFlows::Keep && !entry.state.is_unanswered() {
            return true;
        }
        let (client, pod) = (entry.client().source.ip(), entry.pod());
        self.ctx
            .tables
            .policy
            .decide(client, pod.destination.ip(), entry.protocol, pod.destination_port)
            .is_allowed()
    }

    /// Rewrites the packet as the entry in `slot` says and sends it on.
    #[inline]
    fn forward(&mut self, slot: usize) -> Verdict {
        if self.hop_limit() <= 1 {
            return self.answer(Answer::TimeExceeded, Error::TimeExceeded, Reason::HopLimit);
        }
        let way = self.way(slot);
        let size = self.headers.end - self.headers.l3;
        let mut whole = true;
        if let Way::Hop(hop) = way {
            let mtu = self.ctx.fib.hop(hop).mtu;
            whole = u32::from(size) <= mtu;
            if !whole && !self.may_be_fragmented() {
                let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
                return self.answer(Answer::TooBig, Error::TooBig(mtu), Reason::RateLimited);
            }
        }
        if way == Way::Unreachable {
            return self.drop(Reason::NoRoute);
        }
        let entry = self.flows.entry_mut(slot);
        entry.count(size, Tick::of(self.ctx.now));
        let service = self.common.counters.service_at(entry.service());
        let (packets, bytes) = match entry.direction() {
            Direction::FromClient => (ServiceCount::PacketsIn, ServiceCount::BytesIn),
            Direction::FromPod => (ServiceCount::PacketsOut, ServiceCount::BytesOut),
        };
        service.count(packets);
        service.add(bytes, size.into());
        wire::rewrite(self.frame.data_mut(), &self.headers, &entry.rewrite, entry.deltas);
        if whole {
            self.leave(way)
        } else {
            self.leave_cut_up()
        }
    }

    /// The way of the entry in `slot`, from the entry itself or, once a publication, from the forwarding table.
    #[inline]
    pub(super) fn way(&mut self, slot: usize) -> Way {
        match self.flows.entry(slot).next_hop(self.ctx.fib.publication) {
            NextHop::Hop(hop) => Way::Hop(hop),
            NextHop::Kernel => Way::Kernel,
            NextHop::Unknown => self.look_up(slot),
        }
    }

    #[cold]
    fn look_up(&mut self, slot: usize) -> Way {
        let fib = self.ctx.fib;
        let entry = self.flows.entry_mut(slot);
        match fib.lookup(entry.rewrite.destination.ip()) {
            Lookup::Hop(hop) => {
                entry.set_next_hop(NextHop::Hop(hop), fib.publication);
                Way::Hop(hop)
            }
            Lookup::Kernel | Lookup::Local => {
                entry.set_next_hop(NextHop::Kernel, fib.publication);
                Way::Kernel
            }
            Lookup::Unresolved { port, neighbour } => Way::Resolve { port, neighbour },
            Lookup::Unreachable => Way::Unreachable,
        }
    }

    /// Sends a rewritten packet: no padding, no tags, and the link-layer addresses of the hop.
    #[inline]
    pub(super) fn leave(&mut self, way: Way) -> Verdict {
        self.trim();
        let counters = &mut self.common.counters;
        match way {
            Way::Hop(hop) => {
                let hop = self.ctx.fib.hop(hop);
                ethernet::set_link(self.frame.data_mut(), hop.source_mac, hop.destination_mac);
                counters.count(PacketCount::Forwarded);
                Verdict::Forward(hop.port)
            }
            Way::Resolve { port, neighbour } => {
                counters.count(PacketCount::Resolving);
                Verdict::Resolve { port, neighbour }
            }
            Way::Kernel => counters.kernel(Kernel::OtherDevice),
            Way::Unreachable => counters.drop(Reason::NoRoute),
        }
    }

    /// The kernel cuts packets into fragments better than we would.
    fn leave_cut_up(&mut self) -> Verdict {
        self.trim();
        self.kernel(Kernel::NeedsFragmenting)
    }

    #[inline]
    fn trim(&mut self) {
        let end = usize::from(self.headers.end);
        let shorter = ethernet::untag(&mut self.frame.data_mut()[..end], self.headers.l3.into());
        self.frame.set_len(end - shorter);
    }

    /// TTL or hop limit.
    #[inline]
    pub(super) fn hop_limit(&self) -> u8 {
        self.frame.data()[usize::from(self.headers.l3) + A::HOP_LIMIT]
    }

    /// Whether routers may fragment the packet: IPv4 without "don't fragment".
    fn may_be_fragmented(&self) -> bool {
        let header = ipv4::Ipv4Header::of(self.headers.packet(self.frame.data()));
        !A::V6 && header.is_ok_and(ipv4::Ipv4Header::may_be_fragmented)
    }
}
