//! Sets of destination ports.

use std::fmt;

use headgate_ring::message::{Policy, PortRange, Protocol};
use serde::{Serialize, Serializer};

/// The protocols that policies can name, in the order in which sets hold them.
pub(super) const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// Ports of each protocol.
const PORTS: u32 = 1 << 16;

/// All ports of all protocols, as one range of numbers.
const END: u32 = PORTS * PROTOCOLS.len() as u32;

/// Ports of TCP, UDP and SCTP: sorted ranges that neither overlap nor touch, within one line of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PortSet(Vec<(u32, u32)>);

/// Where the sets of ports that some policies tell apart begin; sorted, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cuts(Vec<u32>);

fn key(protocol: Protocol, port: u16) -> u32 {
    let place = match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
        Protocol::Sctp => 2,
    };
    place * PORTS + u32::from(port)
}

/// The protocol and port of a place in the line of numbers.
fn split(key: u32) -> (Protocol, u16) {
    (
        PROTOCOLS[(key / PORTS) as usize % PROTOCOLS.len()],
        (key % PORTS) as u16,
    )
}

impl Cuts {
    /// Where the rules of these policies begin and end.
    pub(super) fn of<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let rules = policies.into_iter().flat_map(|policy| &policy.rules);
        let ranges = rules.flat_map(|rule| rule.ports.iter().flatten());
        let ends = ranges.flat_map(|range| {
            let first = key(range.protocol, range.first);
            [first, key(range.protocol, range.last) + 1]
        });
        let protocols = (0..END).step_by(PORTS as usize);
        let mut cuts: Vec<u32> = protocols.chain(ends.filter(|end| *end < END)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        Self(cuts)
    }

    /// Those of both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut cuts = [self.0.as_slice(), &other.0].concat();
        cuts.sort_unstable();
        cuts.dedup();
        Self(cuts)
    }

    /// Each run of ports that is not told apart, and a port of it to ask about. None of them is port 0, unless that
    /// stands alone.
    pub(super) fn runs(&self) -> impl Iterator<Item = (PortSet, Protocol, u16)> {
        let ends = self.0.iter().skip(1).copied().chain([END]);
        self.0.iter().zip(ends).map(|(first, end)| {
            let (protocol, port) = split(end - 1);
            (PortSet(vec![(*first, end)]), protocol, port)
        })
    }
}

impl PortSet {
    /// One port.
    pub(super) fn single(protocol: Protocol, port: u16) -> Self {
        let key = key(protocol, port);
        Self(vec![(key, key + 1)])
    }

    /// What a rule's `ports` name; everything where they are missing.
    pub(super) fn of_rule(ports: Option<&[PortRange]>) -> Self {
        let Some(ports) = ports else {
            return Self(vec![(0, END)]);
        };
        let mut set = Self::default();
        for range in ports {
            let range = (
                key(range.protocol, range.first),
                key(range.protocol, range.last) + 1,
            );
            set.add(&Self(vec![range]));
        }
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_everything(&self) -> bool {
        self.0 == [(0, END)]
    }

    /// Whether all of `other` is in it.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let within = |(first, end): &(u32, u32)| self.0.iter().any(|(f, e)| f <= first && end <= e);
        other.0.iter().all(within)
    }

    #[cfg(test)]
    pub(super) fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.covers(&Self::single(protocol, port))
    }

    /// Adds all of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
        self.0.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(self.0.len());
        for (first, end) in self.0.drain(..) {
            match merged.last_mut() {
                Some(last) if first <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((first, end)),
            }
        }
        self.0 = merged;
    }

    /// What is in both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut both = Vec::new();
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some((first, end)), Some((other_first, other_end))) = (mine.peek(), theirs.peek()) {
            let (from, to) = (*first.max(other_first), *end.min(other_end));
            if from < to {
                both.push((from, to));
            }
            if end <= other_end {
                mine.next()
            } else {
                theirs.next()
            };
        }
        Self(both)
    }

    /// What is not in `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        let starts = other.0.iter().map(|(_, end)| *end);
        let ends = other.0.iter().map(|(first, _)| *first).chain([END]);
        let rest = [0]
            .into_iter()
            .chain(starts)
            .zip(ends)
            .filter(|(first, end)| first < end);
        self.and(&Self(rest.collect()))
    }

    /// The ranges of each protocol that has some.
    fn by_protocol(&self) -> impl Iterator<Item = (Protocol, Vec<(u16, u16)>)> {
        (0..END).step_by(PORTS as usize).filter_map(|base| {
            let within = |(first, end): &(u32, u32)| {
                let (first, end) = ((*first).max(base), (*end).min(base + PORTS));
                (first < end).then(|| (split(first).1, split(end - 1).1))
            };
            let ranges: Vec<_> = self.0.iter().filter_map(within).collect();
            (!ranges.is_empty()).then(|| (split(base).0, ranges))
        })
    }
}

