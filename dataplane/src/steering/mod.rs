//! Keeps the steering programs in step with the state: which addresses and ports come to Headgate, on every port.
//!
//! Of an address that the host has, Headgate takes the ports of its Services and listeners, and the source ports that it
//! sends from; everything else stays with the host, SSH above all. An address that the host does not have is Headgate's
//! whole, and Headgate answers ARP and NDP for it.
//!
//! Rules change in two steps around a publication: [`Steerer::widen`] before it, so that nothing that the new
//! state serves passes by, and [`Steerer::settle`] after it, so that nothing that the old state served is lost.

#[cfg(target_os = "linux")]
mod program;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use headgate_ring::message::Protocol;
use headgate_xsk::{AddressRule, SteeringError};

use crate::config::Managed;
use crate::options::PortRange;

/// What a steering program can be told; `headgate_xsk::Steering` is it, tests have their own.
pub trait Rules: Send {
    /// See `headgate_xsk::Steering::set_address`.
    ///
    /// # Errors
    /// As there, and so for the others.
    fn set_address(&mut self, address: IpAddr, rule: AddressRule) -> Result<(), SteeringError>;
    /// See `headgate_xsk::Steering::remove_address`.
    ///
    /// # Errors
    /// As there.
    fn remove_address(&mut self, address: IpAddr) -> Result<(), SteeringError>;
    /// See `headgate_xsk::Steering::add_port`.
    ///
    /// # Errors
    /// As there.
    fn add_port(&mut self, address: IpAddr, protocol: u8, port: u16) -> Result<(), SteeringError>;
    /// See `headgate_xsk::Steering::remove_port`.
    ///
    /// # Errors
    /// As there.
    fn remove_port(&mut self, address: IpAddr, protocol: u8, port: u16) -> Result<(), SteeringError>;
    /// Counts by outcome; empty where they cannot be read.
    fn counts(&self) -> BTreeMap<String, u64>;
}

/// What is taken of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Want {
    rule: AddressRule,
    ports: BTreeSet<(u8, u16)>,
}

type Wants = BTreeMap<IpAddr, Want>;

/// The rules of all ports, which are the same: a packet may come in by any of them.
pub struct Steerer {
    programs: Vec<Box<dyn Rules>>,
    source_ports: PortRange,
    /// What is sent from besides.
    source_addresses: &'static [IpAddr],
    managed: Vec<Managed>,
    local: BTreeSet<IpAddr>,
    /// What the programs have; after an error, what some of them may have.
    installed: Wants,
    doubtful: bool,
}

impl Steerer {
    /// No rules yet.
    #[must_use]
    pub fn new(programs: Vec<Box<dyn Rules>>, source_ports: PortRange) -> Self {
        Self {
            programs,
            source_ports,
            source_addresses: &[],
            managed: Vec::new(),
            local: BTreeSet::new(),
            installed: Wants::new(),
            doubtful: false,
        }
    }

    /// Takes these addresses, too, to send from: whole, where the host has them not.
    #[must_use]
    pub fn with_addresses(mut self, addresses: &'static [IpAddr]) -> Self {
        self.source_addresses = addresses;
        self
    }

    /// The host's addresses, loopback ones left out, have become these.
    ///
    /// # Errors
    /// When a program refuses; what was not done is tried again with the next change.
    pub fn set_local(&mut self, local: BTreeSet<IpAddr>) -> Result<(), SteeringError> {
        if self.local == local {
            return Ok(());
        }
        self.local = local;
        self.settle()
    }

    /// Adds what `managed` needs, on top of what is there.
    ///
    /// # Errors
    /// When a program refuses, for want of room as a rule; [`Steerer::settle`] takes back what was added.
    pub fn widen(&mut self, managed: &[Managed]) -> Result<(), SteeringError> {
        let mut wants = self.installed.clone();
        for (address, want) in self.wants(managed) {
            let both = wants.entry(address).or_default();
            both.rule = union(both.rule, want.rule);
            both.ports.extend(want.ports);
        }
        self.install(&wants)
    }

    /// The state in force manages these addresses.
    pub fn set_managed(&mut self, managed: Vec<Managed>) {
        self.managed = managed;
    }

    /// Whether a program has refused something, which is tried again with the next change.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Removes everything but what the state in force needs.
    ///
    /// # Errors
    /// As for [`Steerer::set_local`].
    pub fn settle(&mut self) -> Result<(), SteeringError> {
        let wants = self.wants(&self.managed);
        self.install(&wants)
    }

