//! Kubernetes objects as checked types: what is not here does not matter for traffic, what is here holds.

pub mod address;
pub mod cluster_policy;
pub mod config_map;
pub mod endpoints;
pub mod ingress;
pub mod invalid;
mod labels;
pub mod name;
pub mod node;
pub mod parse;
pub mod pod;
pub mod policy;
mod retention;
pub mod secret;
pub mod selector;
pub mod service;
mod shared_text;
pub mod sieve;
pub mod slice;
#[cfg(test)]
mod tests;
mod typed;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::pack::pack;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

pub use cluster_policy::ClusterPolicy;
pub use config_map::ConfigMap;
pub use endpoints::Mirrored;
pub use ingress::{Ingress, IngressClass};
pub use labels::Labels;
pub use name::{Id, Kind, ObjectName};
pub use node::Node;
pub use pod::Pod;
pub use policy::NetworkPolicy;
use retention::Retention;
pub use secret::{Secret, TlsSecret};
pub use selector::Selector;
pub use service::Service;
pub use shared_text::SharedText;
pub use slice::Slice;

/// When an object was made: of two that claim the same thing the older has it. Objects without a
/// `metadata.creationTimestamp` (files mostly have none) come after those with one; their names decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(bool, Option<Timestamp>);

impl Age {
    /// Of what has no time of its own.
    pub const UNKNOWN: Self = Self(true, None);
}

/// The age of an object.
#[must_use]
pub fn age(metadata: &ObjectMeta) -> Age {
    let created = metadata.creation_timestamp.as_ref().map(|t| t.0);
    Age(created.is_none(), created)
}

/// `metadata.annotations`, sorted by key; shared, since routes keep those of their Ingress.
pub type Annotations = Arc<BTreeMap<String, String>>;

/// The annotations of an object.
#[must_use]
pub fn annotations(metadata: &ObjectMeta) -> Annotations {
    static NONE: LazyLock<Annotations> = LazyLock::new(Annotations::default);
    match &metadata.annotations {
        Some(annotations) if !annotations.is_empty() => Arc::new(annotations.clone()),
        _ => NONE.clone(),
    }
}

/// One object, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// `metadata.labels`.
    Namespace(Labels),
    /// A Pod.
    Pod(Pod),
    /// A Service.
    Service(Service),
    /// An EndpointSlice.
    EndpointSlice(Slice),
    /// An IngressClass.
    IngressClass(IngressClass),
    /// An Ingress.
    Ingress(Ingress),
    /// A Secret.
    Secret(Secret),
    /// A NetworkPolicy.
    NetworkPolicy(NetworkPolicy),
    /// A ClusterNetworkPolicy.
    ClusterNetworkPolicy(ClusterPolicy),
    /// A Node.
    Node(Node),
    /// Endpoints, as the slices that are made of them.
    Endpoints(Mirrored),
    /// A ConfigMap; `None` where nothing names it.
    ConfigMap(Option<ConfigMap>),
}

/// Everything that is in force, by kind and name.
#[derive(Clone, Debug, Default)]
pub struct Model {
    objects: BTreeMap<Id, Arc<Object>>,
    retention: Retention,
}

impl Model {
    /// Adds or replaces an object.
    pub fn insert(&mut self, id: Id, object: Arc<Object>) {
        self.retention.changed(&id, self.objects.get(&id), Some(&object));
        self.objects.insert(id, object);
    }

    /// Removes an object. The certificate of a Secret stays at hand as long as an Ingress names it.
    pub fn remove(&mut self, id: &Id) {
        let old = self.objects.remove(id);
        self.retention.changed(id, old.as_ref(), None);
    }

    /// Makes it take no more room than its objects do.
    pub fn pack(&mut self) {
        pack(&mut self.objects);
    }

