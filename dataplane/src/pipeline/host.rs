//! What a host does for its addresses, for those that Headgate has and the host has not: ARP, NDP and echo. And ICMP
//! errors about flows.

use std::net::IpAddr;

use headgate_xsk::Frame;

use super::{Common, Context, Packet};
use headgate_net::flow::SourcePortOwner;
use headgate_net::verdict::{Answer, Kernel, Reason, Verdict};
use headgate_net::wire::quote::{self, Quote};
use headgate_net::wire::{self, Address, Fragment, Headers, Tuple, arp, echo, ethernet, ndp};

impl Common {
    /// Whether Headgate alone answers for an address.
    pub(super) fn is_owned(&self, ctx: &Context<'_>, address: IpAddr) -> bool {
        let ours = ctx.tables.is_managed(address) || self.source_ports.has_address(address);
        ours && !ctx.fib.is_local(address)
    }

    /// Whether neighbours are told where an address is: of frontends not any more while it drains, of what it sends from to
    /// pods until the end.
    fn tells_of(&self, ctx: &Context<'_>, address: IpAddr) -> bool {
        let stays = !self.phase.is_draining() || self.source_ports.has_address(address);
        stays && self.is_owned(ctx, address)
    }

    /// Answers who asks for an owned address; all other ARP is the kernel's.
    pub(super) fn arp(
        &mut self,
        ctx: &Context<'_>,
        frame: &mut Frame,
        l3: u16,
        mac: Option<[u8; 6]>,
    ) -> Verdict {
        let asked =
            arp::parse_request(frame.data(), l3).filter(|target| self.tells_of(ctx, IpAddr::V4(*target)));
        let (Some(_), Some(mac)) = (asked, mac) else {
            return self.counters.kernel(Kernel::Neighbour);
        };
        let len = arp::reply(frame.data_mut(), l3, mac);
        frame.set_len(len);
        self.counters.answer(Answer::Arp)
    }

    /// Drops fragments for owned addresses: they are not put together, and the kernel does not know the address. All
    /// others are the kernel's, which does put them together.
    #[cold]
    pub(super) fn fragment(&mut self, ctx: &Context<'_>, frame: &Frame, fragment: &Fragment) -> Verdict {
        if self.is_owned(ctx, fragment.destination(frame.data())) {
            self.counters.drop(Reason::Fragment)
        } else {
            self.counters.kernel(Kernel::Fragment)
        }
    }

    /// Decides on a packet whose destination MAC address is not the port's: `None` where that does not matter.
    #[cold]
    pub(super) fn misdirected(
        &mut self,
        ctx: &Context<'_>,
        frame: &mut Frame,
        headers: &Headers,
        mac: Option<[u8; 6]>,
    ) -> Option<Verdict> {
        if !ethernet::is_group(frame.data()) {
            return Some(self.counters.drop(Reason::OtherHost));
        }
        // To a group: a solicitation may be for us; nothing else that we serve is sent to groups.
        Some(
            self.solicitation(ctx, frame, headers, mac)
                .unwrap_or_else(|| self.counters.kernel(Kernel::NotOurs)),
        )
    }

    /// Answers a neighbour solicitation for an owned address; `None` where the packet is not of NDP.
    fn solicitation(
        &mut self,
        ctx: &Context<'_>,
        frame: &mut Frame,
        headers: &Headers,
        mac: Option<[u8; 6]>,
    ) -> Option<Verdict> {
        if !ndp::is_ndp(frame.data(), headers) {
            return None;
        }
        let asked = ndp::parse_solicitation(frame.data(), headers)
            .filter(|target| self.tells_of(ctx, IpAddr::V6(*target)))
            .and(mac);
        let before = frame.len();
        frame.set_len(frame.capacity());
        let answered = asked.and_then(|mac| ndp::advertise(frame.data_mut(), headers, mac));
        frame.set_len(answered.unwrap_or(before));
        Some(match answered {
            Some(_) => self.counters.answer(Answer::NeighbourAdvertisement),
            None => self.counters.kernel(Kernel::Neighbour),
        })
    }
}

