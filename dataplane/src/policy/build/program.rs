//! What the policies of a guard say, tier after tier.

use std::sync::Arc;

use headgate_ring::message::{Action, Tier};

use super::policies::{Rule, Rules};
use crate::policy::compiled::SEVERAL;
use crate::policy::ports::EVERYTHING;
use crate::policy::ranges::{Range, difference, intersection, normalize, union};

/// The rules that hold for a guard's subjects, in the order of their turns.
pub(super) struct Program {
    policies: Vec<Arc<Rules>>,
    /// Places in `policies` and in their rules.
    rules: Vec<(usize, usize)>,
    isolated: bool,
}

impl Program {
    /// Of policies without order, for subjects in these sorted groups.
    pub(super) fn new(mut policies: Vec<Arc<Rules>>, groups: &[u32]) -> Self {
        policies.sort_unstable_by(|a, b| a.turn().cmp(&b.turn()));
        let holds = |rule: &Rule| rule.only.is_none_or(|group| groups.binary_search(&group).is_ok());
        let mut rules = Vec::new();
        for (i, policy) in policies.iter().enumerate() {
            let held = policy.rules.iter().enumerate().filter(|(_, rule)| holds(rule));
            rules.extend(held.map(|(j, _)| (i, j)));
        }
        Self {
            isolated: policies.iter().any(|p| p.policy.tier == Tier::NetworkPolicy),
            policies,
            rules,
        }
    }

    /// The places of the policies.
    pub(super) fn places(&self) -> Arc<[u32]> {
        self.policies.iter().map(|p| p.place).collect()
    }

    /// The policy to be named where the limit is passed.
    pub(super) fn last(&self) -> Option<&Rules> {
        self.policies.last().map(AsRef::as_ref)
    }

    /// Every set that rules name, sorted.
    pub(super) fn sets(&self) -> Vec<u32> {
        let sets = self.rules().filter_map(|(_, rule)| rule.sets.as_ref());
        let mut sets: Vec<u32> = sets.flat_map(|sets| sets.iter().copied()).collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// The policy that denies whatever is denied, or [`SEVERAL`].
    pub(super) fn denier(&self) -> u32 {
        let last = if self.isolated {
            Tier::Admin
        } else {
            Tier::Baseline
        };
        let denies =
            |(policy, rule): &(&Rules, &Rule)| rule.action == Action::Deny && policy.policy.tier <= last;
        let mut deniers: Vec<u32> = self
            .rules()
            .filter(denies)
            .map(|(policy, _)| policy.place)
            .collect();
        let isolating = self
            .policies
            .iter()
            .find(|p| p.policy.tier == Tier::NetworkPolicy);
        deniers.extend(isolating.map(|p| p.place));
        deniers.dedup();
        match deniers[..] {
            [only] => only,
            _ => SEVERAL,
        }
    }

    /// The ports that are open to a peer that is in exactly these of the sets, sorted.
    pub(super) fn ports(&self, held: &[u32]) -> Vec<Range> {
        let (mut open, mut passed) = (Vec::new(), vec![EVERYTHING]);
        self.first_match(Tier::Admin, held, &mut open, &mut passed);
        if self.isolated {
            let accepted = self.accepted(held);
            if open.is_empty() && passed == [EVERYTHING] {
                return accepted;
            }
            return union(&open, &intersection(&passed, &accepted));
        }
        self.first_match(Tier::Baseline, held, &mut open, &mut passed);
        union(&open, &passed)
    }

    /// Has the rules of a tier decide on `passed`: what they accept is open, what they deny is neither.
    fn first_match(&self, tier: Tier, held: &[u32], open: &mut Vec<Range>, passed: &mut Vec<Range>) {
        let mut undecided = std::mem::take(passed);
        for rule in self.matching(tier, held) {
            let hit = intersection(&undecided, &rule.ranges);
            undecided = difference(&undecided, &rule.ranges);
            match rule.action {
                Action::Accept => *open = union(open, &hit),
                Action::Deny => {}
                Action::Pass => *passed = union(passed, &hit),
            }
        }
        *passed = union(passed, &undecided);
    }

    /// What some rule of the tier NetworkPolicy accepts.
    fn accepted(&self, held: &[u32]) -> Vec<Range> {
        let rules = self.matching(Tier::NetworkPolicy, held);
        let mut accepted = rules.flat_map(|rule| rule.ranges.iter().copied()).collect();
        normalize(&mut accepted);
        accepted
    }

    fn matching(&self, tier: Tier, held: &[u32]) -> impl Iterator<Item = &Rule> {
        let holds = |sets: &[u32]| sets.iter().any(|set| held.binary_search(set).is_ok());
        self.rules()
            .filter(move |(policy, rule)| {
                policy.policy.tier == tier && rule.sets.as_ref().is_none_or(|sets| holds(sets))
            })
            .map(|(_, rule)| rule)
    }

    fn rules(&self) -> impl Iterator<Item = (&Rules, &Rule)> {
        let rule = |(i, j): &(usize, usize)| {
            let policy = &*self.policies[*i];
            (policy, &policy.rules[*j])
        };
        self.rules.iter().map(rule)
    }
}
