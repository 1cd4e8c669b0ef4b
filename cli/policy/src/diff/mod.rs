//! `headgate policy diff`: which connections two states differ in.
//!
//! Nothing is sampled: pods and addresses that neither state tells apart are one class, ports that no policy of either
//! tells apart are one run, and every pair of classes is asked about every run.

mod text;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Result, ensure};
use headgate_net::policy::Explanation;
use serde::Serialize;

use super::check::{By, Sides};
use super::classes::{ClassKind, EndpointClass, PAIRS, classes};
use super::flags::{DiffOptions, Format};
use super::names::Census;
use super::ports::PortSet;
use super::snapshot::PolicySnapshot;
use super::{CommandOutcome, print, source};
use headgate_net::policy::Question;

/// What two states differ in.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    /// Pods and nodes that are only in the old state; their connections are not compared.
    only_old: Vec<String>,
    /// Likewise, in the new one.
    only_new: Vec<String>,
    /// Connections of the others.
    pub(super) changes: Vec<ChangedRow>,
}

/// Connections that are allowed in one state and denied in the other.
#[derive(Debug, Serialize)]
pub(super) struct ChangedRow {
    /// `allowed` or `denied`: what they are in the new state, and were not in the old.
    pub(super) now: Now,
    /// Names of pods and nodes, and blocks of addresses.
    pub(super) from: Vec<String>,
    pub(super) to: Vec<String>,
    /// In few words.
    #[serde(skip)]
    words: [Vec<String>; 2],
    pub(super) ports: PortSet,
    /// Where only one family of addresses is concerned, and the pods have both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) family: Option<&'static str>,
    /// What decides in the new state.
    by: Sides,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Now {
    Denied,
    Allowed,
}

/// What pairs of classes have in common that change alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ChangeReason {
    now: Now,
    egress: Option<By>,
    ingress: Option<By>,
}

/// How a pair of classes changes.
type Changed = BTreeMap<ChangeReason, PortSet>;

/// What sorts pairs into lines.
type DiffLine = (ChangeReason, PortSet, Option<&'static str>);

/// Prints the differences.
pub(super) fn run(options: &DiffOptions) -> Result<CommandOutcome> {
    let (old, new) = match options.states.as_slice() {
        [old, new] => (source::manifests(old)?, source::manifests(new)?),
        [new] => (source::gateway(&options.run_dir)?, source::manifests(new)?),
        _ => anyhow::bail!("name one or two directories of manifests"),
    };
    for problems in [&old.problems, &new.problems] {
        source::tell(problems);
    }
    let difference = difference(&old.apart_from_nodes()?, &new.apart_from_nodes()?)?;
    print(&match options.format {
        Format::Text => text::render(&difference),
        Format::Json => serde_json::to_string_pretty(&difference)? + "\n",
    })?;
    let none =
        difference.only_old.is_empty() && difference.only_new.is_empty() && difference.changes.is_empty();
    Ok(if none {
        CommandOutcome::Yes
    } else {
        CommandOutcome::No
    })
}

/// Compares every connection.
pub(super) fn difference(old: &PolicySnapshot, new: &PolicySnapshot) -> Result<Difference> {
    let only = |mine: &PolicySnapshot, other: &PolicySnapshot| {
        let endpoints = mine.endpoints.iter().map(|endpoint| &endpoint.name);
        endpoints
            .filter(|name| other.endpoint(name).is_none())
            .cloned()
            .collect()
    };
    let classes = classes(&[old, new]);
    ensure!(
        classes.len() * classes.len() <= PAIRS,
        "the policies tell {} kinds of pods and addresses apart, and {PAIRS} pairs are the most that are looked at",
        classes.len()
    );
    let mut lines: BTreeMap<DiffLine, Vec<(usize, usize)>> = BTreeMap::new();
    for (from, from_class) in classes.iter().enumerate() {
        for (to, to_class) in classes.iter().enumerate() {
            for (family, changed) in families([old, new], from_class, to_class)? {
                for (reason, ports) in changed {
                    lines.entry((reason, ports, family)).or_default().push((from, to));
                }
            }
        }
    }
    let census = Census::of(new);
    Ok(Difference {
        only_old: only(old, new),
        only_new: only(new, old),
        changes: lines
            .into_iter()
            .flat_map(|(line, pairs)| changes(&classes, &census, &line, &pairs))
            .collect(),
    })
}

/// How a pair of classes changes, by family of addresses where that makes a difference.
fn families(
    states: [&PolicySnapshot; 2],
    from: &EndpointClass,
    to: &EndpointClass,
) -> Result<Vec<(Option<&'static str>, Changed)>> {
    let pairs = [0, 1].map(|place| from.pairs(place, to));
    let mut families = Vec::new();
    for (name, is_v4) in [("IPv4", true), ("IPv6", false)] {
        let of_family = |pairs: &Vec<(IpAddr, IpAddr)>| -> Vec<_> {
            pairs
                .iter()
                .filter(|(from, _)| from.is_ipv4() == is_v4)
                .copied()
                .collect()
        };
        let [old, new] = [of_family(&pairs[0]), of_family(&pairs[1])];
        if !old.is_empty() && !new.is_empty() {
            families.push((Some(name), changed(states, from, to, [&old, &new])?));
        }
    }
    if families.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        families.truncate(1);
        families.iter_mut().for_each(|(family, _)| *family = None);
    }
    Ok(families)
}

