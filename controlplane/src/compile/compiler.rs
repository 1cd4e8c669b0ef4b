//! Keeps a state equal to what the model compiles to, object by object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headgate_ring::message::{Group, Key, Object as RingObject};

use super::groups::{Groups, Refs, Uses};
use super::index::Index;
use super::ledger::{Ledger, Oversized};
use super::traffic::Traffic;
use super::world::{Slices, World};
use super::{Changes, Settings, State, Work, cluster_policies, policies};
use crate::model::{Id, Kind, Model, Object, ObjectName};
use crate::pack::pack;
use crate::problem::Problem;

/// Finds what a change of a model changes in the state, which its caller keeps.
///
/// What the state is after any changes is what it would be if the model had been compiled from nothing as it is now.
#[derive(Debug)]
pub struct Compiler {
    settings: Settings,
    index: Index,
    groups: Groups,
    /// By policy: what it has put, and what it holds on to.
    policies: BTreeMap<Id, (Vec<Key>, Refs)>,
    slices: Slices,
    traffic: Traffic,
    oversized: Oversized,
    work: Work,
}

impl Compiler {
    /// Of an empty model; the first update puts what is there without any object.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            index: Index::default(),
            groups: Groups::default(),
            policies: BTreeMap::new(),
            slices: Slices::default(),
            traffic: Traffic::default(),
            oversized: Oversized::new(),
            work: Work::default(),
        }
    }

    /// Whether an object is made use of: not an Ingress of somebody else's class, nor such a class whose Ingresses look like
    /// ours.
    #[must_use]
    pub fn serves(&self, id: &Id) -> bool {
        match id.kind {
            Kind::Ingress => self.traffic.serves(&id.name),
            Kind::IngressClass => !self.traffic.is_look_alike(&id.name.name),
            _ => true,
        }
    }

    /// Whether an object is a Service of type LoadBalancer that is ours, and clients reach it at the ingress addresses or at
    /// the one that it wants.
    #[must_use]
    pub fn balances(&self, id: &Id) -> bool {
        id.kind == Kind::Service && self.traffic.balances(&id.name)
    }

    /// The objects of which [`Self::serves`] or [`Self::balances`] may say something else than at the last call.
    pub fn take_reassigned(&mut self) -> BTreeSet<Id> {
        self.traffic.take_reassigned()
    }

    /// Takes in those objects of the model that have changed, came or went since the last call, and gives what that
    /// changes in `state`, to which the changes of all calls before must have been applied ([`apply`](super::apply)).
    /// `now` is in seconds since 1970, for the expiry of certificates.
    pub fn update(&mut self, state: &State, model: &Model, changed: &BTreeSet<Id>, now: i64) -> Changes {
        let mut oversized = std::mem::take(&mut self.oversized);
        let mut ledger = Ledger::new(state, &mut oversized);
        let mut policies = BTreeSet::new();
        let mut pods = BTreeSet::new();
        // Namespaces come first: pods are looked at once, in the namespaces as they are now.
        for id in changed {
            let object = model.get(id);
            match id.kind {
                Kind::Namespace => {
                    self.namespace(&id.name, object);
                    if !self.settings.ingresses.namespaces.is_everything() {
                        self.traffic.object_changed(id, object, &self.settings);
                    }
                }
                Kind::Pod => {
                    for change in self.index.set_pod(&id.name, object) {
                        self.groups.pod_changed(&change, &self.index);
                        self.traffic.pod_changed(&change);
                        pods.insert(change.name);
                    }
                }
                Kind::NetworkPolicy | Kind::ClusterNetworkPolicy => {
                    policies.insert(id.clone());
                }
                Kind::Node => self.groups.node_changed(&id.name, object),
                Kind::EndpointSlice => {
                    let services = self.slices.set(&id.name, object);
                    self.traffic.endpoints_changed(services);
                }
                Kind::Endpoints => {
                    let service = self.slices.set_mirrored(&id.name, object);
                    self.traffic.endpoints_changed(vec![service]);
                }
                Kind::ConfigMap if !self.settings.port_maps.contains(&id.name) => {}
                Kind::Service | Kind::IngressClass | Kind::Ingress | Kind::Secret | Kind::ConfigMap => {
                    self.traffic.object_changed(id, object, &self.settings);
                }
            }
        }
        policies.append(&mut self.groups.take_stale_policies());
        for id in policies {
            self.policy(id, model, &mut ledger);
        }
        self.put_groups(&mut ledger);
        self.put_endpoints(&pods, &mut ledger);
        let world = World {
            model,
            index: &self.index,
            slices: &self.slices,
            loopback: self.settings.loopback_endpoints,
        };
        self.work = self.traffic.update(&world, &self.settings, now, &mut ledger);
        let changes = ledger.into_changes();
        self.oversized = oversized;
        changes
    }

    /// Makes it take no more room than what it keeps.
    pub fn pack(&mut self) {
        pack(&mut self.policies);
        self.traffic.pack();
    }

    /// What was found wrong on the way to it, by kinds.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.traffic.problems();
        problems.extend(self.oversized.values().cloned());
        problems
    }

    /// How much of Services, routes and certificates the last update looked at.
    #[must_use]
    pub fn work(&self) -> Work {
        self.work
    }

    fn namespace(&mut self, name: &ObjectName, object: Option<&Arc<Object>>) {
        let labels = object.and_then(|object| match &**object {
            Object::Namespace(labels) => Some(labels),
            _ => None,
        });
        self.index.set_namespace(&name.name, labels);
        self.groups.namespace_changed(&name.name, &self.index);
    }

    fn policy(&mut self, id: Id, model: &Model, ledger: &mut Ledger<'_>) {
        let (keys, refs) = self.policies.remove(&id).unwrap_or_default();
        let mut uses = Uses::new(&mut self.groups, &self.index, &id, refs);
        let compiled = match model.get(&id).map(Arc::as_ref) {
            Some(Object::NetworkPolicy(policy)) => policies::compile(&id.name, policy, &mut uses),
            Some(Object::ClusterNetworkPolicy(policy)) => {
                cluster_policies::compile(&id.name, policy, &mut uses)
            }
            _ => Vec::new(),
        };
        let refs = uses.finish();
        let compiled: Vec<_> = compiled.into_iter().map(RingObject::Policy).collect();
        let now: Vec<Key> = compiled.iter().map(RingObject::key).collect();
        for key in keys.iter().filter(|key| !now.contains(key)) {
            ledger.delete(key);
        }
        compiled.into_iter().for_each(|policy| ledger.put(policy));
        if model.contains(&id) {
            self.policies.insert(id, (now, refs));
        }
    }

    fn put_groups(&mut self, ledger: &mut Ledger<'_>) {
        for (id, text) in self.groups.take_stale_groups() {
            match text {
                Some(text) => ledger.put(RingObject::Group(Group { id, text })),
                None => ledger.delete(&Key::Group(id)),
            }
        }
    }

    fn put_endpoints(&mut self, changed: &BTreeSet<Arc<ObjectName>>, ledger: &mut Ledger<'_>) {
        // Those that are there have been found stale by their groups.
        for name in changed.iter().filter(|name| self.index.pod_named(name).is_none()) {
            ledger.delete(&Key::Endpoint(name.to_string()));
        }
        for id in self.groups.take_stale_pods() {
            let Some((name, pod)) = self.index.pod(id) else {
                continue;
            };
            match self.groups.endpoint(id, name, pod) {
                Some(endpoint) => ledger.put(RingObject::Endpoint(endpoint)),
                None => ledger.delete(&Key::Endpoint(name.to_string())),
            }
        }
        for (name, endpoint) in self.groups.take_stale_nodes() {
            match endpoint {
                Some(endpoint) => ledger.put(RingObject::Endpoint(endpoint)),
                None => ledger.delete(&Key::Endpoint(name)),
            }
        }
    }
}

#[cfg(test)]
impl Compiler {
    /// Whether nothing of any object is left.
    pub(super) fn keeps_nothing(&self) -> bool {
        self.policies.is_empty()
            && self.index.is_empty()
            && self.groups.is_empty()
            && self.slices.is_empty()
            && self.traffic.is_empty()
            && self.oversized.is_empty()
    }
}
