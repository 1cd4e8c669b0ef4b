//! What a policy names while it is compiled, and holds on to until it is compiled again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use headgate_ring::message::{GroupId, Protocol};
use ipnet::IpNet;

use super::blocks::Ask;
use super::selection::{NamedPort, PortName};
use super::{Definition, Groups, Members, Use, definition};
use crate::compile::index::Index;
use crate::compile::slab::Slot;
use crate::few::FewSet;
use crate::model::{Id, Selector};

/// What a compiled policy holds on to.
#[derive(Debug, Default)]
pub(in crate::compile) struct Refs {
    groups: FewSet<GroupId>,
    ports: FewSet<(Slot, PortName)>,
    asks: FewSet<Ask>,
}

/// The groups as a policy sees them that is being compiled.
pub(in crate::compile) struct Uses<'a> {
    groups: &'a mut Groups,
    index: &'a Index,
    policy: &'a Id,
    /// What the policy held before.
    old: Refs,
    new: Refs,
}

impl<'a> Uses<'a> {
    /// For a policy that holds `old`.
    pub(in crate::compile) fn new(
        groups: &'a mut Groups,
        index: &'a Index,
        policy: &'a Id,
        old: Refs,
    ) -> Self {
        Self {
            groups,
            index,
            policy,
            old,
            new: Refs::default(),
        }
    }

    /// Lets go of what the policy has not named any more.
    pub(in crate::compile) fn finish(self) -> Refs {
        let Self {
            groups,
            index,
            policy,
            old,
            new,
        } = self;
        for id in old.groups.difference(&new.groups) {
            groups.drop_use(*id, index);
        }
        for (slot, port) in old.ports.difference(&new.ports) {
            groups.unwatch(*slot, port, policy, index);
        }
        for ask in old.asks.difference(&new.asks) {
            groups.blocks.unwatch(ask, policy);
        }
        new
    }

    /// The name of a group of pods, which from now on is in use.
    pub(in crate::compile) fn id(&mut self, definition: Definition<'_>) -> GroupId {
        let slot = self.groups.selection(&definition, self.index);
        let id = match definition.port {
            None => self.groups.selections.get(slot).map(|s| s.id),
            Some(_) => None,
        };
        let id = id.unwrap_or_else(|| definition.id());
        if self.new.groups.insert(id) && !self.old.groups.contains(&id) {
            let members = match definition.port {
                None => Members::Pods(slot),
                Some((name, protocol, number)) => {
                    Members::Numbered(slot, (name.to_owned(), protocol), number)
                }
            };
            self.groups.add_use(id, members, self.index);
        }
        id
    }

    /// The name of the group of nodes with such labels, which from now on is in use.
    pub(in crate::compile) fn nodes(&mut self, labels: &Selector) -> GroupId {
        let id = definition::nodes_id(labels);
        if self.new.groups.insert(id) && !self.old.groups.contains(&id) {
            self.groups.nodes.use_group(id, labels);
            self.groups.add_use(id, Members::Nodes, self.index);
        }
        id
    }

    /// The numbers of a named port at the pods of a definition, its own port aside. The policy is compiled again
    /// when they change.
    pub(in crate::compile) fn numbers(
        &mut self,
        definition: Definition<'_>,
        name: &str,
        protocol: Protocol,
    ) -> BTreeSet<u16> {
        let slot = self.groups.selection(&definition, self.index);
        let port = (slot, (name.to_owned(), protocol));
        if !self.new.ports.contains(&port) {
            if !self.old.ports.contains(&port) {
                self.groups.watch(slot, &port.1, self.policy, self.index);
            }
            self.new.ports.insert(port.clone());
        }
        let selection = self.groups.selections.get(slot);
        let named = selection.and_then(|s| s.named.get(&port.1));
        named.map_or_else(BTreeSet::new, |named| named.numbers.keys().copied().collect())
    }

    /// The addresses in a block whose pods have such a port, and its number, sorted. The policy is compiled again
    /// when they change.
    pub(in crate::compile) fn in_block(
        &mut self,
        block: IpNet,
        except: &[IpNet],
        name: &str,
        protocol: Protocol,
    ) -> Vec<(IpAddr, u16)> {
        let ask = Ask {
            block,
            except: except.to_vec(),
            port: (name.to_owned(), protocol),
        };
        let answer = ask.answer(self.index);
        if self.new.asks.insert(ask.clone()) && !self.old.asks.contains(&ask) {
            self.groups.blocks.watch(ask, self.policy);
        }
        answer
    }
}

