//! `status.loadBalancer` of Ingresses: where clients reach them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use headgate_controlplane::feedback::Standing;
use headgate_controlplane::model::ObjectName;

/// Where clients connect: an element of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusAddress {
    /// `ip`
    Ip(String),
    /// `hostname`
    Host(String),
}

impl StatusAddress {
    /// An address or a name, as flags give them.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text.parse::<std::net::IpAddr>() {
            Ok(ip) => Self::Ip(ip.to_string()),
            Err(_) => Self::Host(text.to_owned()),
        }
    }

    /// The elements of a `status.loadBalancer.ingress`, in an order of their own.
    pub(crate) fn of_status(object: &Value) -> BTreeSet<Self> {
        let elements = object["status"]["loadBalancer"]["ingress"].as_array();
        let address = |element: &Value| {
            let text = |field: &str| element[field].as_str().filter(|text| !text.is_empty());
            let ip = text("ip").map(|ip| Self::Ip(ip.to_owned()));
            ip.or_else(|| text("hostname").map(|host| Self::Host(host.to_owned())))
        };
        elements.into_iter().flatten().filter_map(address).collect()
    }

    fn element(&self) -> Value {
        match self {
            Self::Ip(ip) => json!({ "ip": ip }),
            Self::Host(host) => json!({ "hostname": host }),
        }
    }
}

/// A merge patch that makes these the addresses.
pub(crate) fn patch(addresses: &BTreeSet<StatusAddress>) -> Value {
    let elements = addresses.iter().map(StatusAddress::element).collect::<Vec<_>>();
    json!({ "status": { "loadBalancer": { "ingress": elements } } })
}

/// Which Ingresses say what, and what they are to say.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    /// As the API has them.
    there: BTreeMap<ObjectName, BTreeSet<StatusAddress>>,
    /// Whether each is served here.
    ours: BTreeMap<ObjectName, bool>,
    /// Where clients connect; empty while that is not known.
    published: BTreeSet<StatusAddress>,
    /// What may have to be written.
    due: BTreeSet<ObjectName>,
}

impl Statuses {
    /// The API has this Ingress.
    pub(crate) fn seen(&mut self, name: &ObjectName, addresses: BTreeSet<StatusAddress>) {
        if self.there.get(name) != Some(&addresses) {
            self.there.insert(name.clone(), addresses);
            self.due.insert(name.clone());
        }
    }

    /// There is no such Ingress any more.
    pub(crate) fn gone(&mut self, name: &ObjectName) {
        self.there.remove(name);
        self.ours.remove(name);
        self.due.remove(name);
    }

    /// What became of an Ingress.
    pub(crate) fn became(&mut self, name: &ObjectName, standing: &Standing) {
        let ours = match standing {
            Standing::Gone => {
                self.ours.remove(name);
                return;
            }
            Standing::Foreign | Standing::LeftOut => false,
            _ => true,
        };
        if self.ours.insert(name.clone(), ours) != Some(ours) {
            self.due.insert(name.clone());
        }
    }

    /// Where clients connect from now on.
    pub(crate) fn publish(&mut self, addresses: BTreeSet<StatusAddress>) {
        if self.published != addresses {
            self.published = addresses;
            self.review();
        }
    }

    /// All of them may have to be written: somebody else did until now.
    pub(crate) fn review(&mut self) {
        self.due.extend(self.there.keys().cloned());
    }

    /// What an Ingress is to say, where it says something else.
    pub(crate) fn next(&mut self) -> Option<(ObjectName, BTreeSet<StatusAddress>)> {
        while let Some(name) = self.due.pop_first() {
            let (Some(there), Some(ours)) = (self.there.get(&name), self.ours.get(&name)) else {
                continue;
            };
            if self.published.is_empty() {
                continue;
            }
            // Of an Ingress that is not ours, only what we have said is taken back.
            if *ours && *there != self.published {
                return Some((name, self.published.clone()));
            }
            if !*ours && *there == self.published {
                return Some((name, BTreeSet::new()));
            }
        }
        None
    }

    /// It was written; the watch will say so later.
    pub(crate) fn written(&mut self, name: &ObjectName, addresses: BTreeSet<StatusAddress>) {
        if let Some(there) = self.there.get_mut(name) {
            *there = addresses;
        }
    }

    /// It could not be written.
    pub(crate) fn again(&mut self, name: ObjectName) {
        self.due.insert(name);
    }

    /// The Ingresses that say where we are, when nobody is left to serve them.
    pub(crate) fn farewell(&self) -> Vec<ObjectName> {
        let ours = |name: &&ObjectName| self.ours.get(*name) == Some(&true);
        let ours = self.there.keys().filter(ours);
        ours.filter(|name| self.there.get(*name) == Some(&self.published))
            .cloned()
            .collect()
    }
}