    /// Whether there is such an object.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        self.objects.contains_key(id)
    }

    /// One object.
    #[must_use]
    pub fn get(&self, id: &Id) -> Option<&Arc<Object>> {
        self.objects.get(id)
    }

    /// The names of all objects, in their order.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        self.objects.keys()
    }

    /// All Namespace objects.
    pub fn namespaces(&self) -> impl Iterator<Item = (&ObjectName, &Labels)> {
        self.of(Kind::Namespace, |o| {
            if let Object::Namespace(x) = o {
                Some(x)
            } else {
                None
            }
        })
    }

    /// All Pods.
    pub fn pods(&self) -> impl Iterator<Item = (&ObjectName, &Pod)> {
        self.of(Kind::Pod, |o| if let Object::Pod(x) = o { Some(x) } else { None })
    }

    /// All Services.
    pub fn services(&self) -> impl Iterator<Item = (&ObjectName, &Service)> {
        self.of(Kind::Service, |o| {
            if let Object::Service(x) = o { Some(x) } else { None }
        })
    }

    /// All EndpointSlices.
    pub fn slices(&self) -> impl Iterator<Item = (&ObjectName, &Slice)> {
        self.of(Kind::EndpointSlice, |o| {
            if let Object::EndpointSlice(x) = o {
                Some(x)
            } else {
                None
            }
        })
    }

    /// All IngressClasses.
    pub fn classes(&self) -> impl Iterator<Item = (&ObjectName, &IngressClass)> {
        self.of(Kind::IngressClass, |o| {
            if let Object::IngressClass(x) = o {
                Some(x)
            } else {
                None
            }
        })
    }

    /// All Ingresses.
    pub fn ingresses(&self) -> impl Iterator<Item = (&ObjectName, &Ingress)> {
        self.of(Kind::Ingress, |o| {
            if let Object::Ingress(x) = o { Some(x) } else { None }
        })
    }

    /// All NetworkPolicies.
    pub fn policies(&self) -> impl Iterator<Item = (&ObjectName, &NetworkPolicy)> {
        self.of(Kind::NetworkPolicy, |o| {
            if let Object::NetworkPolicy(x) = o {
                Some(x)
            } else {
                None
            }
        })
    }

    /// All ClusterNetworkPolicies, by name.
    pub fn cluster_policies(&self) -> impl Iterator<Item = (&ObjectName, &ClusterPolicy)> {
        self.of(Kind::ClusterNetworkPolicy, |o| {
            if let Object::ClusterNetworkPolicy(x) = o {
                Some(x)
            } else {
                None
            }
        })
    }

    /// All Nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (&ObjectName, &Node)> {
        self.of(
            Kind::Node,
            |o| if let Object::Node(x) = o { Some(x) } else { None },
        )
    }

    /// One Service.
    #[must_use]
    pub fn service(&self, name: &ObjectName) -> Option<&Service> {
        match self
            .objects
            .get(&Id::new(Kind::Service, name.clone()))
            .map(Arc::as_ref)
        {
            Some(Object::Service(service)) => Some(service),
            _ => None,
        }
    }

    /// One Ingress.
    #[must_use]
    pub fn ingress(&self, name: &ObjectName) -> Option<&Ingress> {
        match self.get(&Id::new(Kind::Ingress, name.clone())).map(Arc::as_ref) {
            Some(Object::Ingress(ingress)) => Some(ingress),
            _ => None,
        }
    }

    /// What a ConfigMap holds, if something names it.
    #[must_use]
    pub fn config_map(&self, name: &ObjectName) -> Option<&ConfigMap> {
        match self.get(&Id::new(Kind::ConfigMap, name.clone())).map(Arc::as_ref) {
            Some(Object::ConfigMap(map)) => map.as_ref(),
            _ => None,
        }
    }

    /// One Secret.
    #[must_use]
    pub fn secret(&self, name: &ObjectName) -> Option<&Secret> {
        match self.get(&Id::new(Kind::Secret, name.clone())).map(Arc::as_ref) {
            Some(Object::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    /// The last certificate of a Secret that is gone, or has none that can be used, while an Ingress names it.
    #[must_use]
    pub fn last_good_certificate(&self, name: &ObjectName) -> Option<&TlsSecret> {
        match self.retention.last_good(name).map(Arc::as_ref) {
            Some(Object::Secret(secret)) => secret.tls().ok(),
            _ => None,
        }
    }

    fn of<'a, T: 'a>(
        &'a self,
        kind: Kind,
        pick: impl Fn(&'a Object) -> Option<&'a T> + 'a,
    ) -> impl Iterator<Item = (&'a ObjectName, &'a T)> {
        // The empty name is the smallest of a kind.
        let first = Id::new(kind, ObjectName::new("", ""));
        let objects = self
            .objects
            .range(first..)
            .take_while(move |(id, _)| id.kind == kind);
        objects.filter_map(move |(id, object)| pick(object).map(|x| (&id.name, x)))
    }
}
