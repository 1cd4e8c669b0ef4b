//! Longest-prefix match from addresses to numbers, both families.
//!
//! Built once from all prefixes and then only read. IPv4 is a direct table of 16 + 8 + 8 bits: at most three
//! loads. IPv6 is a path-compressed trie with strides of 8 bits whose nodes fit a cache line: two loads for
//! each place where prefixes part, which in real tables is two to four times.

mod v4;
mod v6;

use std::net::IpAddr;

use ipnet::IpNet;

/// Values must be below this; the bit marks inner entries.
pub const LIMIT: u32 = 1 << 31;

/// Marks an entry that leads to a chunk or node instead of holding a value.
const CHILD: u32 = LIMIT;

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
            assert!(value < LIMIT, "value {value} of {net} does not fit 31 bits");
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

#[cfg(test)]
mod tests;