/// What changes between these addresses.
fn changed(
    [old, new]: [&PolicySnapshot; 2],
    from: &EndpointClass,
    to: &EndpointClass,
    [old_pairs, new_pairs]: [&[(IpAddr, IpAddr)]; 2],
) -> Result<Changed> {
    let mut changed = Changed::new();
    for (run, protocol, port) in from.cuts(0, to).and(&from.cuts(1, to)).runs() {
        let connection = |(from, to): &(IpAddr, IpAddr)| Question {
            from: *from,
            to: *to,
            protocol,
            port,
        };
        let denied = |state: &PolicySnapshot, pairs: &[(IpAddr, IpAddr)]| {
            pairs
                .iter()
                .map(connection)
                .find(|connection| !state.allows(*connection))
        };
        let (before, after) = (denied(old, old_pairs), denied(new, new_pairs));
        if before.is_some() == after.is_some() {
            continue;
        }
        let shown = after.or_else(|| new_pairs.first().map(connection));
        let explanation = shown.map(|connection| new.decide(connection)).transpose()?;
        let reason = ChangeReason::of(&explanation.unwrap_or_default());
        changed.entry(reason).or_default().add(&run);
    }
    Ok(changed)
}

impl ChangeReason {
    fn of(explanation: &Explanation) -> Self {
        Self {
            now: if explanation.is_allowed() {
                Now::Allowed
            } else {
                Now::Denied
            },
            egress: By::of(&explanation.egress),
            ingress: By::of(&explanation.ingress),
        }
    }
}

/// Joins pairs to as few lines as either end allows: those that have all their peers in common stand in one.
fn changes(
    classes: &[EndpointClass],
    census: &Census,
    (reason, ports, family): &DiffLine,
    pairs: &[(usize, usize)],
) -> Vec<ChangedRow> {
    let by_from = joined(pairs.iter().copied());
    let by_to = joined(pairs.iter().map(|(from, to)| (*to, *from)));
    let blocks: Vec<(BTreeSet<usize>, BTreeSet<usize>)> = if by_from.len() <= by_to.len() {
        by_from
    } else {
        by_to.into_iter().map(|(to, from)| (from, to)).collect()
    };
    let change = |(from, to): (BTreeSet<usize>, BTreeSet<usize>)| {
        let words = [&from, &to].map(|set| census.describe_classes(set.iter().map(|class| &classes[*class])));
        ChangedRow {
            now: reason.now,
            from: names(classes, &from),
            to: names(classes, &to),
            words,
            ports: ports.clone(),
            family: *family,
            by: Sides {
                egress: reason.egress.clone(),
                ingress: reason.ingress.clone(),
            },
        }
    };
    blocks.into_iter().map(change).collect()
}

/// First ends with the same set of second ends.
fn joined(pairs: impl Iterator<Item = (usize, usize)>) -> Vec<(BTreeSet<usize>, BTreeSet<usize>)> {
    let mut seconds: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (first, second) in pairs {
        seconds.entry(first).or_default().insert(second);
    }
    let mut firsts: BTreeMap<BTreeSet<usize>, BTreeSet<usize>> = BTreeMap::new();
    for (first, seconds) in seconds {
        firsts.entry(seconds).or_default().insert(first);
    }
    firsts
        .into_iter()
        .map(|(seconds, firsts)| (firsts, seconds))
        .collect()
}

fn names(classes: &[EndpointClass], set: &BTreeSet<usize>) -> Vec<String> {
    let of = |class: &usize| match &classes[*class].kind {
        ClassKind::Endpoints(names) => names.clone(),
        ClassKind::Outside(outside) => vec![outside.to_string()],
    };
    set.iter().flat_map(of).collect()
}
