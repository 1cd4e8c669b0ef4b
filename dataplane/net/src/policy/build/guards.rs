//! Guards and their cells.

use std::collections::HashMap;
use std::sync::Arc;

use headgate_ring::message::{Direction, Tier};

use super::change::Recompilation;
use super::policies::CompactRule;
use super::program::Program;
use super::{PolicyKey, TooLarge, enter, leave};
use crate::hash::Keyed;
use crate::policy::compiled::{Guard, REGION, REGIONS, cell_key};
use crate::policy::ports::PortsId;

/// Bytes for each set in the list of a guard or region, which stands in that of the set in turn.
pub(super) const LISTED: usize = 2 * size_of::<u32>();

/// The policies of one direction that select an identity, by the guard's number; 0 is none.
#[derive(Debug)]
pub(super) struct GuardInfo {
    /// Whose guard it is, sorted.
    pub(super) identities: Vec<u32>,
    /// The sets that its rules name, sorted. Each has it as a user.
    sets: Vec<u32>,
    /// The columns of its cells, sorted.
    cells: Vec<u32>,
    /// What classes are to hold; it uses the ports in it.
    pub(super) record: Guard,
    /// It is in [`Recompilation::dirty`].
    dirty: bool,
}

impl Default for GuardInfo {
    fn default() -> Self {
        Self {
            identities: Vec::new(),
            sets: Vec::new(),
            cells: Vec::new(),
            record: Guard::OPEN,
            dirty: false,
        }
    }
}

