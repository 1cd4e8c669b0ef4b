//! Policies compiled for the packet path.
//!
//! ```text
//! src ─lpm→ class ─ from ───────────────┐ column
//! dst ─lpm→ class ─ ingress guard       ▼
//!                     │        ┌──────────────────┐
//!  (protocol, port) ──┴─ line →│ row: a bit for   │→ allowed?
//!                              │ each class       │
//!                              └──────────────────┘
//! ```
//!
//! An address's *class* stands for all addresses that the policies cannot tell apart. Its *guard* stands for the
//! policies that select it: a list of port segments, each with a *row*: one bit for each class of the other
//! end. Egress is the same with the ends exchanged. No step depends on the number of policies; only a guard's
//! segments are searched, and those grow with the ports that the policies of that one address name.

use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{Direction, Endpoint, Policy};

use super::{Decision, Denial, Explanation, PolicyId, build, flat, reference};
use crate::lpm::Lpm;

/// Every policy of a state, ready to decide.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) policies: Vec<Arc<Policy>>,
    /// From addresses to `classes`.
    pub(super) lpm: Lpm,
    pub(super) classes: Vec<Class>,
    /// Guards of destinations, over classes of sources.
    pub(super) ingress: Matrix,
    /// Guards of sources, over classes of destinations.
    pub(super) egress: Matrix,
}

/// What policies make of an address: half a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(32))]
pub(super) struct Class {
    /// The column in `Compiled::ingress` when this is the source.
    pub(super) from: u32,
    /// The column in `Compiled::egress` when this is the destination.
    pub(super) to: u32,
    pub(super) ingress: Guard,
    pub(super) egress: Guard,
}

/// The policies of one direction that select an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Guard {
    /// The guard's line, or the index above its lines.
    pub(super) top: u32,
    /// How many levels of index stand above the lines, plus 1; 0 where no policy selects the address.
    pub(super) levels: u32,
    /// The first of the policies by name.
    pub(super) policy: u32,
}

/// Rows of bits by guard and port, columns by class.
#[derive(Clone, Debug, Default)]
pub(super) struct Matrix {
    pub(super) indices: Vec<Index>,
    pub(super) lines: Vec<Line>,
    /// Numbers of blocks, `width` for each row. Equal blocks are kept once: most are all zeros or all ones.
    pub(super) rows: Vec<u32>,
    pub(super) width: usize,
    pub(super) blocks: Vec<Block>,
}

/// How many segments a line holds.
pub(super) const SEGMENTS: usize = 8;

/// Port segments and their rows, a cache line. `starts` ascends; unused places hold `u32::MAX`.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Line {
    /// The first [`port_key`] of each segment, which ends where the next one starts.
    pub(super) starts: [u32; SEGMENTS],
    pub(super) rows: [u32; SEGMENTS],
}

/// How many lines or indices of the next level an index leads to.
pub(super) const FAN_OUT: usize = 15;

/// A node of the search tree above a guard's lines, a cache line. Unused places hold `u32::MAX`.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Index {
    /// The first [`port_key`] of each child.
    pub(super) starts: [u32; FAN_OUT],
    /// The first child; the others follow.
    pub(super) child: u32,
}

/// Columns of a block.
pub(super) const COLUMNS: usize = 512;

/// 512 columns of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(align(64))]
pub(super) struct Block(pub(super) [u64; COLUMNS / 64]);

/// Protocol and destination port as one number, so that ranges of ports are ranges of numbers. Protocols
/// without ports (of those that policies can name) share one number, which only rules for any port hold.
#[inline]
pub(super) const fn port_key(protocol: u8, port: u16) -> u32 {
    let base = match protocol {
        6 => 0,
        17 => 1 << 16,
        132 => 2 << 16,
        _ => return PORT_KEYS - 1,
    };
    base | port as u32
}

/// All [`port_key`]s are below this.
pub(super) const PORT_KEYS: u32 = (3 << 16) + 1;

/// The most bytes that the tables from classes to verdicts may take, and those that are needed to make them:
/// more than fifty times what 10,000 ordinary policies need.
pub const MEMORY_LIMIT: usize = 1 << 30;

/// The policies tell too many kinds of addresses and ports apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policies up to this one need tables of more than {limit} bytes: name fewer different peers or ports"
)]
pub struct TooLarge {
    /// The policy at which the limit was passed.
    pub policy: PolicyId,
    /// The limit, in bytes.
    pub limit: usize,
}

impl Default for Compiled {
    fn default() -> Self {
        Self::build(Vec::new(), Vec::new()).expect("no policies need next to no memory")
    }
}