/// `all ports`, `TCP 80, 8000-8080; UDP`, or `none`.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.write_str("all ports");
        }
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, (protocol, ranges)) in self.by_protocol().enumerate() {
            f.write_str(if i == 0 { "" } else { "; " })?;
            write!(f, "{protocol}")?;
            if ranges == [(0, u16::MAX)] {
                continue;
            }
            for (i, (first, last)) in ranges.into_iter().enumerate() {
                f.write_str(if i == 0 { " " } else { ", " })?;
                // Nobody listens on port 0.
                match (first.max(1), last) {
                    (first, last) if first >= last => write!(f, "{last}")?,
                    (first, last) => write!(f, "{first}-{last}")?,
                }
            }
        }
        Ok(())
    }
}

impl Serialize for PortSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(protocol: Protocol, first: u16, last: u16) -> PortRange {
        PortRange {
            protocol,
            first,
            last,
        }
    }

    fn set(ranges: &[PortRange]) -> PortSet {
        PortSet::of_rule(Some(ranges))
    }

    #[test]
    fn sets_are_told_shortly() {
        use Protocol::{Sctp, Tcp, Udp};
        assert_eq!(PortSet::of_rule(None).to_string(), "all ports");
        assert_eq!(set(&[]).to_string(), "none");
        assert_eq!(set(&[range(Udp, 0, u16::MAX)]).to_string(), "UDP");
        let some = [
            range(Tcp, 443, 443),
            range(Tcp, 80, 80),
            range(Tcp, 81, 82),
            range(Udp, 53, 53),
        ];
        assert_eq!(set(&some).to_string(), "TCP 80-82, 443; UDP 53");
        let all = [Tcp, Udp, Sctp].map(|protocol| range(protocol, 0, u16::MAX));
        assert!(set(&all).is_everything());
        assert_eq!(
            set(&[range(Tcp, 0, 79), range(Tcp, 81, u16::MAX)]).to_string(),
            "TCP 1-79, 81-65535"
        );
    }

    #[test]
    fn sets_cover_what_is_in_them() {
        use Protocol::{Tcp, Udp};
        let web = set(&[range(Tcp, 80, 89)]);
        assert!(web.covers(&set(&[range(Tcp, 80, 80), range(Tcp, 89, 89)])) && web.covers(&set(&[])));
        assert!(!web.covers(&set(&[range(Tcp, 89, 90)])) && !web.contains(Udp, 80) && web.contains(Tcp, 85));
        assert!(PortSet::of_rule(None).covers(&web) && !web.covers(&PortSet::of_rule(None)));
    }

    #[test]
    fn sets_are_joined_and_cut() {
        use Protocol::{Tcp, Udp};
        let (low, high) = (
            set(&[range(Tcp, 1, 100), range(Udp, 53, 53)]),
            set(&[range(Tcp, 90, 200)]),
        );
        assert_eq!(low.and(&high).to_string(), "TCP 90-100");
        assert_eq!(low.without(&high).to_string(), "TCP 1-89; UDP 53");
        assert_eq!(low.without(&PortSet::of_rule(None)), PortSet::default());
        assert_eq!(low.without(&PortSet::default()), low);
        assert_eq!(
            PortSet::of_rule(None).without(&high).and(&high),
            PortSet::default()
        );
    }

    #[test]
    fn runs_are_the_ports_that_policies_tell_apart() {
        let none: [&Policy; 0] = [];
        let whole: Vec<_> = Cuts::of(none).runs().map(|(set, ..)| set.to_string()).collect();
        assert_eq!(whole, ["TCP", "UDP", "SCTP"]);
        let cuts = Cuts(vec![0, 80, 81, PORTS, 2 * PORTS]).and(&Cuts(vec![0, 70, PORTS, 2 * PORTS]));
        let runs: Vec<_> = cuts
            .runs()
            .map(|(set, _, port)| (set.to_string(), port))
            .collect();
        let expected = [
            ("TCP 1-69", 69),
            ("TCP 70-79", 79),
            ("TCP 80", 80),
            ("TCP 81-65535", u16::MAX),
            ("UDP", u16::MAX),
            ("SCTP", u16::MAX),
        ];
        assert_eq!(runs, expected.map(|(set, port)| (set.to_owned(), port)));
    }
}
