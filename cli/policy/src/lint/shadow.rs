//! Rules that decide nothing, because others decide the same connections.

use std::net::IpAddr;

use headgate_ring::message::{Action, Endpoint, GroupId, Peer, Policy, PolicyRule, Tier};

use super::{Facts, Finding, Severity, rules, subject_field};
use crate::ports::PortSet;

/// How sure it is that one thing covers another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cover {
    /// Not at all.
    No,
    /// For the pods that there are now.
    Today,
    /// Whatever pods there are.
    Always,
}

/// A rule among others.
#[derive(Clone, Copy)]
struct PlacedRule<'a> {
    policy: &'a Policy,
    number: u32,
    parts: &'a [PolicyRule],
}

/// Finds rules that another rule covers.
pub(super) fn check(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    for policy in facts.policies() {
        let rivals = rivals(facts, policy);
        for (number, parts) in rules(policy) {
            let rule = PlacedRule {
                policy,
                number,
                parts,
            };
            if let Some((other, cover)) = covering(facts, rule, &rivals) {
                findings.push(shadowed(rule, other, cover));
            }
        }
        unreached(facts, policy, &rivals, findings);
    }
}

fn shadowed(rule: PlacedRule<'_>, other: PlacedRule<'_>, cover: Cover) -> Finding {
    let direction = super::field(other.policy, other.number);
    let whose = if std::ptr::eq(rule.policy, other.policy) {
        direction
    } else {
        format!("{direction} of {}", other.policy.name)
    };
    let (severity, when) = match cover {
        Cover::Always => (Severity::Warning, ""),
        Cover::Today | Cover::No => (Severity::Info, ", for the pods that there are now"),
    };
    let decides = match action(other) {
        Action::Accept => "accepts",
        Action::Deny => "denies",
        Action::Pass => "passes on",
    };
    let text = format!("has no effect: {whose} {decides} all that it matches{when}");
    Finding::of_rule(severity, rule.policy, rule.number, "", "shadowed", text)
}

fn action(rule: PlacedRule<'_>) -> Action {
    rule.parts.first().map_or(Action::Accept, |part| part.action)
}

/// All policies of the direction that select the first of the subjects, in the order of their turns: what covers a rule
/// is about all of its subjects.
fn rivals<'a>(facts: &Facts<'a>, policy: &Policy) -> Vec<&'a Policy> {
    let first = facts.members(policy.subjects).first();
    let Some(first) = first.map(|i| &facts.snapshot.endpoints[*i]) else {
        return Vec::new();
    };
    let selecting = first
        .groups
        .iter()
        .filter_map(|group| facts.by_subjects.get(&(policy.direction, *group)));
    let mut places: Vec<usize> = selecting.flatten().copied().collect();
    places.sort_unstable();
    places
        .into_iter()
        .map(|place| &facts.snapshot.policies[place])
        .collect()
}