impl Compiled {
    /// Compiles checked policies, sorted by name and direction, over checked endpoints, sorted by name.
    ///
    /// # Errors
    /// When the tables would take more than [`MEMORY_LIMIT`].
    pub fn build(endpoints: Vec<Arc<Endpoint>>, policies: Vec<Arc<Policy>>) -> Result<Self, TooLarge> {
        let flat = flat::flatten(&endpoints, &policies);
        build::compile(endpoints, policies, &flat, MEMORY_LIMIT)
    }

    /// How [`Self::decide`] comes to its decision. It takes its time: for logs and for people.
    #[must_use]
    pub fn explain(&self, src: IpAddr, dst: IpAddr, protocol: u8, dst_port: u16) -> Explanation {
        reference::explain(&self.endpoints, &self.policies, src, dst, protocol, dst_port)
    }

    /// The pods and nodes with this address.
    pub fn endpoints_at(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints
            .iter()
            .filter(move |e| e.addresses.contains(&address))
    }

    /// Every pod and node, sorted by name.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Decides on a new connection from its first packet: the client's address as it came, the pod's address
    /// and port after balancing. `protocol` is the IANA number.
    #[inline]
    #[must_use]
    pub fn decide(&self, src: IpAddr, dst: IpAddr, protocol: u8, dst_port: u16) -> Decision {
        if src == dst {
            return Decision::Allow;
        }
        let source = &self.classes[self.lpm.lookup(src) as usize];
        let destination = &self.classes[self.lpm.lookup(dst) as usize];
        let key = port_key(protocol, dst_port);
        if !self.egress.allows(&source.egress, key, destination.to) {
            return deny(&source.egress, Direction::Egress);
        }
        if !self.ingress.allows(&destination.ingress, key, source.from) {
            return deny(&destination.ingress, Direction::Ingress);
        }
        Decision::Allow
    }

    /// The policy that a [`Denial`] of this table names.
    #[must_use]
    pub fn policy(&self, id: PolicyId) -> Option<&Policy> {
        self.policies.get(id.0 as usize).map(AsRef::as_ref)
    }

    /// What this was built from, sorted by name and direction.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// Sizes of the tables.
    #[must_use]
    pub fn size(&self) -> Size {
        let matrices = [&self.ingress, &self.egress];
        Size {
            classes: self.classes.len(),
            rows: matrices
                .map(|m| m.rows.len().checked_div(m.width).unwrap_or(0))
                .iter()
                .sum(),
            blocks: matrices.map(|m| m.blocks.len()).iter().sum(),
            addresses_bytes: self.lpm.memory() + size_of_val(self.classes.as_slice()),
            verdicts_bytes: matrices.map(Matrix::memory).iter().sum(),
        }
    }

    /// Bytes on the heap, without the policies themselves.
    #[must_use]
    pub fn memory(&self) -> usize {
        let size = self.size();
        size.addresses_bytes + size.verdicts_bytes
    }
}

/// How large a [`Compiled`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Kinds of addresses that the policies tell apart.
    pub classes: usize,
    /// Distinct sets of allowed peers.
    pub rows: usize,
    /// Distinct blocks of 512 bits that the rows are made of.
    pub blocks: usize,
    /// Bytes of the tables from addresses to classes.
    pub addresses_bytes: usize,
    /// Bytes of the tables from classes and ports to verdicts.
    pub verdicts_bytes: usize,
}

#[cold]
fn deny(guard: &Guard, direction: Direction) -> Decision {
    Decision::Deny(Denial {
        policy: PolicyId(guard.policy),
        direction,
    })
}

impl Matrix {
    #[inline]
    fn allows(&self, guard: &Guard, key: u32, column: u32) -> bool {
        guard.levels == 0 || self.bit(self.row(guard, key), column as usize)
    }

    #[inline]
    fn row(&self, guard: &Guard, key: u32) -> usize {
        let mut at = guard.top as usize;
        for _ in 1..guard.levels {
            let index = &self.indices[at];
            at = index.child as usize + last_not_above(&index.starts, key);
        }
        let line = &self.lines[at];
        line.rows[last_not_above(&line.starts, key) % SEGMENTS] as usize
    }

    #[inline]
    fn bit(&self, row: usize, column: usize) -> bool {
        let block = self.rows[row * self.width + column / COLUMNS];
        let word = self.blocks[block as usize].0[column / 64 % (COLUMNS / 64)];
        word >> (column % 64) & 1 != 0
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(self.indices.as_slice())
            + size_of_val(self.lines.as_slice())
            + size_of_val(self.rows.as_slice())
            + size_of_val(self.blocks.as_slice())
    }
}

/// The place of the last start that is not above `key`; the first start never is.
#[inline]
fn last_not_above<const N: usize>(starts: &[u32; N], key: u32) -> usize {
    // Counts instead of searching: no branch to predict, and the comparisons are a few vector instructions.
    let count: u32 = starts.iter().map(|start| u32::from(*start <= key)).sum();
    count as usize - 1
}
