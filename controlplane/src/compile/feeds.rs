//! Frontends and upstreams, filled with the endpoints of the Services that stand behind them.

use std::collections::{BTreeMap, BTreeSet};

use headgate_ring::message::Key;

use super::backends::{Fed, Filling, fill};
use super::ledger::Ledger;
use super::world::World;
use crate::few::FewSet;
use crate::model::ObjectName;
use crate::pack::pack;
use crate::problem::Problem;

#[derive(Debug, Default)]
pub(super) struct Feeds {
    fed: BTreeMap<ObjectName, FewSet<Fed>>,
    /// What is wrong with Services that feed them.
    problems: BTreeMap<ObjectName, Vec<Problem>>,
    /// Services that feed others now, or have others behind them.
    stale: BTreeSet<ObjectName>,
}

impl Feeds {
    /// A port of a Service feeds an object from now on.
    pub(super) fn add(&mut self, service: &ObjectName, port: usize, key: Key) {
        let fed = self.fed.entry(service.clone()).or_default();
        fed.insert(Fed { port, key });
        self.stale.insert(service.clone());
    }

    /// And no longer.
    pub(super) fn remove(&mut self, service: &ObjectName, port: usize, key: Key) {
        if let Some(fed) = self.fed.get_mut(service) {
            fed.remove(&Fed { port, key });
            if fed.is_empty() {
                self.fed.remove(service);
            }
            self.stale.insert(service.clone());
        }
    }

    /// These Services may have others behind them now.
    pub(super) fn changed(&mut self, services: impl IntoIterator<Item = ObjectName>) {
        self.stale.extend(services);
    }

    /// Whether this Service has changed, or may have others behind it now, since they were put last.
    pub(super) fn is_stale(&self, service: &ObjectName) -> bool {
        self.stale.contains(service)
    }

    /// Puts what the Services that changed feed. Gives how many objects that were.
    pub(super) fn settle(&mut self, world: &World<'_>, ledger: &mut Ledger<'_>) -> usize {
        let mut put = 0;
        for name in std::mem::take(&mut self.stale) {
            let service = world.model.service(&name);
            let (Some(service), Some(fed)) = (service, self.fed.get(&name)) else {
                self.problems.remove(&name);
                continue;
            };
            let Filling { objects, problems } = fill(world, &name, service, fed);
            put += objects.len();
            for object in objects {
                ledger.put(object);
            }
            if problems.is_empty() {
                self.problems.remove(&name);
            } else {
                self.problems.insert(name, problems);
            }
        }
        put
    }

    /// Makes it take no more room than what it keeps.
    pub(super) fn pack(&mut self) {
        pack(&mut self.fed);
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.values().flatten()
    }
}

#[cfg(test)]
impl Feeds {
    pub(super) fn is_empty(&self) -> bool {
        self.fed.is_empty() && self.problems.is_empty() && self.stale.is_empty()
    }
}
