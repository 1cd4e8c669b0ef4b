//! Addresses that are no pod's, as the blocks of policies tell them apart.
//!
//! Blocks in CIDR notation lie inside each other or apart, so each of them, less those inside of it, is a set of
//! addresses that no block tells apart.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use headgate_ring::message::Peer;
use ipnet::IpNet;

use super::snapshot::PolicySnapshot;

/// How many of the blocks inside of a block are named.
const NAMED: usize = 3;

/// Every distinct block and `except` of some policies, and both whole families; sorted, each behind those that it lies
/// in.
#[derive(Debug)]
pub(super) struct Blocks(Vec<IpNet>);

/// A block without those that lie directly inside of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outside {
    pub(super) block: IpNet,
    /// Sorted.
    pub(super) without: Vec<IpNet>,
}

impl Blocks {
    pub(super) fn of(states: &[&PolicySnapshot]) -> Self {
        let mut all = BTreeSet::from([
            IpNet::new_assert(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            IpNet::new_assert(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        ]);
        let policies = states.iter().flat_map(|state| &state.policies);
        let peers = policies.flat_map(|p| p.rules.iter().flat_map(|rule| rule.peers.iter().flatten()));
        for peer in peers {
            if let Peer::Block { block, except } = peer {
                all.insert(*block);
                all.extend(except);
            }
        }
        Self(all.into_iter().collect())
    }

    /// The narrowest block with this address, by its place.
    pub(super) fn place(&self, address: IpAddr) -> usize {
        let mut around = Some(IpNet::from(address));
        while let Some(block) = around {
            if let Ok(place) = self.0.binary_search(&block) {
                return place;
            }
            around = block.supernet();
        }
        // Not reached: both whole families are there.
        0
    }

    /// Each set of addresses with one that is no pod's or node's, and that one.
    pub(super) fn outsides(&self, states: &[&PolicySnapshot]) -> Vec<(Outside, IpAddr)> {
        let taken = |address: IpAddr| {
            states
                .iter()
                .any(|state| state.endpoints_at(address).next().is_some())
        };
        let outside = |place: usize| {
            let block = self.0[place];
            let without = self.directly_inside(place);
            let free = free_address(block, &without, taken)?;
            Some((Outside { block, without }, free))
        };
        (0..self.0.len()).filter_map(outside).collect()
    }

    fn directly_inside(&self, place: usize) -> Vec<IpNet> {
        let block = self.0[place];
        let mut inside: Vec<IpNet> = Vec::new();
        for other in self.0[place + 1..]
            .iter()
            .take_while(|other| block.contains(*other))
        {
            if inside.last().is_none_or(|last| !last.contains(other)) {
                inside.push(*other);
            }
        }
        inside
    }
}

/// The first address of `block` that is in none of `without` (sorted, apart from each other) and not `taken`.
fn free_address(block: IpNet, without: &[IpNet], taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    // Of everything rather an address that somebody could have.
    let mut address = Some(match block {
        IpNet::V4(all) if all.prefix_len() == 0 => IpAddr::V4(Ipv4Addr::new(1, 0, 0, 1)),
        IpNet::V6(all) if all.prefix_len() == 0 => IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1)),
        _ => block.network(),
    });
    while let Some(candidate) = address.filter(|address| block.contains(address)) {
        let before = without.partition_point(|inner| inner.network() <= candidate);
        let around = before
            .checked_sub(1)
            .map(|i| without[i])
            .filter(|inner| inner.contains(&candidate));
        address = match around {
            Some(inner) => next(inner.broadcast()),
            None if taken(candidate) => next(candidate),
            None => return Some(candidate),
        };
    }
    None
}

fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(a) => u32::from(a).checked_add(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(a) => u128::from(a).checked_add(1).map(|n| IpAddr::V6(n.into())),
    }
}

/// Whether the parts that are excepted leave nothing of a block.
pub(super) fn is_empty(block: IpNet, except: &[IpNet]) -> bool {
    let mut apart: Vec<IpNet> = Vec::new();
    for net in except.iter().copied().collect::<BTreeSet<_>>() {
        if apart.last().is_none_or(|last| !last.contains(&net)) {
            apart.push(net);
        }
    }
    free_address(block, &apart, |_| false).is_none()
}

/// A block of one address is that address.
pub(super) fn short(block: &IpNet) -> String {
    if block.prefix_len() == block.max_prefix_len() {
        block.addr().to_string()
    } else {
        block.to_string()
    }
}

