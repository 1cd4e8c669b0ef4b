//! Policies, as far as the tables care: groups and sets by number, ports as ranges.

use std::sync::Arc;

use headgate_ring::message::{Action, Group, GroupId, Policy, PolicyRule, PortRange, Tier};

use super::change::Recompilation;
use super::{PolicyKey, drop_from, slot};
use crate::policy::compiled::side;
use crate::policy::ports::{EVERYTHING, port_key};
use crate::policy::ranges::{Range, normalize};

/// What a policy says.
#[derive(Debug)]
pub(super) struct Rules {
    /// The place of the policy.
    pub(super) place: u32,
    pub(super) policy: Arc<Policy>,
    pub(super) subjects: u32,
    pub(super) rules: Vec<CompactRule>,
}

#[derive(Debug)]
pub(super) struct CompactRule {
    pub(super) only: Option<u32>,
    pub(super) action: Action,
    /// `None` for any peer.
    pub(super) sets: Option<Box<[u32]>>,
    pub(super) ranges: Box<[Range]>,
}

impl Rules {
    /// The order of turns.
    pub(super) fn turn(&self) -> (Tier, u16, &str) {
        (self.policy.tier, self.policy.priority, &self.policy.name)
    }

    fn groups(&self) -> impl Iterator<Item = u32> {
        let only = self.rules.iter().filter_map(|rule| rule.only);
        only.chain([self.subjects])
    }
}

impl Recompilation<'_> {
    /// Takes note of what groups are called.
    pub(super) fn name_groups(&mut self, changes: Vec<(GroupId, Option<Arc<Group>>)>) {
        for (id, group) in changes {
            let place = if group.is_some() {
                let (Ok(place) | Err(place)) = self.model.group_places.of(id);
                self.out.group_places.insert(id.0, place + 1);
                place
            } else {
                self.out.group_places.remove(id.0);
                let Some(place) = self.model.group_places.remove(&id) else {
                    continue;
                };
                place
            };
            self.out.groups.put(place as usize, group, &None);
        }
    }

    /// Exchanges policies, the new ones before the old ones, so that what both name stays.
    pub(super) fn change_policies(&mut self, changes: Vec<(PolicyKey, Option<Arc<Policy>>)>) {
        let mut old = Vec::new();
        for (key, policy) in changes {
            let place = match &policy {
                Some(_) => self.model.policy_places.of(key),
                None => self.model.policy_places.remove(&key).ok_or(0),
            };
            if let Ok(place) = place {
                old.extend(self.model.rules[place as usize].take());
            }
            if let Some(policy) = policy {
                let (Ok(place) | Err(place)) = place;
                let rules = self.compact(place, &policy);
                self.enlist(&rules);
                *slot(&mut self.model.rules, place) = Some(Arc::new(rules));
                self.out.policies.put(place as usize, Some(policy), &None);
            } else if let Ok(place) = place {
                self.out.policies.put(place as usize, None, &None);
            }
        }
        old.iter().for_each(|rules| self.discharge(rules));
    }

    fn compact(&mut self, place: u32, policy: &Arc<Policy>) -> Rules {
        Rules {
            place,
            policy: Arc::clone(policy),
            subjects: self.acquire_group(policy.subjects),
            rules: policy.rules.iter().map(|rule| self.compact_rule(rule)).collect(),
        }
    }

    fn compact_rule(&mut self, rule: &PolicyRule) -> CompactRule {
        let sets = rule.peers.as_ref().map(|peers| {
            let mut sets: Vec<u32> = peers.iter().map(|peer| self.acquire_set(peer)).collect();
            sets.sort_unstable();
            sets.into()
        });
        CompactRule {
            only: rule.only.map(|group| self.acquire_group(group)),
            action: rule.action,
            sets,
            ranges: ranges(rule.ports.as_deref()).into(),
        }
    }

    /// Puts a policy in force.
    fn enlist(&mut self, rules: &Rules) {
        let side = side(rules.policy.direction);
        for group in rules.groups() {
            let relevant = &mut self.model.group_info[group as usize].relevant[side];
            *relevant += 1;
            if *relevant == 1 {
                self.rekeyed.insert((side, group));
            }
        }
        self.model.group_info[rules.subjects as usize].policies[side].push(rules.place);
        self.mark_subjects(side, rules.subjects);
    }

    /// Takes a policy out of force. Its place may already be that of its successor.
    fn discharge(&mut self, rules: &Rules) {
        let side = side(rules.policy.direction);
        drop_from(
            &mut self.model.group_info[rules.subjects as usize].policies[side],
            rules.place,
        );
        self.mark_subjects(side, rules.subjects);
        for group in rules.groups() {
            let relevant = &mut self.model.group_info[group as usize].relevant[side];
            *relevant -= 1;
            if *relevant == 0 {
                self.rekeyed.insert((side, group));
            }
            self.model.groups.release(group);
        }
        let sets = rules.rules.iter().filter_map(|rule| rule.sets.as_ref());
        for set in sets.flatten() {
            self.model.sets.release(*set);
        }
    }
}

fn ranges(ports: Option<&[PortRange]>) -> Vec<Range> {
    let Some(ports) = ports else {
        return vec![EVERYTHING];
    };
    let keys = |range: &PortRange| {
        let protocol = range.protocol.number();
        (port_key(protocol, range.first), port_key(protocol, range.last))
    };
    let mut ranges = ports.iter().map(keys).collect();
    normalize(&mut ranges);
    ranges
}
