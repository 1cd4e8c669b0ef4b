//! Rules as user space sees them, and as the program's maps have them.

use std::net::IpAddr;

use headgate_abi::{Address, PortKey, Rule};

use super::SteeringError;

/// What to take of the packets for an address. What is not taken goes to the kernel, unless its protocol and
/// port were added by [`super::Steering::add_port`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressRule {
    /// Every IP packet for it, and what `neighbours` says. For addresses that the host does not have.
    pub all: bool,
    /// TCP and UDP packets whose destination port is from the first to the last of these: the ports that Headgate
    /// sends from on the host's own address.
    pub source_ports: Option<(u16, u16)>,
    /// Fragments, first ones and later ones, which have no ports to go by.
    pub fragments: bool,
    /// ARP requests and NDP neighbour solicitations that ask for it.
    pub neighbours: bool,
}

impl AddressRule {
    pub(super) fn check(&self) -> Result<(), SteeringError> {
        match self.source_ports {
            Some((first, last)) if first > last => Err(SteeringError::PortRange { first, last }),
            _ => Ok(()),
        }
    }
}

/// What is known of one address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddressEntry {
    pub(super) rule: Option<AddressRule>,
    /// How many ports of it are taken.
    pub(super) ports: u32,
}

impl AddressEntry {
    /// What the program is to see; `None` if it need not know of the address.
    pub(super) fn compile(&self) -> Option<Rule> {
        let rule = self.rule.unwrap_or_default();
        let (first_port, last_port) = rule.source_ports.unwrap_or_default();
        let flags = [
            (rule.all, Rule::ALL),
            (rule.fragments, Rule::FRAGMENTS),
            (rule.neighbours, Rule::NEIGHBOURS),
            (rule.source_ports.is_some(), Rule::SOURCE_PORTS),
            (self.ports > 0, Rule::PORTS),
        ];
        let flags = flags
            .iter()
            .filter(|(set, _)| *set)
            .fold(0, |flags, (_, flag)| flags | flag);
        (self.rule.is_some() || self.ports > 0).then_some(Rule {
            flags,
            first_port,
            last_port,
            reserved: 0,
        })
    }
}

pub(super) fn address_key(address: IpAddr) -> Address {
    let octets = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    Address::from_octets(octets)
}

pub(super) fn port_key(address: IpAddr, protocol: u8, port: u16) -> PortKey {
    PortKey {
        address: address_key(address),
        port,
        protocol: protocol.into(),
    }
}