impl<A: Address> Packet<'_, A> {
    /// Decides on a packet that is neither TCP nor UDP.
    #[cold]
    pub(super) fn host(&mut self) -> Verdict {
        let mac = self.mac();
        if let Some(verdict) = self.common.solicitation(self.ctx, self.frame, &self.headers, mac) {
            return verdict;
        }
        if let Some(quote) = quote::parse_quote(self.frame.data(), &self.headers) {
            return self.error_about(&quote);
        }
        let tuple = Tuple::<A>::of(self.frame.data(), &self.headers);
        let destination = tuple.destination.ip();
        if self.ctx.fib.is_local(destination) {
            return self.kernel(Kernel::Local);
        }
        if !self.common.is_owned(self.ctx, destination) {
            return self.kernel(Kernel::NotOurs);
        }
        if !echo::is_request(self.frame.data(), &self.headers) {
            return self.drop(Reason::UnsupportedProtocol);
        }
        if self.is_forged(&tuple) {
            return self.drop(Reason::BadSource);
        }
        echo::reply(self.frame.data_mut(), &self.headers);
        self.common.counters.answer(Answer::Echo)
    }

    /// The MAC address that the packet was sent to: the port's own, since others have been sorted out, unless the port
    /// has none that is known.
    fn mac(&self) -> Option<[u8; 6]> {
        let frame = self.frame.data();
        (!ethernet::is_group(frame)).then(|| ethernet::addresses(frame).1)
    }

    /// Takes an ICMP error about a packet that we translated back to the end that sent it. The quoted packet went the
    /// other way, so the flow's entry for the reverse of it is the one whose rewrite leads to that end.
    ///
    /// Policies are asked about the flow, not about the router that sends the error: it belongs to the flow, as
    /// replies do.
    fn error_about(&mut self, quote: &Quote) -> Verdict {
        let quoted = Tuple::<A>::of(self.frame.data(), &quote.headers);
        let told = Tuple::<A>::of(self.frame.data(), &self.headers).destination;
        // An error goes to whoever sent what it quotes; one that does not was never caused by it.
        if told != quoted.source {
            return self.unrelated(told.ip());
        }
        let tuple = quoted.reversed();
        let hash = self.flows.hash(&tuple, quote.headers.protocol);
        let Some(slot) = self.flows.find(hash, &tuple, quote.headers.protocol) else {
            return self.error_about_unknown(&tuple, quote.headers.protocol, hash);
        };
        let allowed = self.flows.entry(slot).is_allowed_by(self.ctx.tables.publication);
        if !allowed && !self.re_examine(slot) {
            return self.unrelated(told.ip());
        }
        if self.hop_limit() <= 1 {
            return self.drop(Reason::HopLimit);
        }
        if !quote::intact(self.frame.data(), &self.headers) {
            return self.drop(Reason::BadChecksum);
        }
        let before = self.flows.entry(slot).rewrite.reversed();
        let way = self.way(slot);
        quote::translate(self.frame.data_mut(), &self.headers, quote, &before);
        self.leave(way)
    }

    /// An ICMP error about a packet that this worker has no flow for: it may be another's, or of the L7 stage. `tuple` is
    /// what an answer to the quoted packet would have.
    fn error_about_unknown(&mut self, tuple: &Tuple<A>, protocol: u8, hash: u64) -> Verdict {
        let reserved = self.reserved(tuple);
        let ours = tuple.destination.ip();
        let listeners = &self.ctx.tables.listeners;
        let listener = || protocol == wire::TCP && listeners.lookup(ours, tuple.destination_port).is_some();
        let (owner, stage) = match reserved {
            Some(part @ SourcePortOwner::L7(stage)) => (self.host_of(part), Some(stage)),
            Some(part) => (self.host_of(part), None),
            None if listener() => (self.host_by_hash(hash), Some(self.stage_by_hash(hash))),
            None => (self.owner_by_hash(hash), None),
        };
        match (owner, stage) {
            (Some(owner), _) => self.hand_over(owner),
            (None, Some(stage)) if protocol == wire::TCP => self.give_to_l7(stage),
            (None, _) => self.unrelated(ours),
        }
    }

    /// An ICMP error about no flow. The kernel may know what it is about if the address is the host's; nobody else has
    /// sent anything from an address that is ours alone, or the TAP device's.
    fn unrelated(&mut self, told: IpAddr) -> Verdict {
        if self.common.is_owned(self.ctx, told) || self.ctx.fib.is_tap(told) {
            self.drop(Reason::NoFlow)
        } else {
            self.kernel(Kernel::IcmpUnmatched)
        }
    }
}
