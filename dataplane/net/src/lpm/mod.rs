//! Longest-prefix match from addresses to numbers, both families.
//!
//! Both families begin with a table by the first 16 bits and go on in nodes that mostly fill one cache line: one or two
//! more of them for IPv4, and for IPv6 one for each place where prefixes part, one to three in real tables. What lies
//! below one entry of the first table can be built anew alone.

mod v4;
mod v6;

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::double_buffered::DoubleBuffered;

/// Values must be below this; the bits above mark entries that lead on.
pub const LIMIT: u32 = 1 << 30;

/// Marks an entry that leads to a node instead of holding a value.
const CHILD: u32 = 1 << 31;
/// With `CHILD`: what it leads to is a table of 256 entries.
const DENSE: u32 = 1 << 30;

/// Maps each address to the value of the longest prefix that holds it.
#[derive(Clone, Debug)]
pub struct Lpm {
    v4: v4::Table4,
    v6: v6::Table6,
}

/// A prefix in the form that both builders take: bits left-aligned in the family's width.
#[derive(Clone, Copy, Debug)]
struct Prefix<B> {
    bits: B,
    length: u8,
    value: u32,
}

impl Lpm {
    /// Builds the table; addresses outside of every prefix map to `default`. Where a prefix comes twice, the
    /// later one counts. Host bits are ignored.
    ///
    /// # Panics
    /// When a value is not below [`LIMIT`].
    #[must_use]
    pub fn build(prefixes: impl IntoIterator<Item = (IpNet, u32)>, default: u32) -> Self {
        let (v4, v6) = split(prefixes);
        let mut table = Self {
            v4: v4::Table4::new(default),
            v6: v6::Table6::new(default),
        };
        table.v4.rebuild(0..=ROOT_LAST, default, v4);
        table.v6.rebuild(0..=ROOT_LAST, default, v6);
        table
    }

    /// The smallest block around `net` that can be rebuilt alone.
    #[must_use]
    pub fn part(net: IpNet) -> IpNet {
        let length = net.prefix_len().min(16);
        IpNet::new(net.network(), length).map_or(net, |net| net.trunc())
    }

    /// Makes the addresses in `part`, which is one of [`Lpm::part`], map by these prefixes, which are all inside of it,
    /// and where none is to `inherited`.
    ///
    /// # Panics
    /// When a value is not below [`LIMIT`], or a prefix is outside of `part`.
    pub fn rebuild(&mut self, part: IpNet, inherited: u32, prefixes: impl IntoIterator<Item = (IpNet, u32)>) {
        let (v4, v6) = split(prefixes);
        let root = |net: IpAddr| match net {
            IpAddr::V4(a) => (a.to_bits() >> 16) as usize,
            IpAddr::V6(a) => (a.to_bits() >> 112) as usize,
        };
        let roots = root(part.network())..=root(part.broadcast());
        match part {
            IpNet::V4(_) => self.v4.rebuild(roots, inherited, v4),
            IpNet::V6(_) => self.v6.rebuild(roots, inherited, v6),
        }
    }

    /// Makes this equal to `newer`, which is a copy of this but for rebuilt parts.
    pub(crate) fn catch_up(&mut self, newer: &Self) {
        self.v4.catch_up(&newer.v4);
        self.v6.catch_up(&newer.v6);
    }

    /// The value of the longest prefix that holds `address`.
    #[inline]
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(a) => self.lookup_v4(a),
            IpAddr::V6(a) => self.lookup_v6(a.to_bits()),
        }
    }

    /// [`Self::lookup`] of an IPv4 address.
    #[inline]
    #[must_use]
    pub fn lookup_v4(&self, address: Ipv4Addr) -> u32 {
        self.v4.lookup(address.to_bits())
    }

    /// [`Self::lookup`] of an IPv6 address.
    #[inline]
    #[must_use]
    pub fn lookup_v6(&self, address: u128) -> u32 {
        self.v6.lookup(address)
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }
}

/// The last place of both roots.
const ROOT_LAST: usize = 0xffff;

fn split(prefixes: impl IntoIterator<Item = (IpNet, u32)>) -> (Vec<Prefix<u32>>, Vec<Prefix<u128>>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (net, value) in prefixes {
        assert!(value < LIMIT, "value {value} of {net} does not fit 30 bits");
        let length = net.prefix_len();
        match net.network() {
            IpAddr::V4(a) => v4.push(Prefix {
                bits: a.to_bits(),
                length,
                value,
            }),
            IpAddr::V6(a) => v6.push(Prefix {
                bits: a.to_bits(),
                length,
                value,
            }),
        }
    }
    (v4, v6)
}

/// What some /16s hold: by prefixes that end within their first 16 bits the value of each, where none is `inherited`, and
/// the longer prefixes, sorted.
fn by_root<B: Ord + Copy>(
    roots: &RangeInclusive<usize>,
    inherited: u32,
    mut prefixes: Vec<Prefix<B>>,
    top: impl Fn(B) -> usize,
) -> (Vec<u32>, Vec<Prefix<B>>) {
    prefixes.sort_by_key(|p| p.length);
    let mut values = vec![inherited; roots.clone().count()];
    let short = prefixes.partition_point(|p| p.length <= 16);
    for prefix in prefixes.drain(..short) {
        let start = top(prefix.bits) - roots.start();
        values[start..start + (1 << (16 - prefix.length))].fill(prefix.value);
    }
    prefixes.sort_by_key(|p| (p.bits, p.length));
    (values, prefixes)
}

/// Each of the /16s with its value and its part of the sorted prefixes.
fn groups<B: Copy>(
    roots: RangeInclusive<usize>,
    values: Vec<u32>,
    prefixes: &[Prefix<B>],
    top: impl Fn(B) -> usize + Copy,
) -> impl Iterator<Item = (usize, u32, &[Prefix<B>])> {
    let mut rest = prefixes
        .chunk_by(move |a, b| top(a.bits) == top(b.bits))
        .peekable();
    roots.zip(values).map(move |(root, value)| {
        let group = rest.next_if(|group| top(group[0].bits) == root);
        (root, value, group.unwrap_or_default())
    })
}

/// Tables of 256 entries.
#[derive(Clone, Debug, Default)]
struct Tables {
    tables: DoubleBuffered<[u32; 256]>,
    free: Vec<u32>,
}

impl Tables {
    /// The number of a new table.
    fn add(&mut self, entries: [u32; 256]) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| number(self.tables.len()));
        self.tables.put(number as usize, entries, &entries);
        number
    }

    /// Of the table that `entry` leads to, the entry for this byte.
    #[inline]
    fn get(&self, entry: u32, byte: u8) -> u32 {
        self.tables[(entry & !(CHILD | DENSE)) as usize][usize::from(byte)]
    }

    /// Gives a table back; what it held is still to be released.
    fn release(&mut self, entry: u32) -> [u32; 256] {
        let number = entry & !(CHILD | DENSE);
        self.free.push(number);
        self.tables[number as usize]
    }

    fn memory(&self) -> usize {
        self.tables.memory()
    }

    fn catch_up(&mut self, newer: &Self) {
        self.tables.catch_up(&newer.tables);
        self.free.clone_from(&newer.free);
    }
}

fn number(index: usize) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "fewer nodes than prefixes, and memory ends before 2^30"
    )]
    let number = index as u32;
    number
}

#[cfg(test)]
mod tests;