    /// Addresses that are Headgate's whole.
    pub fn owned(&self) -> impl Iterator<Item = IpAddr> {
        self.installed
            .iter()
            .filter(|(_, want)| want.rule.all)
            .map(|(address, _)| *address)
    }

    /// Frontends that nobody reaches: at an address that Headgate sends from, a source port is where pods answer to.
    pub fn hidden(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> {
        self.managed.iter().flat_map(|Managed { address, ports }| {
            let range = self.reserved(*address);
            let reserved =
                move |port: &u16| range.is_some_and(|range| (range.first..=range.last).contains(port));
            let reserved = ports.iter().filter(move |(_, port)| reserved(port));
            reserved.map(|(protocol, port)| (*protocol, SocketAddr::new(*address, *port)))
        })
    }

    /// The ports of an address that pods answer to.
    fn reserved(&self, address: IpAddr) -> Option<PortRange> {
        if self.local.contains(&address) {
            return Some(self.source_ports);
        }
        self.source_addresses.contains(&address).then_some(OF_OWN)
    }

    /// Takes the programs off their interfaces for good: every packet is the kernel's from now on.
    pub fn detach(&mut self) {
        self.programs.clear();
    }

    /// The counts of each port's program.
    #[must_use]
    pub fn counts(&self) -> Vec<BTreeMap<String, u64>> {
        self.programs.iter().map(|program| program.counts()).collect()
    }

    fn wants(&self, managed: &[Managed]) -> Wants {
        let source_ports = Some((self.source_ports.first, self.source_ports.last));
        let replies = AddressRule {
            source_ports,
            ..AddressRule::default()
        };
        let local = self.local.iter().map(|address| {
            (
                *address,
                Want {
                    rule: replies,
                    ports: BTreeSet::new(),
                },
            )
        });
        let mut wants: Wants = local.collect();
        for address in self.source_addresses {
            let whole = Want {
                rule: WHOLE,
                ports: BTreeSet::new(),
            };
            wants.entry(*address).or_insert(whole);
        }
        for Managed { address, ports } in managed {
            let want = wants.entry(*address).or_insert_with(|| Want {
                rule: WHOLE,
                ports: BTreeSet::new(),
            });
            // Where all is taken, ports add nothing, and their table has an end.
            if !want.rule.all {
                want.ports
                    .extend(ports.iter().map(|(protocol, port)| (protocol.number(), *port)));
            }
        }
        wants
    }

    fn install(&mut self, wants: &Wants) -> Result<(), SteeringError> {
        let (from, all) = (&self.installed, self.doubtful);
        let done = self
            .programs
            .iter_mut()
            .try_for_each(|program| change(program.as_mut(), from, wants, all));
        self.doubtful = done.is_err();
        if self.doubtful {
            for (address, want) in wants {
                self.installed
                    .entry(*address)
                    .or_default()
                    .ports
                    .extend(&want.ports);
            }
        } else {
            self.installed.clone_from(wants);
        }
        done
    }
}

/// Ports of an address that is sent from and that only Headgate has.
const OF_OWN: PortRange = PortRange {
    first: 1024,
    last: u16::MAX,
};

/// An address that only Headgate has.
const WHOLE: AddressRule = AddressRule {
    all: true,
    source_ports: None,
    fragments: true,
    neighbours: true,
};

fn union(a: AddressRule, b: AddressRule) -> AddressRule {
    AddressRule {
        all: a.all || b.all,
        source_ports: a.source_ports.or(b.source_ports),
        fragments: a.fragments || b.fragments,
        neighbours: a.neighbours || b.neighbours,
    }
}

/// Additions first: what is in both never misses. With `all`, what is thought to be there is added again.
fn change(program: &mut dyn Rules, from: &Wants, to: &Wants, all: bool) -> Result<(), SteeringError> {
    let none = Want::default();
    for (address, want) in to {
        let had = from.get(address).filter(|_| !all);
        for (protocol, port) in want.ports.difference(&had.unwrap_or(&none).ports) {
            program.add_port(*address, *protocol, *port)?;
        }
        if had.is_none_or(|had| had.rule != want.rule) {
            program.set_address(*address, want.rule)?;
        }
    }
    for (address, had) in from {
        let want = to.get(address);
        for (protocol, port) in had.ports.difference(&want.unwrap_or(&none).ports) {
            program.remove_port(*address, *protocol, *port)?;
        }
        if want.is_none() {
            program.remove_address(*address)?;
        }
    }
    Ok(())
}
