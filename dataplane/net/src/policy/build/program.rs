//! What the policies of a guard say, tier after tier.

use std::sync::Arc;

use headgate_ring::message::{Action, Tier};

use super::policies::{CompactRule, Rules};
use crate::policy::compiled::SEVERAL;
use crate::policy::ports::EVERYTHING;
use crate::policy::ranges::{Range, difference, intersection, normalize, union};

/// The rules that hold for a guard's subjects, in the order of their turns.
pub(super) struct Program {
    policies: Vec<Arc<Rules>>,
    /// Places in `policies` and in their rules.
    rules: Vec<(usize, usize)>,
    /// Sets, and places in `rules` of those that name them, sorted: a guard may have very many rules, and most peers are
    /// in the sets of a few.
    by_set: Vec<(u32, usize)>,
    /// Places in `rules` of those for any peer, sorted, without what is in `anybody`.
    for_all: Vec<usize>,
    /// What rules of the tier NetworkPolicy accept from anybody.
    anybody: Vec<Range>,
    isolated: bool,
}

impl Program {
    /// Of policies without order, for subjects in these sorted groups.
    pub(super) fn new(mut policies: Vec<Arc<Rules>>, groups: &[u32]) -> Self {
        policies.sort_unstable_by(|a, b| a.turn().cmp(&b.turn()));
        let holds = |rule: &CompactRule| rule.only.is_none_or(|group| groups.binary_search(&group).is_ok());
        let mut program = Self {
            isolated: policies.iter().any(|p| p.policy.tier == Tier::NetworkPolicy),
            policies,
            rules: Vec::new(),
            by_set: Vec::new(),
            for_all: Vec::new(),
            anybody: Vec::new(),
        };
        for (i, policy) in program.policies.iter().enumerate() {
            for (j, rule) in policy.rules.iter().enumerate().filter(|(_, rule)| holds(rule)) {
                let place = program.rules.len();
                program.rules.push((i, j));
                match &rule.sets {
                    Some(sets) => program.by_set.extend(sets.iter().map(|set| (*set, place))),
                    None if policy.policy.tier == Tier::NetworkPolicy => program.anybody.extend(&rule.ranges),
                    None => program.for_all.push(place),
                }
            }
        }
        program.by_set.sort_unstable();
        normalize(&mut program.anybody);
        program
    }

    /// The places of the policies.
    pub(super) fn places(&self) -> Arc<[u32]> {
        self.policies.iter().map(|p| p.place).collect()
    }

    /// Every set that rules name, sorted.
    pub(super) fn sets(&self) -> Vec<u32> {
        let mut sets: Vec<u32> = self.by_set.iter().map(|(set, _)| *set).collect();
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
        let denies = |(policy, rule): &(&Rules, &CompactRule)| {
            rule.action == Action::Deny && policy.policy.tier <= last
        };
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
        let matching = self.matching(held);
        let (mut open, mut passed) = (Vec::new(), vec![EVERYTHING]);
        self.first_match(Tier::Admin, &matching, &mut open, &mut passed);
        if self.isolated {
            let accepted = self.accepted(&matching);
            if open.is_empty() && passed == [EVERYTHING] {
                return accepted;
            }
            return union(&open, &intersection(&passed, &accepted));
        }
        self.first_match(Tier::Baseline, &matching, &mut open, &mut passed);
        union(&open, &passed)
    }

    /// Has the rules of a tier decide on `passed`: what they accept is open, what they deny is neither.
    fn first_match(&self, tier: Tier, matching: &[usize], open: &mut Vec<Range>, passed: &mut Vec<Range>) {
        let mut undecided = std::mem::take(passed);
        for rule in self.of_tier(tier, matching) {
            let hit = intersection(&undecided, &rule.ranges);
            undecided = difference(&undecided, &rule.ranges);
            match rule.action {
                Action::Accept => *open = union(open, &hit),
                Action::Deny => {}
                Action::Pass => *passed = union(passed, &hit),
            }
            if undecided.is_empty() {
                break;
            }
        }
        *passed = union(passed, &undecided);
    }

    /// What some rule of the tier NetworkPolicy accepts.
    fn accepted(&self, matching: &[usize]) -> Vec<Range> {
        let rules = self.of_tier(Tier::NetworkPolicy, matching);
        let mut accepted = rules.flat_map(|rule| rule.ranges.iter().copied()).collect();
        normalize(&mut accepted);
        union(&self.anybody, &accepted)
    }

    /// The places of the rules that match such a peer, in the order of their turns, without those of `anybody`.
    fn matching(&self, held: &[u32]) -> Vec<usize> {
        let mut matching = self.for_all.clone();
        for set in held {
            let from = self.by_set.partition_point(|(s, _)| s < set);
            let of_set = self.by_set[from..].iter().take_while(|(s, _)| s == set);
            matching.extend(of_set.map(|(_, place)| *place));
        }
        matching.sort_unstable();
        matching.dedup();
        matching
    }

    fn of_tier(&self, tier: Tier, matching: &[usize]) -> impl Iterator<Item = &CompactRule> {
        let rules = matching.iter().map(|place| self.rule(self.rules[*place]));
        rules
            .filter(move |(policy, _)| policy.policy.tier == tier)
            .map(|(_, rule)| rule)
    }

    fn rule(&self, (i, j): (usize, usize)) -> (&Rules, &CompactRule) {
        let policy = &*self.policies[i];
        (policy, &policy.rules[j])
    }

    fn rules(&self) -> impl Iterator<Item = (&Rules, &CompactRule)> {
        self.rules.iter().map(|place| self.rule(*place))
    }
}