impl Recompilation<'_> {
    /// Has the cells of a guard computed anew.
    pub(super) fn mark(&mut self, guard: u32) {
        let info = &mut self.model.guard_info[guard as usize];
        if guard != 0 && !info.dirty {
            info.dirty = true;
            self.dirty.push(guard);
        }
    }

    /// Has the guards of all addresses in a group computed anew.
    pub(super) fn mark_subjects(&mut self, side: usize, group: u32) {
        for i in 0..self.model.group_info[group as usize].identities.len() {
            let identity = self.model.group_info[group as usize].identities[i];
            self.mark(self.model.identity_info[identity as usize].guards[side]);
        }
    }

    /// Gives guards that do not change cells for classes and regions that are new.
    pub(super) fn extend_guards(&mut self) -> Result<(), TooLarge> {
        let mut cells: Vec<(u32, u32)> = Vec::new();
        let model = &*self.model;
        let mut users = |set: &u32, column: u32| {
            let users = model.set_info[*set as usize].users.iter();
            let clean = users.filter(|guard| !model.guard_info[**guard as usize].dirty);
            cells.extend(clean.map(|guard| (*guard, column)));
        };
        for class in self
            .fresh_classes
            .iter()
            .filter(|class| model.classes.is_used(**class))
        {
            let sets = &model.class_info[*class as usize].narrow;
            sets.iter().for_each(|set| users(set, *class));
        }
        for region in self
            .fresh_regions
            .iter()
            .filter(|region| model.regions.is_used(**region))
        {
            let sets = model.regions.key(*region);
            sets.iter().for_each(|set| users(set, REGION | *region));
        }
        cells.sort_unstable();
        cells.dedup();
        for of_guard in cells.chunk_by(|a, b| a.0 == b.0) {
            let columns: Vec<u32> = of_guard.iter().map(|(_, column)| *column).collect();
            let guard = of_guard[0].0;
            let program = self.program(guard);
            self.fill(guard, &program, &columns)?;
        }
        Ok(())
    }

    /// Computes the guards anew that are marked.
    pub(super) fn rebuild_guards(&mut self) -> Result<(), TooLarge> {
        for guard in std::mem::take(&mut self.dirty) {
            self.model.guard_info[guard as usize].dirty = false;
            if self.model.guards.is_used(guard) {
                self.rebuild(guard)?;
            }
        }
        Ok(())
    }

    fn rebuild(&mut self, guard: u32) -> Result<(), TooLarge> {
        self.clear(guard);
        let program = self.program(guard);
        let sets = program.sets();
        let mut columns = Vec::new();
        let mut regions = 0;
        for set in &sets {
            let info = &mut self.model.set_info[*set as usize];
            enter(&mut info.users, guard);
            self.model.listed_sets += 1;
            columns.extend(&info.members);
            columns.extend(info.regions.iter().map(|region| REGION | *region));
            regions |= if info.wide { REGIONS } else { 0 };
        }
        columns.sort_unstable();
        columns.dedup();
        self.model.guard_info[guard as usize].sets = sets;
        self.fill(guard, &program, &columns)?;
        let default = program.ports(&[]);
        let record = Guard {
            number: guard | regions,
            default: self.model.lines.acquire(&default, &mut self.out.lines),
            denier: program.denier(),
        };
        self.out
            .guards
            .put(guard as usize, program.places(), &Arc::default());
        let info = &mut self.model.guard_info[guard as usize];
        let old = std::mem::replace(&mut info.record, record);
        self.model.lines.release(old.default, &self.out.lines);
        if old != record {
            for identity in &info.identities {
                self.stale
                    .extend(&self.model.identity_info[*identity as usize].classes);
            }
        }
        Ok(())
    }

    /// Takes guards out that select nothing any more.
    pub(super) fn sweep_guards(&mut self) {
        for (guard, _) in self.model.guards.take_orphans() {
            self.clear(guard);
            let info = std::mem::take(&mut self.model.guard_info[guard as usize]);
            self.model.lines.release(info.record.default, &self.out.lines);
            self.out
                .guards
                .put(guard as usize, Arc::default(), &Arc::default());
            self.model.guards.free(guard);
        }
    }

    /// Takes a cell out, if it is there.
    pub(super) fn remove_cell(&mut self, guard: u32, column: u32) {
        let ports = self.out.cells.remove(cell_key(guard, column));
        if ports != 0 {
            self.model.lines.release(ports, &self.out.lines);
            leave(&mut self.model.guard_info[guard as usize].cells, column);
        }
    }

    /// Takes all cells out, and the guard out of its sets.
    fn clear(&mut self, guard: u32) {
        let info = &mut self.model.guard_info[guard as usize];
        for column in std::mem::take(&mut info.cells) {
            let ports = self.out.cells.remove(cell_key(guard, column));
            self.model.lines.release(ports, &self.out.lines);
        }
        for set in std::mem::take(&mut info.sets) {
            leave(&mut self.model.set_info[set as usize].users, guard);
            self.model.listed_sets -= 1;
        }
    }

    fn program(&self, guard: u32) -> Program {
        let (side, groups) = self.model.guards.key(guard);
        let policies = groups
            .iter()
            .flat_map(|group| &self.model.group_info[*group as usize].policies[*side]);
        let rules = policies.filter_map(|place| self.model.rules[*place as usize].clone());
        Program::new(rules.collect(), groups)
    }

    /// Computes the cells of sorted columns that have none, and keeps those that differ from what holds without.
    fn fill(&mut self, guard: u32, program: &Program, columns: &[u32]) -> Result<(), TooLarge> {
        let mut known = Known::default();
        let mut added = Vec::with_capacity(columns.len());
        let sets = std::mem::take(&mut self.model.guard_info[guard as usize].sets);
        let (mut held, mut without) = (Vec::new(), Vec::new());
        for column in columns {
            held.clear();
            without.clear();
            if column & REGION == 0 {
                let info = &self.model.class_info[*column as usize];
                held.extend(common(&info.narrow, &sets));
                without.extend(common(self.model.regions.key(info.region), &sets));
                held.extend(&without);
                held.sort_unstable();
            } else {
                held.extend(common(self.model.regions.key(column ^ REGION), &sets));
            }
            let ports = self.known(&mut known, program, &held);
            if ports != self.known(&mut known, program, &without) {
                self.model.lines.retain(ports);
                self.out.cells.insert(cell_key(guard, *column), ports);
                added.push(*column);
            }
        }
        for ports in known.into_values() {
            self.model.lines.release(ports, &self.out.lines);
        }
        let info = &mut self.model.guard_info[guard as usize];
        info.sets = sets;
        info.cells.extend(added);
        info.cells.sort_unstable();
        self.bound()
    }

    /// The ports for peers in these sets; those in `known` are used once by it.
    fn known(&mut self, known: &mut Known, program: &Program, held: &[u32]) -> PortsId {
        if let Some(ports) = known.get(held) {
            return *ports;
        }
        let ports = self
            .model
            .lines
            .acquire(&program.ports(held), &mut self.out.lines);
        known.insert(held.into(), ports);
        ports
    }

    /// Ends the change where there is no room for what it makes.
    pub(super) fn bound(&self) -> Result<(), TooLarge> {
        let listed = (self.model.listed_sets + self.model.listed_regions) * LISTED;
        if self.out.verdicts_bytes().saturating_add(listed) <= self.limits.bytes {
            return Ok(());
        }
        Err(TooLarge {
            policy: self.heaviest(),
            limit: self.limits.bytes,
        })
    }

    /// Who is to give way where there is no room: the policy that takes most. That is a NetworkPolicy where there is one: what
    /// somebody writes in a namespace must not cost the cluster its own policies.
    fn heaviest(&self) -> PolicyKey {
        let model = &*self.model;
        let mut guards = vec![0; model.rules.len()];
        for guard in (1..).take(model.guard_info.len() - 1) {
            if model.guards.is_used(guard) {
                let (side, groups) = model.guards.key(guard);
                let of_group = |group: &u32| &model.group_info[*group as usize].policies[*side];
                groups
                    .iter()
                    .flat_map(of_group)
                    .for_each(|place| guards[*place as usize] += 1);
            }
        }
        let weight = |rule: &CompactRule| {
            let info = |set: &u32| &model.set_info[*set as usize];
            let sets = rule.sets.iter().flat_map(|sets| sets.iter().map(info));
            let columns: usize = sets.map(|set| set.members.len() + set.regions.len()).sum();
            (1 + columns) * (1 + rule.ranges.len())
        };
        let heaviest = model.rules.iter().flatten().max_by_key(|rules| {
            let weights: usize = rules.rules.iter().map(weight).sum();
            let guards: usize = guards[rules.place as usize];
            (rules.policy.tier == Tier::NetworkPolicy, weights * guards)
        });
        heaviest.map_or_else(
            || (String::new(), Direction::Ingress),
            |rules| (rules.policy.name.clone(), rules.policy.direction),
        )
    }
}

type Known = HashMap<Box<[u32]>, PortsId, Keyed>;

/// What is in both sorted lists; `few` may be the longer one if it must.
fn common<'a>(few: &'a [u32], many: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    let (few, many) = if few.len() <= many.len() {
        (few, many)
    } else {
        (many, few)
    };
    few.iter().filter(|set| many.binary_search(set).is_ok()).copied()
}
