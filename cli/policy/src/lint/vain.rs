//! Policies and rules that are about nobody and nothing.

use std::collections::BTreeSet;

use headgate_ring::message::{Peer, Policy, PolicyRule};

use super::{Facts, Finding, Severity, peers_field, rules, subject_field};
use crate::blocks::is_empty;
use crate::explain::peer_text;

/// Policies that select nothing; rules and peers that never match.
pub(super) fn check(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    for policy in &facts.snapshot.policies {
        if facts.members(policy.subjects).is_empty() {
            let text = format!(
                "selects nothing: there are no {}",
                facts.snapshot.group(policy.subjects)
            );
            let field = subject_field(policy);
            findings.push(Finding::of_policy(
                Severity::Warning,
                policy,
                field,
                "no-subjects",
                text,
            ));
        }
    }
    for policy in facts.policies() {
        lost_rules(facts, policy, findings);
        for (number, parts) in rules(policy) {
            empty_peers(facts, policy, number, parts, findings);
        }
    }
}

/// Rules of which nothing is left: their ports are names that no pod's container has.
fn lost_rules(facts: &Facts<'_>, policy: &Policy, findings: &mut Vec<Finding>) {
    let left: BTreeSet<u32> = policy.rules.iter().map(|rule| rule.number).collect();
    let known = facts.written.get(&(policy.name.clone(), policy.direction));
    let known = known.and_then(|count| u32::try_from(*count).ok());
    let written = known.or_else(|| left.last().map(|last| last + 1)).unwrap_or(0);
    for number in (0..written).filter(|number| !left.contains(number)) {
        let text = "never matches: no container has a port of such a name".to_owned();
        let part = ".ports";
        findings.push(Finding::of_rule(
            Severity::Warning,
            policy,
            number,
            part,
            "no-ports",
            text,
        ));
    }
}

fn empty_peers(
    facts: &Facts<'_>,
    policy: &Policy,
    number: u32,
    parts: &[PolicyRule],
    findings: &mut Vec<Finding>,
) {
    let field = peers_field(policy.direction);
    let peers: Vec<&Peer> = parts
        .iter()
        .flat_map(|part| part.peers.iter().flatten())
        .collect();
    let anybody = parts.iter().any(|part| part.peers.is_none());
    let empty: BTreeSet<String> = peers
        .iter()
        .filter(|peer| matches_nobody(facts, peer))
        .map(|peer| peer_text(facts.snapshot, peer))
        .collect();
    let all = !anybody && !peers.is_empty() && peers.iter().all(|peer| matches_nobody(facts, peer));
    for text in empty {
        let (severity, consequence) = if all {
            (Severity::Warning, "the rule never matches")
        } else {
            (Severity::Info, "other peers of the rule do")
        };
        let text = format!("{text}: selects nothing; {consequence}");
        findings.push(Finding::of_rule(
            severity,
            policy,
            number,
            field,
            "empty-peer",
            text,
        ));
    }
}

fn matches_nobody(facts: &Facts<'_>, peer: &Peer) -> bool {
    match peer {
        Peer::Group(group) => facts.members(*group).is_empty(),
        Peer::Block { block, except } => is_empty(*block, except),
    }
}
