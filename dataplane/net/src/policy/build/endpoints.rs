//! From endpoints to classes: groups, identities, hosts.

use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{Endpoint, GroupId};

use super::change::Recompilation;
use super::guards::GuardInfo;
use super::{drop_from, enter, leave, slot};

/// A group, by its number.
#[derive(Debug, Default)]
pub(super) struct GroupInfo {
    /// Those that it is part of.
    pub(super) identities: Vec<u32>,
    /// The set of peers that it is, plus 1.
    pub(super) set: u32,
    /// By side, the policies whose subjects it is.
    pub(super) policies: [Vec<u32>; 2],
    /// By side, how often policies name it as subjects or in `only`.
    pub(super) relevant: [u32; 2],
}

/// A combination of groups, by its number; 0 is none.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// By side.
    pub(super) guards: [u32; 2],
    /// Unsorted; not kept for the number 0.
    pub(super) classes: Vec<u32>,
}

/// A class, by its number.
#[derive(Debug, Default)]
pub(super) struct ClassInfo {
    /// The sets that hold it and are not wide, sorted.
    pub(super) narrow: Vec<u32>,
    /// The combination of the wide ones.
    pub(super) region: u32,
}

impl Recompilation<'_> {
    /// The group's number, with a user more.
    pub(super) fn acquire_group(&mut self, id: GroupId) -> u32 {
        let (group, new) = self.model.groups.acquire(id);
        if new {
            *slot(&mut self.model.group_info, group) = GroupInfo::default();
        }
        group
    }

    /// Takes note of endpoints, and of the addresses where something changed for policies.
    pub(super) fn change_endpoints(&mut self, changes: Vec<(String, Option<Arc<Endpoint>>)>) {
        for (name, endpoint) in changes {
            let place = match &endpoint {
                Some(_) => self.model.endpoint_places.of(name),
                None => self.model.endpoint_places.remove(&name).ok_or(u32::MAX),
            };
            let old = match place {
                Ok(place) => self.out.endpoints[place as usize].clone(),
                Err(u32::MAX) => continue,
                Err(_) => None,
            };
            let (Ok(place) | Err(place)) = place;
            let addresses =
                |e: &Option<Arc<Endpoint>>| e.as_ref().map_or(Vec::new(), |e| e.addresses.clone());
            let same = matches!((&old, &endpoint), (Some(a), Some(b)) if a.addresses == b.addresses);
            if !same {
                addresses(&old)
                    .into_iter()
                    .for_each(|a| self.out.owners.take(a, place));
                addresses(&endpoint)
                    .into_iter()
                    .for_each(|a| self.out.owners.add(a, place));
            }
            let hosts = |e: &Option<Arc<Endpoint>>| e.as_ref().map_or(Vec::new(), |e| e.hosts.clone());
            let (before, after) = (hosts(&old), hosts(&endpoint));
            if before != after {
                before
                    .into_iter()
                    .for_each(|node| self.out.nodes.recount(node, |count| count - 1));
                after
                    .into_iter()
                    .for_each(|node| self.out.nodes.recount(node, |count| count + 1));
            }
            // Labels and ports are for people only.
            if !same || !matches!((&old, &endpoint), (Some(a), Some(b)) if a.groups == b.groups) {
                self.touched.extend(addresses(&old));
                self.touched.extend(addresses(&endpoint));
            }
            self.out.endpoints.put(place as usize, endpoint, &None);
        }
    }

    /// Gives every address touched the class that it should have now.
    pub(super) fn settle_hosts(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for address in touched {
            let class = self.class_at(address);
            let old = match class {
                0 => self.model.hosts.remove(&address),
                _ => self.model.hosts.insert(address, class),
            };
            self.out.hosts.set(address, class);
            if let Some(old) = old {
                self.model.classes.release(old);
            }
        }
    }

    /// The class of an address, with a user more; 0 if no endpoint has it.
    fn class_at(&mut self, address: IpAddr) -> u32 {
        let mut ids: Vec<GroupId> = Vec::new();
        let mut owned = false;
        for endpoint in self.out.endpoints_at(address) {
            owned = true;
            ids.extend(&endpoint.groups);
        }
        if !owned {
            return 0;
        }
        let identity = self.acquire_identity(&ids);
        let class = self.acquire_class(identity, self.model.trie.of_address(address));
        self.model.identities.release(identity);
        class
    }

    fn acquire_identity(&mut self, ids: &[GroupId]) -> u32 {
        let mut groups: Vec<u32> = ids.iter().map(|id| self.acquire_group(*id)).collect();
        groups.sort_unstable();
        groups.dedup_by(|a, b| {
            let same = a == b;
            if same {
                self.model.groups.release(*a);
            }
            same
        });
        let groups: Arc<[u32]> = groups.into();
        let (identity, new) = self.model.identities.acquire(Arc::clone(&groups));
        if new {
            for group in groups.iter() {
                self.model.group_info[*group as usize].identities.push(identity);
            }
            let guards = [0, 1].map(|side| self.acquire_guard(side, identity, &groups));
            *slot(&mut self.model.identity_info, identity) = Identity {
                guards,
                classes: Vec::new(),
            };
        } else {
            groups.iter().for_each(|group| self.model.groups.release(*group));
        }
        identity
    }

    /// The class of an identity's addresses in a node, with a user more.
    pub(super) fn acquire_class(&mut self, identity: u32, node: u32) -> u32 {
        let (class, new) = self.model.classes.acquire((identity, node));
        if new {
            self.model.identities.retain(identity);
            if identity != 0 {
                self.model.identity_info[identity as usize].classes.push(class);
            }
            self.model.trie.node_mut(node).classes.push(class);
            *slot(&mut self.model.class_info, class) = ClassInfo::default();
            self.join_sets(class, identity, node);
            self.stale.push(class);
            self.fresh_classes.push(class);
        }
        class
    }

    /// Takes classes out that have no address any more.
    pub(super) fn sweep_classes(&mut self) {
        for (class, (identity, node)) in self.model.classes.take_orphans() {
            self.leave_sets(class);
            if identity != 0 {
                drop_from(&mut self.model.identity_info[identity as usize].classes, class);
            }
            drop_from(&mut self.model.trie.node_mut(node).classes, class);
            self.model.identities.release(identity);
            self.model.classes.free(class);
        }
    }

    /// Takes identities out that have no class any more.
    pub(super) fn sweep_identities(&mut self) {
        for (identity, groups) in self.model.identities.take_orphans() {
            let guards = std::mem::take(&mut self.model.identity_info[identity as usize]).guards;
            for guard in guards {
                leave(&mut self.model.guard_info[guard as usize].identities, identity);
                self.model.guards.release(guard);
            }
            for group in groups.iter() {
                drop_from(&mut self.model.group_info[*group as usize].identities, identity);
                self.model.groups.release(*group);
            }
            self.model.identities.free(identity);
        }
    }

    /// Gives identities other guards where groups began or ceased to matter to policies.
    pub(super) fn rekey(&mut self) {
        let mut identities: Vec<(usize, u32)> = Vec::new();
        for (side, group) in std::mem::take(&mut self.rekeyed) {
            // A group that only policies knew, and none does any more, has no identities.
            let of_group = &self.model.group_info[group as usize].identities;
            identities.extend(of_group.iter().map(|identity| (side, *identity)));
        }
        identities.sort_unstable();
        identities.dedup();
        for (side, identity) in identities {
            if !self.model.identities.is_used(identity) {
                continue;
            }
            let groups = Arc::clone(self.model.identities.key(identity));
            let guard = self.acquire_guard(side, identity, &groups);
            let info = &mut self.model.identity_info[identity as usize];
            let old = std::mem::replace(&mut info.guards[side], guard);
            self.model.guards.release(old);
            if old != guard {
                self.stale.extend(&info.classes);
                leave(&mut self.model.guard_info[old as usize].identities, identity);
            }
        }
    }

    fn acquire_guard(&mut self, side: usize, identity: u32, groups: &[u32]) -> u32 {
        let relevant = |group: &&u32| self.model.group_info[**group as usize].relevant[side] != 0;
        let groups: Arc<[u32]> = groups.iter().filter(relevant).copied().collect();
        // Guard 0 opens everything, whatever the side.
        let side = if groups.is_empty() { 0 } else { side };
        let (guard, new) = self.model.guards.acquire((side, groups));
        if new {
            *slot(&mut self.model.guard_info, guard) = GuardInfo::default();
            self.model.lines.retain(GuardInfo::default().record.default);
            self.mark(guard);
        }
        if guard != 0 {
            enter(&mut self.model.guard_info[guard as usize].identities, identity);
        }
        guard
    }
}
