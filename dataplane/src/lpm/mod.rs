//! Longest-prefix match from addresses to numbers, both families.
//!
//! Built once from all prefixes and then only read. Both families begin with a table by the first 16 bits and go
//! on in nodes that look at 8 bits and mostly fill one cache line: two more of them at most for IPv4, and for
//! IPv6 one for each place where prefixes part, one to three in real tables.

mod v4;
mod v6;

use std::net::IpAddr;

use ipnet::IpNet;

/// Values must be below this; the bits above mark entries that lead on.
pub const LIMIT: u32 = 1 << 30;

/// Marks an entry that leads to a node instead of holding a value.
const CHILD: u32 = 1 << 31;
/// With `CHILD`: that node is a table of 256 entries.
const DENSE: u32 = 1 << 30;

/// Maps each address to the value of the longest prefix that holds it.
#[derive(Clone, Debug)]
pub struct Lpm {
    v4: v4::Table,
    v6: v6::Table,
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
        Self {
            v4: v4::Table::build(v4, default),
            v6: v6::Table::build(v6, default),
        }
    }

    /// The value of the longest prefix that holds `address`.
    #[inline]
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(a) => self.v4.lookup(a.to_bits()),
            IpAddr::V6(a) => self.v6.lookup(a.to_bits()),
        }
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }
}

/// Runs of equal entries among 256: where each starts, and its entry.
fn runs(entries: &[u32]) -> impl Iterator<Item = (u8, u32)> {
    let begins = |i: &u8| *i == 0 || entries[usize::from(*i) - 1] != entries[usize::from(*i)];
    (0..=u8::MAX).filter(begins).map(|i| (i, entries[usize::from(i)]))
}

#[cfg(test)]
mod tests;
