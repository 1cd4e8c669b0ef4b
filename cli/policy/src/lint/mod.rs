//! `headgate policy lint`: what in the policies is probably not as it was meant.

mod dns;
mod host;
mod listening;
mod shadow;
mod vain;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use anyhow::Result;
use headgate_controlplane::model::Model;
use headgate_controlplane::problem;
use headgate_ring::message::{Direction, GroupId, Policy, PolicyRule, Tier};
use serde::Serialize;

use super::flags::{Format, LintOptions};
use super::snapshot::PolicySnapshot;
use super::{CommandOutcome, print, source};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Something that was asked for is not in force.
    Error,
    /// Probably not what was meant.
    Warning,
    /// Worth knowing.
    Info,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// The policy, as `namespace/name`, or the name of a ClusterNetworkPolicy; none where it is about something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<String>,
    /// Its place in the manifest's list, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<u32>,
    /// As `spec.ingress[0].from[1]`; empty where it is about the whole.
    pub(super) field: String,
    /// Which check found it.
    pub(super) check: &'static str,
    pub(super) text: String,
}

/// What the checks look at.
struct Facts<'a> {
    snapshot: &'a PolicySnapshot,
    /// Who is in a group, by place among the endpoints; ascending.
    members: HashMap<GroupId, Vec<usize>>,
    /// The policies of a direction that have a group for their subjects, by place; in the order of their turns.
    by_subjects: HashMap<(Direction, GroupId), Vec<usize>>,
    /// How many rules the manifest of a policy has for a direction; unknown of a running gateway.
    written: HashMap<(String, Direction), usize>,
}

/// Prints what was found.
pub(super) fn run(options: &LintOptions) -> Result<CommandOutcome> {
    let snapshot = source::silent(&options.source)?.apart_from_nodes()?;
    let findings = findings(&snapshot);
    print(&match options.format {
        Format::Text => render(&findings),
        Format::Json => serde_json::to_string_pretty(&serde_json::json!({ "findings": findings }))? + "\n",
    })?;
    let matters = findings
        .iter()
        .any(|finding| finding.severity <= Severity::Warning);
    Ok(if matters {
        CommandOutcome::No
    } else {
        CommandOutcome::Yes
    })
}

/// Everything that all checks find, the worst first.
fn findings(snapshot: &PolicySnapshot) -> Vec<Finding> {
    let facts = Facts::of(snapshot);
    let mut findings: Vec<Finding> = snapshot.problems.iter().map(of_problem).collect();
    vain::check(&facts, &mut findings);
    shadow::check(&facts, &mut findings);
    listening::check(&facts, &mut findings);
    dns::check(&facts, &mut findings);
    host::check(snapshot, &mut findings);
    findings.sort();
    findings.dedup();
    findings
}

/// What the control plane says about a manifest.
fn of_problem(problem: &problem::Problem) -> Finding {
    Finding {
        severity: match problem.severity {
            problem::Severity::Error => Severity::Error,
            problem::Severity::Warning => Severity::Warning,
        },
        policy: None,
        rule: None,
        field: String::new(),
        check: "manifest",
        text: problem.to_string(),
    }
}

fn render(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing found\n".to_owned();
    }
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// `warning: shop/db: spec.ingress[0].from: selects nothing [empty-peer]`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        write!(f, "{severity}: ")?;
        if let Some(policy) = &self.policy {
            write!(f, "{policy}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{} [{}]", self.text, self.check)
    }
}

impl Finding {
    /// About a whole policy.
    fn of_policy(
        severity: Severity,
        policy: &Policy,
        field: &str,
        check: &'static str,
        text: String,
    ) -> Self {
        Self {
            severity,
            policy: Some(policy.name.clone()),
            rule: None,
            field: field.to_owned(),
            check,
            text,
        }
    }

    /// About a rule; `part` is its field, with a dot in front, or empty.
    fn of_rule(
        severity: Severity,
        policy: &Policy,
        rule: u32,
        part: &str,
        check: &'static str,
        text: String,
    ) -> Self {
        Self {
            rule: Some(rule),
            ..Self::of_policy(
                severity,
                policy,
                &format!("{}{part}", field(policy, rule)),
                check,
                text,
            )
        }
    }
}

/// `spec.ingress[0]`
fn field(policy: &Policy, rule: u32) -> String {
    match policy.direction {
        Direction::Ingress => format!("spec.ingress[{rule}]"),
        Direction::Egress => format!("spec.egress[{rule}]"),
    }
}

/// What the list of peers is called.
fn peers_field(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => ".from",
        Direction::Egress => ".to",
    }
}

/// What the selector of the subjects is called.
fn subject_field(policy: &Policy) -> &'static str {
    if policy.tier == Tier::NetworkPolicy {
        "spec.podSelector"
    } else {
        "spec.subject"
    }
}

/// The parts of each of a policy's rules, by its place in the manifest.
fn rules(policy: &Policy) -> impl Iterator<Item = (u32, &[PolicyRule])> {
    policy
        .rules
        .chunk_by(|a, b| a.number == b.number)
        .map(|parts| (parts[0].number, parts))
}

impl<'a> Facts<'a> {
    fn of(snapshot: &'a PolicySnapshot) -> Self {
        let mut members: HashMap<GroupId, Vec<usize>> = HashMap::new();
        for (index, endpoint) in snapshot.endpoints.iter().enumerate() {
            for group in &endpoint.groups {
                members.entry(*group).or_default().push(index);
            }
        }
        let mut by_subjects: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, policy) in snapshot.policies.iter().enumerate() {
            by_subjects
                .entry((policy.direction, policy.subjects))
                .or_default()
                .push(index);
        }
        let written = snapshot.model.as_ref().map(written).unwrap_or_default();
        Self {
            snapshot,
            members,
            by_subjects,
            written,
        }
    }

    fn members(&self, group: GroupId) -> &[usize] {
        self.members.get(&group).map_or(&[], Vec::as_slice)
    }

    /// The policies that select somebody: of the others there is nothing more to say.
    fn policies(&self) -> impl Iterator<Item = &'a Policy> {
        let policies = self.snapshot.policies.iter();
        policies.filter(|policy| !self.members(policy.subjects).is_empty())
    }
}

/// How many rules each policy's manifest has.
fn written(model: &Model) -> HashMap<(String, Direction), usize> {
    let policies = model.policies().map(|(name, policy)| {
        let count = |rules: &Option<Vec<_>>| rules.as_ref().map_or(0, Vec::len);
        (name, count(&policy.ingress), count(&policy.egress))
    });
    let cluster = model.cluster_policies();
    let cluster = cluster.map(|(name, policy)| (name, policy.ingress.len(), policy.egress.len()));
    let both = policies.chain(cluster).flat_map(|(name, ingress, egress)| {
        let name = name.to_string();
        [
            ((name.clone(), Direction::Ingress), ingress),
            ((name, Direction::Egress), egress),
        ]
    });
    both.collect()
}