/// `192.0.2.0/24 except 192.0.2.13`; `other IPv4` for what no block holds.
impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.block.prefix_len() == 0 {
            let family = if self.block.addr().is_ipv4() {
                "IPv4"
            } else {
                "IPv6"
            };
            let other = if self.without.is_empty() { "any" } else { "other" };
            return write!(f, "{other} {family}");
        }
        write!(f, "{}", short(&self.block))?;
        for (i, inner) in self.without.iter().take(NAMED).enumerate() {
            write!(f, "{}{}", if i == 0 { " except " } else { ", " }, short(inner))?;
        }
        match self.without.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(texts: &[&str]) -> Blocks {
        let all: BTreeSet<IpNet> = ["0.0.0.0/0", "::/0"]
            .iter()
            .chain(texts)
            .map(|text| text.parse().unwrap())
            .collect();
        Blocks(all.into_iter().collect())
    }

    #[test]
    fn the_narrowest_block_is_found() {
        let blocks = blocks(&[
            "10.0.0.0/8",
            "10.0.0.0/16",
            "10.0.0.0/24",
            "10.0.5.0/24",
            "10.200.0.0/16",
            "fd00::/8",
            "fd00:1::/32",
        ]);
        for (address, block) in [
            ("10.0.0.7", "10.0.0.0/24"),
            ("10.0.6.1", "10.0.0.0/16"),
            ("10.0.5.1", "10.0.5.0/24"),
            ("10.1.0.0", "10.0.0.0/8"),
            ("10.255.0.0", "10.0.0.0/8"),
            ("11.0.0.0", "0.0.0.0/0"),
            ("9.255.255.255", "0.0.0.0/0"),
            ("fd00:1::1", "fd00:1::/32"),
            ("fd00:2::1", "fd00::/8"),
            ("::1", "::/0"),
        ] {
            let place = blocks.place(address.parse().unwrap());
            assert_eq!(blocks.0[place].to_string(), block, "{address}");
        }
    }

    #[test]
    fn the_narrowest_block_of_random_ones_is_found() {
        // A fixed multiplicative sequence: few high bits, so that blocks lie inside each other.
        let mut seed = 1_u32;
        let mut random = move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for _ in 0..200 {
            let mut block = || {
                let address = Ipv4Addr::from(random(64) << 26 | random(4));
                IpNet::new_assert(address.into(), (random(33)) as u8)
                    .trunc()
                    .to_string()
            };
            let texts: Vec<String> = (0..12).map(|_| block()).collect();
            let blocks = blocks(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            for high in 0..64 {
                let address = IpAddr::V4(Ipv4Addr::from(high << 26 | 2));
                let slow = blocks.0.iter().filter(|b| b.contains(&address));
                let slow = slow.max_by_key(|b| b.prefix_len());
                assert_eq!(
                    Some(&blocks.0[blocks.place(address)]),
                    slow,
                    "{address} in {blocks:?}"
                );
            }
        }
    }

    #[test]
    fn a_free_address_is_in_the_block_alone() {
        let nets = |texts: &[&str]| -> Vec<IpNet> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        let block: IpNet = "192.0.2.0/29".parse().unwrap();
        let taken: IpAddr = "192.0.2.2".parse().unwrap();
        let free =
            |without: &[&str]| free_address(block, &nets(without), |a| a == taken).map(|a| a.to_string());
        assert_eq!(free(&[]).as_deref(), Some("192.0.2.0"));
        assert_eq!(free(&["192.0.2.0/31"]).as_deref(), Some("192.0.2.3"));
        assert_eq!(
            free(&["192.0.2.0/30", "192.0.2.4/31"]).as_deref(),
            Some("192.0.2.6")
        );
        assert_eq!(free(&["192.0.2.0/30", "192.0.2.4/30"]), None);
        let whole = "255.255.255.255/32".parse().unwrap();
        assert_eq!(free_address(whole, &[], |_| true), None);
    }

    #[test]
    fn a_block_can_be_excepted_whole() {
        let nets = |texts: &[&str]| -> Vec<IpNet> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        let empty = |except: &[&str]| is_empty("10.0.0.0/8".parse().unwrap(), &nets(except));
        assert!(
            empty(&["10.128.0.0/9", "10.0.0.0/9"]) && empty(&["10.0.0.0/9", "10.1.0.0/16", "10.128.0.0/9"])
        );
        assert!(!empty(&[]) && !empty(&["10.0.0.0/9", "10.128.0.0/10"]));
        // Of a whole family, too, although its search begins elsewhere.
        let halves = ["0.0.0.0/1".parse().unwrap(), "128.0.0.0/1".parse().unwrap()];
        assert!(is_empty("0.0.0.0/0".parse().unwrap(), &halves));
    }

    #[test]
    fn outsides_name_what_lies_inside() {
        let outside = |block: &str, without: &[&str]| Outside {
            block: block.parse().unwrap(),
            without: without.iter().map(|t| t.parse().unwrap()).collect(),
        };
        assert_eq!(outside("::/0", &[]).to_string(), "any IPv6");
        assert_eq!(outside("0.0.0.0/0", &["10.0.0.0/8"]).to_string(), "other IPv4");
        let four = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"];
        assert_eq!(
            outside("10.0.0.0/8", &four).to_string(),
            "10.0.0.0/8 except 10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16 and 1 more"
        );
    }
}
