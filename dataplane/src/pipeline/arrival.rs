//! Packets of no flow: whose they are, and whether they begin one.

use std::net::{IpAddr, SocketAddr};

use super::{Origin, Packet};
use headgate_net::fib::Lookup;
use headgate_net::flow::{self, NewFlow, NoRoom, Ownership, SourcePortOwner, Termination};
use headgate_net::ids::{StageId, WorkerId};
use headgate_net::lb::BalancedService;
use headgate_net::policy::{Decision, Denial};
use headgate_net::record::Event;
use headgate_net::record::{PacketCount, ServiceCount};
use headgate_net::verdict::{Answer, Kernel, Reason, Verdict};
use headgate_net::wire::error::Error;
use headgate_net::wire::{self, Address, Tuple, ipv6, tcp_flag};

impl<A: Address> Packet<'_, A> {
    /// Decides on a TCP or UDP packet that is of no flow in this worker's table.
    pub(super) fn arrive(&mut self, tuple: &Tuple<A>, hash: u64) -> Verdict {
        let tables = self.ctx.tables;
        let destination = tuple.destination.ip();
        let port = tuple.destination_port;
        if let Some(part) = self.reserved(tuple) {
            return self.reply_to_us(part, destination);
        }
        let listener =
            self.headers.protocol == wire::TCP && tables.listeners.lookup(destination, port).is_some();
        let service = tables.services.lookup(destination, self.headers.protocol, port);
        let owner = if listener {
            self.host_by_hash(hash)
        } else {
            service.and_then(|_| self.owner_by_hash(hash))
        };
        if let Some(owner) = owner {
            return self.hand_over(owner);
        }
        // Asked last: most often one of the others says so already.
        let ours = listener
            || service.is_some()
            || tables.is_managed(destination)
            || self.common.source_ports.has_address(destination);
        if ours && self.is_forged(tuple) {
            return self.drop(Reason::BadSource);
        }
        if listener {
            let opens = self.headers.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN;
            if opens && self.common.phase.is_closed() {
                return self.drop(Reason::Draining);
            }
            self.give_to_l7(self.stage_by_hash(hash))
        } else if let Some(service) = service {
            self.admit(tuple, service)
        } else if self.ctx.fib.is_local(destination) {
            self.kernel(Kernel::Local)
        } else if ours {
            // An address that only Headgate answers for, at a port that nobody serves.
            self.refuse(Reason::NoService)
        } else {
            self.kernel(Kernel::NotOurs)
        }
    }

    /// Whose packet it is that goes to a reserved source port of an address of the host's, of the TAP device's, or of our own.
    pub(super) fn reserved(&self, tuple: &Tuple<A>) -> Option<SourcePortOwner> {
        let (ports, port) = (&self.common.source_ports, tuple.destination_port);
        let (fib, destination) = (self.ctx.fib, tuple.destination.ip());
        if let Some(owner) = ports.owner(port)
            && (fib.is_local(destination) || fib.is_tap(destination))
        {
            return Some(owner);
        }
        let stage = ports.owner_at(destination, port)?;
        (!fib.is_local(destination)).then_some(SourcePortOwner::L7(stage))
    }

    /// The other worker that the hash of a client's packet names, if it is another one and hashes decide.
    pub(super) fn owner_by_hash(&self, hash: u64) -> Option<WorkerId> {
        match self.common.ownership {
            Ownership::Queue => None,
            Ownership::Hash => self.other(flow::worker(hash, self.common.workers)),
        }
    }

    /// The worker, if it is another one, and the packet may still go to it.
    pub(super) fn other(&self, worker: WorkerId) -> Option<WorkerId> {
        (self.origin == Origin::Received && worker != self.common.worker).then_some(worker)
    }

    pub(super) fn hand_over(&mut self, owner: WorkerId) -> Verdict {
        self.common.counters.count(PacketCount::HandedOver);
        Verdict::HandOver(owner)
    }

    /// Whether the packet's source is nobody who could be answered. Headgate's own addresses are nobody: it opens no
    /// connections from them, and two UDP Services, each the other's forged client, would answer one another for ever.
    pub(super) fn is_forged(&self, tuple: &Tuple<A>) -> bool {
        let source = tuple.source.ip();
        // Within a connection it is too late to ask for what takes a search.
        let opens = self.headers.tcp_flags & tcp_flag::ACK == 0;
        !may_be_source(source)
            || tuple.source == tuple.destination
            || (opens && (self.common.is_owned(self.ctx, source) || self.ctx.fib.is_tap(source)))
    }

    /// The other worker that has the L7 stage of a client's connection, by its hash, if the packet must go there first.
    pub(super) fn host_by_hash(&self, hash: u64) -> Option<WorkerId> {
        match self.common.termination {
            Termination::Inline => self.owner_by_hash(hash),
            Termination::Apart(_) => None,
        }
    }

    /// The L7 stage of a client's connection, by its hash.
    pub(super) fn stage_by_hash(&self, hash: u64) -> StageId {
        match self.common.termination {
            Termination::Inline => StageId(self.common.worker.0),
            Termination::Apart(stages) => flow::stage(hash, stages),
        }
    }

    /// The other worker that the packet must go to first if it is of this part.
    pub(super) fn host_of(&self, part: SourcePortOwner) -> Option<WorkerId> {
        match (part, self.common.termination) {
            (SourcePortOwner::L4(worker), _) => self.other(worker),
            (SourcePortOwner::L7(stage), Termination::Inline) => self.other(WorkerId(stage.0)),
            (SourcePortOwner::L7(_), Termination::Apart(_)) => None,
        }
    }

    fn reply_to_us(&mut self, part: SourcePortOwner, destination: IpAddr) -> Verdict {
        if let Some(owner) = self.host_of(part) {
            return self.hand_over(owner);
        }
        match part {
            // The kernel would send it here again.
            _ if self.ctx.fib.is_tap(destination) => self.refuse(Reason::NoFlow),
            SourcePortOwner::L7(stage) if self.headers.protocol == wire::TCP => self.give_to_l7(stage),
            // The kernel does not know the address.
            _ if !self.ctx.fib.is_local(destination) => self.refuse(Reason::NoFlow),
            _ => self.kernel(Kernel::NoFlow),
        }
    }

    /// For our own TCP, which is where extension headers end.
    pub(super) fn give_to_l7(&mut self, stage: StageId) -> Verdict {
        self.frame.set_len(self.headers.end.into());
        let headers = if A::V6 {
            ipv6::without_extensions(self.frame.data_mut(), &self.headers)
        } else {
            self.headers
        };
        self.common.counters.count(PacketCount::ToL7);
        Verdict::ToL7 { stage, headers }
    }

    /// Makes a flow for the packet and sends it on, if Service, policy and routes agree.
    fn admit(&mut self, tuple: &Tuple<A>, service: &BalancedService) -> Verdict {
        let client = tuple.source.ip();
        let Some(backend) = service.pick(client, tuple.source_port) else {
            self.common
                .counters
                .service(service.number())
                .count(ServiceCount::WithoutBackend);
            return self.refuse(Reason::NoBackend);
        };
        let decision =
            self.ctx
                .tables
                .policy
                .decide(client, backend.ip(), self.headers.protocol, backend.port());
        if let Decision::Deny(denial) = decision {
            return self.forbid(tuple, service, backend, denial);
        }
        // In the middle of a connection that nobody here knows, perhaps since Headgate was started anew: the pod knew
        // it by a source port that is forgotten. A reset lets the client begin again at once.
        let opens = self.headers.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK | tcp_flag::RST) == tcp_flag::SYN;
        if self.headers.protocol == wire::TCP && !opens {
            return self.refuse(Reason::NoFlow);
        }
        if self.common.phase.is_closed() {
            return self.drop(Reason::Draining);
        }
        let new = match self.new_flow(tuple, service, backend) {
            Ok(new) => new,
            Err(reason) => return self.drop(reason),
        };
        match self.flows.create(&new, self.ctx.now) {
            Ok(slot) => {
                self.common.counters.count(PacketCount::FlowsCreated);
                self.common
                    .counters
                    .service(service.number())
                    .count(ServiceCount::Flows);
                let ctx = self.ctx;
                self.common
                    .recorder
                    .allowed(|| ctx.record(Event::FlowAllowed, tuple, backend, new.protocol));
                // It is allowed and not over, so that there always is a verdict.
                self.transit(slot).unwrap_or_else(|| self.drop(Reason::NoFlow))
            }
            Err(NoRoom::Flows) => self.drop(Reason::FlowTableFull),
            Err(NoRoom::SourcePorts) => self.drop(Reason::SourcePortsExhausted),
        }
    }

    /// Counts and records a first packet that a policy forbids.
    fn forbid(
        &mut self,
        tuple: &Tuple<A>,
        service: &BalancedService,
        backend: SocketAddr,
        denial: Denial,
    ) -> Verdict {
        let (ctx, protocol) = (self.ctx, self.headers.protocol);
        let named = || {
            let policy = ctx.tables.policy.policy(denial.policy)?;
            Some((policy.name.as_str(), policy.direction))
        };
        let index = denial.policy.0 as usize;
        let counters = &mut self.common.counters;
        counters.denials_mut().count(ctx.tables.publication, index, named);
        counters.service(service.number()).count(ServiceCount::Denied);
        self.common
            .recorder
            .denied(|| ctx.record(Event::FlowDenied, tuple, backend, protocol));
        self.drop(Reason::Denied)
    }

    fn new_flow(
        &self,
        tuple: &Tuple<A>,
        service: &BalancedService,
        backend: SocketAddr,
    ) -> Result<NewFlow<A>, Reason> {
        let fib = self.ctx.fib;
        match fib.lookup(backend.ip()) {
            Lookup::Unreachable => return Err(Reason::NoRoute),
            Lookup::Local if fib.source_address(backend.ip()).is_none() => return Err(Reason::LocalBackend),
            Lookup::Hop(_) | Lookup::Unresolved { .. } | Lookup::Kernel | Lookup::Local => {}
        }
        let source = fib
            .source_address(backend.ip())
            .and_then(A::from_ip)
            .ok_or(Reason::NoSourceAddress)?;
        Ok(NewFlow {
            client: *tuple,
            protocol: self.headers.protocol,
            // The state's check lets no backend of the other family through; if one came, there would be no backend.
            backend: A::from_ip(backend.ip()).ok_or(Reason::NoBackend)?,
            backend_port: backend.port(),
            source,
            tables_publication: self.ctx.tables.publication,
            service: service.number().short_index(),
        })
    }

    /// Tells the sender that there is nobody, as the kernel would at a closed port: a reset for TCP, port unreachable for
    /// UDP. `reason` counts where that is not possible.
    fn refuse(&mut self, reason: Reason) -> Verdict {
        if self.headers.protocol == wire::TCP {
            self.reset(reason)
        } else {
            self.answer(Answer::PortUnreachable, Error::PortUnreachable, reason)
        }
    }
}

/// Whether a host may have this address as a source (RFC 1812, 5.3.7).
fn may_be_source(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !(a.is_multicast() || a.is_broadcast() || a.is_loopback() || a.is_unspecified()),
        // An address that holds an IPv4 one is for sockets, not for links (RFC 4942, section 2.2).
        IpAddr::V6(a) => {
            !(a.is_multicast() || a.is_loopback() || a.is_unspecified() || a.to_ipv4_mapped().is_some())
        }
    }
}
