//! Guards, lines and rows of one direction.

use std::collections::HashMap;

use headgate_ring::message::PortRange;

use super::active::Active;
use super::sets::ANY;
use super::walk::Columns;
use crate::hash::Keyed;
use crate::policy::compiled::{
    Block, COLUMNS, FAN_OUT, Guard, Index, Line, Matrix, PORT_KEYS, SEGMENTS, port_key,
};
use crate::policy::flat::PolicyRule;

/// The row of no column, and the row of all.
const NONE: u32 = 0;
const ALL: u32 = 1;

const ZEROS: Block = Block([0; COLUMNS / 64]);
const ONES: Block = Block([u64::MAX; COLUMNS / 64]);

pub(super) struct RowBuilder<'a> {
    matrix: Matrix,
    columns: &'a Columns,
    /// The sets that hold at the current port.
    active: Active,
    /// Rows by the fingerprint of their sets.
    rows: HashMap<u128, u32, Keyed>,
    blocks: HashMap<Block, u32, Keyed>,
    /// One row of bits, all zero between uses.
    scratch: Vec<Block>,
    /// Where sets begin (`true`) and cease to hold, by port key.
    edges: Vec<(u32, bool, u32)>,
}

impl<'a> RowBuilder<'a> {
    pub(super) fn new(sets: usize, columns: &'a Columns) -> Self {
        let width = columns.len().div_ceil(COLUMNS);
        let matrix = Matrix {
            width,
            rows: [NONE, ALL]
                .into_iter()
                .flat_map(|block| vec![block; width])
                .collect(),
            blocks: vec![ZEROS, ONES],
            indices: Vec::new(),
            lines: Vec::new(),
        };
        let mut rows = HashMap::default();
        rows.insert(0, NONE);
        let blocks = [(ZEROS, NONE), (ONES, ALL)].into_iter().collect();
        let scratch = vec![ZEROS; width];
        Self {
            matrix,
            columns,
            active: Active::new(sets),
            rows,
            blocks,
            scratch,
            edges: Vec::new(),
        }
    }

    /// Bytes so far.
    pub(super) fn memory(&self) -> usize {
        self.matrix.memory()
    }

    pub(super) fn finish(self) -> Matrix {
        self.matrix
    }

    /// The guard that allows what any of the rules does; `policy` is named when it denies.
    pub(super) fn guard<'r>(
        &mut self,
        rules: impl Iterator<Item = (&'r PolicyRule, &'r u32)>,
        policy: u32,
    ) -> Guard {
        self.edges.clear();
        for (rule, set) in rules {
            match &rule.ports {
                None => self.edge_pair(0, PORT_KEYS, *set),
                Some(ranges) => ranges.iter().for_each(|range| {
                    let (first, last) = keys(range);
                    self.edge_pair(first, last + 1, *set);
                }),
            }
        }
        let segments = self.sweep();
        self.tree(&segments, policy)
    }

    /// Lines for the segments, and indices above them until one is the top.
    fn tree(&mut self, segments: &[(u32, u32)], policy: u32) -> Guard {
        let mut first = number(self.matrix.lines.len());
        self.matrix.lines.extend(segments.chunks(SEGMENTS).map(Line::of));
        let mut starts: Vec<u32> = segments.chunks(SEGMENTS).map(|s| s[0].0).collect();
        let mut levels = 1;
        while starts.len() > 1 {
            let child = first;
            first = number(self.matrix.indices.len());
            let children = (child..).step_by(FAN_OUT);
            self.matrix.indices.extend(
                starts
                    .chunks(FAN_OUT)
                    .zip(children)
                    .map(|(s, child)| Index::of(s, child)),
            );
            starts = starts.chunks(FAN_OUT).map(|s| s[0]).collect();
            levels += 1;
        }
        Guard {
            top: first,
            levels,
            policy,
        }
    }

    fn edge_pair(&mut self, start: u32, end: u32, set: u32) {
        self.edges.extend([(start, true, set), (end, false, set)]);
    }

    /// Goes through the ports in order; the result's first segment starts at 0.
    fn sweep(&mut self) -> Vec<(u32, u32)> {
        let mut edges = std::mem::take(&mut self.edges);
        edges.sort_unstable();
        let mut segments = vec![(0, NONE)];
        for at in edges.chunk_by(|a, b| a.0 == b.0) {
            // What begins enters first: a set that goes on never drops out in between.
            for (_, begins, set) in at.iter().rev() {
                if *begins {
                    self.active.enter(*set);
                } else {
                    self.active.leave(*set);
                }
            }
            let (start, row) = (at[0].0, self.row());
            match segments.last_mut() {
                Some((last, before)) if *last == start => *before = row,
                Some((_, before)) if *before == row => {}
                _ => segments.push((start, row)),
            }
        }
        self.edges = edges;
        segments
    }

    /// The row of the sets that hold now.
    fn row(&mut self) -> u32 {
        if self.active.contains(ANY) {
            return ALL;
        }
        let fingerprint = self.active.fingerprint();
        if let Some(row) = self.rows.get(&fingerprint) {
            return *row;
        }
        for set in self.active.present() {
            for column in self.columns.of_set(*set) {
                let column = *column as usize;
                self.scratch[column / COLUMNS].0[column / 64 % (COLUMNS / 64)] |= 1 << (column % 64);
            }
        }
        let row = number(self.matrix.rows.len() / self.matrix.width);
        for place in 0..self.matrix.width {
            let block = std::mem::replace(&mut self.scratch[place], ZEROS);
            let number = self.block(block);
            self.matrix.rows.push(number);
        }
        self.rows.insert(fingerprint, row);
        row
    }

    fn block(&mut self, block: Block) -> u32 {
        if block == ZEROS {
            return NONE;
        }
        let next = number(self.matrix.blocks.len());
        *self.blocks.entry(block).or_insert_with(|| {
            self.matrix.blocks.push(block);
            next
        })
    }
}

impl Line {
    fn of(segments: &[(u32, u32)]) -> Self {
        let mut line = Self {
            starts: [u32::MAX; SEGMENTS],
            rows: [NONE; SEGMENTS],
        };
        for (place, (start, row)) in segments.iter().enumerate() {
            line.starts[place] = *start;
            line.rows[place] = *row;
        }
        line
    }
}

impl Index {
    fn of(children: &[u32], child: u32) -> Self {
        let mut index = Self {
            starts: [u32::MAX; FAN_OUT],
            child,
        };
        index.starts[..children.len()].copy_from_slice(children);
        index
    }
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The first and the last port key of a range.
fn keys(range: &PortRange) -> (u32, u32) {
    let protocol = range.protocol.number();
    (port_key(protocol, range.first), port_key(protocol, range.last))
}