/// The rule that leaves nothing to this one.
fn covering<'a>(
    facts: &Facts<'a>,
    rule: PlacedRule<'_>,
    rivals: &[&'a Policy],
) -> Option<(PlacedRule<'a>, Cover)> {
    let mut best: Option<(PlacedRule<'_>, Cover)> = None;
    // Behind a rule that passes, what the tier would have decided may come through after all.
    let mut passed = false;
    for policy in rivals {
        for (number, parts) in rules(policy) {
            let other = PlacedRule {
                policy,
                number,
                parts,
            };
            let own = std::ptr::eq(*policy, rule.policy) && number == rule.number;
            let same_tier = policy.tier == rule.policy.tier;
            if same_tier && policy.tier != Tier::NetworkPolicy && own {
                // Those that follow have their turns later.
                return best;
            }
            let counts = match (same_tier, policy.tier) {
                (true, _) => !own,
                (false, Tier::Admin) => !passed && action(other) != Action::Pass,
                (false, _) => false,
            };
            passed |= policy.tier == Tier::Admin && action(other) == Action::Pass;
            if !counts {
                continue;
            }
            let cover = covers(facts, other, rule);
            let mutual = policy.tier == Tier::NetworkPolicy && covers(facts, rule, other) >= cover;
            let first = (&policy.name, number) < (&rule.policy.name, rule.number);
            if cover > best.map_or(Cover::No, |(_, cover)| cover) && (!mutual || first) {
                best = Some((other, cover));
            }
        }
    }
    best
}

/// Whether all that `rule` matches, `other` matches too.
fn covers(facts: &Facts<'_>, other: PlacedRule<'_>, rule: PlacedRule<'_>) -> Cover {
    let subjects = group(facts, other.policy.subjects, rule.policy.subjects);
    let part = |part: &PolicyRule| {
        let by = other.parts.iter().map(|by| covers_part(facts, by, part));
        by.max().unwrap_or(Cover::No)
    };
    rule.parts.iter().map(part).fold(subjects, Cover::min)
}

fn covers_part(facts: &Facts<'_>, other: &PolicyRule, rule: &PolicyRule) -> Cover {
    let ports = |rule: &PolicyRule| PortSet::of_rule(rule.ports.as_deref());
    if !ports(other).covers(&ports(rule)) {
        return Cover::No;
    }
    let subjects = match (other.only, rule.only) {
        (None, _) => Cover::Always,
        (Some(_), None) => return Cover::No,
        (Some(other), Some(rule)) => group(facts, other, rule),
    };
    let peers = match (&other.peers, &rule.peers) {
        (None, _) => Cover::Always,
        (Some(_), None) => Cover::No,
        (Some(others), Some(peers)) => {
            let best = |peer| {
                others
                    .iter()
                    .map(|other| covers_peer(facts, other, peer))
                    .max()
                    .unwrap_or(Cover::No)
            };
            peers.iter().map(best).min().unwrap_or(Cover::No)
        }
    };
    subjects.min(peers)
}

fn group(facts: &Facts<'_>, other: GroupId, group: GroupId) -> Cover {
    if other == group {
        return Cover::Always;
    }
    let (all, some) = (facts.members(other), facts.members(group));
    let within = some.iter().all(|member| all.binary_search(member).is_ok());
    // Of an empty group there is another finding.
    if within && !some.is_empty() {
        Cover::Today
    } else {
        Cover::No
    }
}

fn covers_peer(facts: &Facts<'_>, other: &Peer, peer: &Peer) -> Cover {
    match (other, peer) {
        (Peer::Group(other), Peer::Group(peer)) => group(facts, *other, *peer),
        (
            Peer::Block { block, except },
            Peer::Block {
                block: inner,
                except: holes,
            },
        ) => {
            let kept = |except: &ipnet::IpNet| {
                !(inner.contains(except) || except.contains(inner))
                    || holes.iter().any(|hole| hole.contains(except))
            };
            let within = block.contains(inner) && except.iter().all(kept);
            if within { Cover::Always } else { Cover::No }
        }
        (Peer::Block { block, except }, Peer::Group(group)) => {
            let holds = |a: &IpAddr| block.contains(a) && !except.iter().any(|except| except.contains(a));
            let members = facts.members(*group);
            let within = |i: &usize| facts.snapshot.endpoints[*i].addresses.iter().all(holds);
            if !members.is_empty() && members.iter().all(within) {
                Cover::Today
            } else {
                Cover::No
            }
        }
        (Peer::Group(_), Peer::Block { .. }) => Cover::No,
    }
}

/// A policy of the tier Baseline whose subjects NetworkPolicies isolate, all of them.
fn unreached(facts: &Facts<'_>, policy: &Policy, rivals: &[&Policy], findings: &mut Vec<Finding>) {
    if policy.tier != Tier::Baseline || !rivals.iter().any(|other| other.tier == Tier::NetworkPolicy) {
        return;
    }
    let isolating = facts.snapshot.policies.iter();
    let isolating = isolating.filter(|p| p.tier == Tier::NetworkPolicy && p.direction == policy.direction);
    let groups: std::collections::HashSet<GroupId> = isolating.map(|policy| policy.subjects).collect();
    let isolated = |endpoint: &Endpoint| endpoint.groups.iter().any(|group| groups.contains(group));
    let subjects = facts.members(policy.subjects).iter();
    if subjects.map(|i| &facts.snapshot.endpoints[*i]).all(isolated) {
        let text = "decides nothing: NetworkPolicies isolate every pod that it selects".to_owned();
        let field = subject_field(policy);
        findings.push(Finding::of_policy(
            Severity::Info,
            policy,
            field,
            "unreached",
            text,
        ));
    }
}
