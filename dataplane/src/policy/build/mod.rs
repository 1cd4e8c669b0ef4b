//! From policies to tables.
//!
//! 1. `sets`: rules' peers become numbered sets; equal lists of peers are one set.
//! 2. `walk`: over all prefixes in order of addresses, keeping the sets and policies that hold the current
//!    address; each new combination makes a class.
//! 3. `rows`: for each combination of policies, a sweep over the ports makes segments, and each segment's
//!    sets make a row of bits over the classes.

mod active;
mod rows;
mod sets;
mod walk;

use std::sync::Arc;

use headgate_ring::message::{Direction, Policy};

use super::compiled::{Class, Compiled, Guard, Matrix};
use crate::lpm::Lpm;
use rows::RowBuilder;
use sets::PeerSets;
use walk::{Columns, Walk};

pub(super) fn compile(policies: Vec<Arc<Policy>>) -> Compiled {
    let ingress_sets = PeerSets::intern(&policies, Direction::Ingress);
    let egress_sets = PeerSets::intern(&policies, Direction::Egress);
    let mut walk = Walk::new(&policies, &ingress_sets, &egress_sets);
    let prefixes = walk.run();
    let (from, to) = (walk.ingress.columns(), walk.egress.columns());
    let (ingress, ingress_guards) = matrix(&policies, &ingress_sets, &walk.ingress.groups, &from);
    let (egress, egress_guards) = matrix(&policies, &egress_sets, &walk.egress.groups, &to);
    let classes = walk
        .classes()
        .map(|c| Class {
            from: from.order[c.ingress.column as usize],
            to: to.order[c.egress.column as usize],
            ingress: ingress_guards[c.ingress.group as usize],
            egress: egress_guards[c.egress.group as usize],
        })
        .collect();
    Compiled {
        lpm: Lpm::build(prefixes, 0),
        classes,
        ingress,
        egress,
        policies,
    }
}

/// The rows of one direction, and the guard of each group of policies; group 0 is that of no policy.
fn matrix(
    policies: &[Arc<Policy>],
    sets: &PeerSets<'_>,
    groups: &[Vec<u32>],
    columns: &Columns,
) -> (Matrix, Vec<Guard>) {
    let mut builder = RowBuilder::new(sets.len(), columns);
    let guards = groups
        .iter()
        .map(|group| {
            let rules = group.iter().flat_map(|p| {
                let policy = *p as usize;
                policies[policy].rules.iter().zip(sets.of_policy(policy))
            });
            match group.iter().min() {
                Some(first) => builder.guard(rules, *first),
                None => Guard::default(),
            }
        })
        .collect();
    (builder.finish(), guards)
}
