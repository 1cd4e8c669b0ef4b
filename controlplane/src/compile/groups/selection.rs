//! What one selector selects in one scope, and which of its pods have which named port.

use std::collections::{BTreeMap, BTreeSet};

use headgate_ring::message::{GroupId, Protocol};

use crate::compile::slab::Slot;
use crate::model::{Id, Pod, Selector};

/// A named port of a protocol.
pub(super) type PortName = (String, Protocol);

/// A number that a named port has at a pod of a selection.
pub(super) type Number = (Slot, PortName, u16);

#[derive(Debug)]
pub(super) struct Selection {
    pub(super) scope: Slot,
    pub(super) pods: Selector,
    /// What names the group of all its pods.
    pub(super) id: GroupId,
    /// Whether that group is in use.
    pub(super) in_use: bool,
    pub(super) named: BTreeMap<PortName, NamedPort>,
    /// How many groups and policies hold on to it.
    pub(super) holders: usize,
}

/// A named port that policies ask for, at the pods of a selection.
#[derive(Debug, Default)]
pub(super) struct NamedPort {
    /// How many of the pods have which number.
    pub(super) numbers: BTreeMap<u16, usize>,
    /// The groups in use of the pods of a number.
    pub(super) groups: BTreeMap<u16, GroupId>,
    /// The policies that have to be compiled again when the port gets or loses a number.
    pub(super) watchers: BTreeSet<Id>,
}

impl Selection {
    /// The groups in use that a pod of the selection is in.
    pub(super) fn groups_of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = GroupId> + 'a {
        let numbered = self.named.iter().filter_map(|((name, protocol), port)| {
            let number = pod.port(name, *protocol)?;
            port.groups.get(&number).copied()
        });
        self.in_use.then_some(self.id).into_iter().chain(numbered)
    }

    /// The numbers that its named ports have at a pod of it; `slot` is its own.
    pub(super) fn numbers_at<'a>(&'a self, slot: Slot, pod: &'a Pod) -> impl Iterator<Item = Number> + 'a {
        self.named.keys().filter_map(move |port| {
            let (name, protocol) = port;
            Some((slot, port.clone(), pod.port(name, *protocol)?))
        })
    }
}

impl NamedPort {
    /// One more pod has this number. Says whether it is the first.
    pub(super) fn gains(&mut self, number: u16) -> bool {
        let count = self.numbers.entry(number).or_default();
        *count += 1;
        *count == 1
    }

    /// One pod less has this number. Says whether it was the last.
    pub(super) fn loses(&mut self, number: u16) -> bool {
        let Some(count) = self.numbers.get_mut(&number) else {
            return false;
        };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        self.numbers.remove(&number);
        true
    }

    pub(super) fn is_idle(&self) -> bool {
        self.groups.is_empty() && self.watchers.is_empty()
    }
}
