//! From policies to tables.
//!
//! 1. `sets`: rules' peers become numbered sets; equal lists of peers are one set.
//! 2. `events` lists what begins to hold at each prefix, and `walk` goes over all prefixes in order of addresses, keeping the sets and policies that hold the current
//!    address; each new combination makes a class.
//! 3. `rows`: for each combination of policies, a sweep over the ports makes segments, and each segment's
//!    sets make a row of bits over the classes.

mod active;
mod events;
mod rows;
mod sets;
mod walk;

use std::sync::Arc;

use headgate_ring::message::{self, Direction, Endpoint};

use super::PolicyId;
use super::compiled::{Class, Compiled, Guard, Matrix, TooLarge};
use crate::lpm::Lpm;
use crate::policy::flat::Policy;
use events::Events;
use rows::RowBuilder;
use sets::PeerSets;
use walk::{Columns, Walk};

/// Compiles policies to tables of at most `limit` bytes.
pub(super) fn compile(
    endpoints: Vec<Arc<Endpoint>>,
    originals: Vec<Arc<message::Policy>>,
    policies: &[Arc<Policy>],
    limit: usize,
) -> Result<Compiled, TooLarge> {
    let ingress_sets = PeerSets::intern(policies, Direction::Ingress);
    let egress_sets = PeerSets::intern(policies, Direction::Egress);
    let events = Events::collect(policies, &ingress_sets, &egress_sets);
    let mut walk = Walk::new(policies.len(), ingress_sets.len(), egress_sets.len());
    let v4 = walk
        .run(&events.v4)
        .into_iter()
        .map(|(prefix, class)| (prefix.v4(), class));
    let v6 = walk
        .run(&events.v6)
        .into_iter()
        .map(|(prefix, class)| (prefix.v6(), class));
    let lpm = Lpm::build(v4.chain(v6), 0);
    let too_large = |policy| TooLarge {
        policy: PolicyId(policies.get(policy as usize).map_or(0, |p| p.origin)),
        limit,
    };
    if walk.memory() > limit {
        // No single one is at fault; the last one is as good as any.
        return Err(too_large(
            u32::try_from(policies.len())
                .unwrap_or(u32::MAX)
                .saturating_sub(1),
        ));
    }
    let (from, to) = (walk.ingress.columns(), walk.egress.columns());
    let (ingress, ingress_guards) =
        matrix(policies, &ingress_sets, &walk.ingress.groups, &from, limit).map_err(too_large)?;
    let (egress, egress_guards) =
        matrix(policies, &egress_sets, &walk.egress.groups, &to, limit).map_err(too_large)?;
    let classes = walk
        .classes()
        .map(|c| Class {
            from: from.order[c.ingress.column as usize],
            to: to.order[c.egress.column as usize],
            ingress: ingress_guards[c.ingress.group as usize],
            egress: egress_guards[c.egress.group as usize],
        })
        .collect();
    Ok(Compiled {
        lpm,
        classes,
        ingress,
        egress,
        endpoints,
        policies: originals,
    })
}

/// The rows of one direction, and the guard of each group of policies; else the policy where the limit was
/// passed.
fn matrix(
    policies: &[Arc<Policy>],
    sets: &PeerSets<'_>,
    groups: &[Vec<u32>],
    columns: &Columns,
    limit: usize,
) -> Result<(Matrix, Vec<Guard>), u32> {
    let mut builder = RowBuilder::new(sets.len(), columns);
    let mut guards = Vec::with_capacity(groups.len());
    for group in groups {
        let Some(first) = group.iter().min() else {
            guards.push(Guard::default());
            continue;
        };
        let rules = group.iter().flat_map(|policy| {
            let policy = *policy as usize;
            policies[policy].rules.iter().zip(sets.of_policy(policy))
        });
        guards.push(builder.guard(rules, policies[*first as usize].origin));
        if builder.memory() > limit {
            return Err(*first);
        }
    }
    Ok((builder.finish(), guards))
}
