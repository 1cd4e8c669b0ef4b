//! Named ports of pods whose addresses lie in a block.

use std::collections::BTreeSet;
use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;

use super::endpoint::has_address;
use super::selection::PortName;
use crate::compile::index::Index;
use crate::model::{Id, Pod};

/// `ipBlock`, and a port's name that a rule asks the pods in it for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ask {
    pub(super) block: IpNet,
    pub(super) except: Vec<IpNet>,
    pub(super) port: PortName,
}

/// Which policies ask.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    by_port: HashMap<PortName, Vec<(Ask, BTreeSet<Id>)>>,
}

impl Ask {
    fn holds(&self, address: &IpAddr) -> bool {
        self.block.contains(address) && !self.except.iter().any(|except| except.contains(address))
    }

    /// The addresses in the block whose pods have such a port, and its number, sorted.
    pub(super) fn answer(&self, index: &Index) -> Vec<(IpAddr, u16)> {
        let (name, protocol) = &self.port;
        let mut found = BTreeSet::new();
        for (_, pod) in index.pods().filter(|(_, pod)| has_address(pod)) {
            if let Some(number) = pod.port(name, *protocol) {
                let inside = pod.addresses.iter().filter(|address| self.holds(address));
                found.extend(inside.map(|address| (*address, number)));
            }
        }
        found.into_iter().collect()
    }
}

impl Blocks {
    pub(super) fn watch(&mut self, ask: Ask, policy: &Id) {
        let asks = self.by_port.entry(ask.port.clone()).or_default();
        match asks.iter_mut().find(|(known, _)| *known == ask) {
            Some((_, watchers)) => {
                watchers.insert(policy.clone());
            }
            None => asks.push((ask, BTreeSet::from([policy.clone()]))),
        }
    }

    pub(super) fn unwatch(&mut self, ask: &Ask, policy: &Id) {
        let Some(asks) = self.by_port.get_mut(&ask.port) else {
            return;
        };
        if let Some((_, watchers)) = asks.iter_mut().find(|(known, _)| known == ask) {
            watchers.remove(policy);
        }
        asks.retain(|(_, watchers)| !watchers.is_empty());
        if asks.is_empty() {
            self.by_port.remove(&ask.port);
        }
    }

    /// The policies whose answers a pod is, or was, part of.
    pub(super) fn asking<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a Id> {
        let ports = pod
            .ports
            .iter()
            .filter(|_| has_address(pod) && !self.by_port.is_empty());
        let asks = ports.filter_map(|(name, protocol, _)| self.by_port.get(&(name.clone(), *protocol)));
        let holding = asks
            .flatten()
            .filter(|(ask, _)| pod.addresses.iter().any(|address| ask.holds(address)));
        holding.flat_map(|(_, watchers)| watchers)
    }
}

#[cfg(test)]
impl Blocks {
    pub(super) fn is_empty(&self) -> bool {
        self.by_port.is_empty()
    }
}