impl Groups {
    /// One policy more names a group.
    fn add_use(&mut self, id: GroupId, members: Members, index: &Index) {
        if let Some(known) = self.in_use.get_mut(&id) {
            known.policies += 1;
            return;
        }
        self.stale.groups.insert(id);
        match &members {
            Members::Nodes => {}
            Members::Pods(slot) => {
                self.hold(*slot);
                if let Some(selection) = self.selections.get_mut(*slot) {
                    selection.in_use = true;
                }
            }
            Members::Numbered(slot, port, number) => {
                self.hold(*slot);
                if let Some(named) = self.named(*slot, port, index) {
                    named.groups.insert(*number, id);
                }
            }
        }
        self.members_are_stale(&members, index);
        let policies = 1;
        self.in_use.insert(id, Use { policies, members });
    }

    /// One less; a group goes with the last one.
    fn drop_use(&mut self, id: GroupId, index: &Index) {
        let Some(known) = self.in_use.get_mut(&id) else {
            return;
        };
        known.policies -= 1;
        if known.policies > 0 {
            return;
        }
        let Some(Use { members, .. }) = self.in_use.remove(&id) else {
            return;
        };
        self.stale.groups.insert(id);
        self.members_are_stale(&members, index);
        match members {
            Members::Nodes => self.nodes.drop_group(id),
            Members::Pods(slot) => {
                if let Some(selection) = self.selections.get_mut(slot) {
                    selection.in_use = false;
                }
                self.let_go(slot, index);
            }
            Members::Numbered(slot, port, number) => {
                if let Some(named) = self.selections.get_mut(slot).and_then(|s| s.named.get_mut(&port)) {
                    named.groups.remove(&number);
                }
                self.forget_if_idle(slot, &port);
                self.let_go(slot, index);
            }
        }
    }

    fn members_are_stale(&mut self, members: &Members, index: &Index) {
        let (slot, port) = match members {
            Members::Nodes => return,
            Members::Pods(slot) => (*slot, None),
            Members::Numbered(slot, port, number) => (*slot, Some((port, *number))),
        };
        for id in self.members(slot, index).iter() {
            let resolves = |((name, protocol), number): (&PortName, u16)| {
                let pod = index.pod(*id).map(|(_, pod)| pod);
                pod.is_some_and(|pod| pod.port(name, *protocol) == Some(number))
            };
            if port.is_none_or(resolves) {
                self.stale.pods.insert(*id);
            }
        }
    }

    /// A named port of a selection, counted where nobody has asked for it before.
    fn named(&mut self, slot: Slot, port: &PortName, index: &Index) -> Option<&mut NamedPort> {
        if !self.selections.get(slot)?.named.contains_key(port) {
            let mut named = NamedPort::default();
            let (name, protocol) = port;
            for id in self.members(slot, index).iter() {
                let pod = index.pod(*id).map(|(_, pod)| pod);
                if let Some(number) = pod.and_then(|pod| pod.port(name, *protocol)) {
                    named.gains(number);
                }
            }
            let ports = &mut self.selections.get_mut(slot)?.named;
            ports.insert(port.clone(), named);
        }
        self.selections.get_mut(slot)?.named.get_mut(port)
    }

    fn watch(&mut self, slot: Slot, port: &PortName, policy: &Id, index: &Index) {
        self.hold(slot);
        if let Some(named) = self.named(slot, port, index) {
            named.watchers.insert(policy.clone());
        }
    }

    fn unwatch(&mut self, slot: Slot, port: &PortName, policy: &Id, index: &Index) {
        if let Some(named) = self.selections.get_mut(slot).and_then(|s| s.named.get_mut(port)) {
            named.watchers.remove(policy);
        }
        self.forget_if_idle(slot, port);
        self.let_go(slot, index);
    }

    fn forget_if_idle(&mut self, slot: Slot, port: &PortName) {
        if let Some(selection) = self.selections.get_mut(slot)
            && selection.named.get(port).is_some_and(NamedPort::is_idle)
        {
            selection.named.remove(port);
        }
    }
}
