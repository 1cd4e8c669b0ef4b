//! `status.loadBalancer` of Ingresses and Services: where clients reach them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use headgate_controlplane::feedback::{Outcome, Standing};
use headgate_controlplane::model::ObjectName;
use headgate_controlplane::pack::pack;

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

/// Thousands of objects say the same.
type Shared = Arc<BTreeSet<StatusAddress>>;

/// Which objects of a kind say what, and what they are to say.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    /// What those of them say that are ours, or were, where that alone is taken back; `None` where whatever says the
    /// published addresses has them from us. A Service of somebody else's may say the same: by it clients get here.
    said: Option<BTreeMap<ObjectName, Shared>>,
    /// What some of them want to say instead of the published addresses.
    wishes: BTreeMap<ObjectName, Shared>,
    /// As the API has them.
    there: BTreeMap<ObjectName, Shared>,
    /// Whether each is served here.
    ours: BTreeMap<ObjectName, bool>,
    /// Where clients connect; empty while that is not known.
    published: Shared,
    /// No address.
    none: Shared,
    /// What may have to be written.
    due: BTreeSet<ObjectName>,
    /// What was refused, until it is tried again.
    postponed: BTreeSet<ObjectName>,
}

impl Statuses {
    /// Those of Services, of which most are nobody's business here.
    pub(crate) fn of_services() -> Self {
        Self {
            said: Some(BTreeMap::new()),
            ..Self::default()
        }
    }

    /// Makes it take no more room than what it keeps.
    pub(crate) fn pack(&mut self) {
        pack(&mut self.there);
        pack(&mut self.ours);
    }

    /// The API has this object, with these addresses in its status.
    pub(crate) fn seen(&mut self, name: &ObjectName, addresses: BTreeSet<StatusAddress>) {
        let addresses = self.shared(addresses);
        if self.there.get(name) != Some(&addresses) {
            self.there.insert(name.clone(), addresses);
            self.due.insert(name.clone());
            self.note(name);
        }
    }

    /// What it wants to say, if it is ours.
    pub(crate) fn wishes(&mut self, name: &ObjectName, wish: Option<StatusAddress>) {
        let before = match wish {
            Some(wish) => self.wishes.insert(name.clone(), BTreeSet::from([wish]).into()),
            None => self.wishes.remove(name),
        };
        if before.as_ref() != self.wishes.get(name) {
            self.due.insert(name.clone());
        }
    }

    /// There is no such object any more.
    pub(crate) fn gone(&mut self, name: &ObjectName) {
        self.there.remove(name);
        self.wishes.remove(name);
        self.ours.remove(name);
        self.due.remove(name);
        self.postponed.remove(name);
        if let Some(said) = &mut self.said {
            said.remove(name);
        }
    }

    /// What became of an Ingress.
    pub(crate) fn became(&mut self, name: &ObjectName, standing: &Standing) {
        match standing {
            Standing::Gone => {
                self.ours.remove(name);
            }
            Standing::Foreign | Standing::LeftOut => self.is_ours(name, false),
            _ => self.is_ours(name, true),
        }
    }

    /// What became of a Service.
    pub(crate) fn service_became(&mut self, name: &ObjectName, outcome: &Outcome) {
        let refused = matches!(outcome.standing, Standing::Refused { .. });
        match outcome.standing {
            Standing::Gone => {
                // Another of this name may be there already: that is told at once, and this once the dataplane knows it.
                self.ours.remove(name);
                if let Some(said) = &mut self.said {
                    said.remove(name);
                }
            }
            _ if outcome.balanced && !refused => self.is_ours(name, true),
            _ if self.ours.contains_key(name) => self.is_ours(name, false),
            _ => {}
        }
    }

    fn is_ours(&mut self, name: &ObjectName, ours: bool) {
        if self.ours.insert(name.clone(), ours) != Some(ours) {
            self.due.insert(name.clone());
            self.note(name);
        }
    }

    /// Addresses in a place that others share, where they are what most say.
    fn shared(&self, addresses: BTreeSet<StatusAddress>) -> Shared {
        let known = [&self.none, &self.published];
        let known = known.into_iter().find(|known| ***known == addresses);
        known.map_or_else(|| addresses.into(), Arc::clone)
    }

    fn wanted(&self, name: &ObjectName) -> &Shared {
        self.wishes.get(name).unwrap_or(&self.published)
    }

    /// Whether it says what it is to say, and is ours.
    fn says_ours(&self, name: &ObjectName) -> bool {
        self.ours.get(name) == Some(&true) && self.there.get(name) == Some(self.wanted(name))
    }

    /// Remembers what an object of ours says, whoever of the gateways has written it.
    fn note(&mut self, name: &ObjectName) {
        if self.says_ours(name)
            && let Some(said) = &mut self.said
            && let Some(there) = self.there.get(name)
        {
            said.insert(name.clone(), there.clone());
        }
    }

    /// Where clients connect from now on.
    pub(crate) fn publish(&mut self, addresses: BTreeSet<StatusAddress>) {
        if *self.published != addresses {
            self.published = addresses.into();
            self.review();
        }
    }

    /// All of them may have to be written: somebody else did until now.
    pub(crate) fn review(&mut self) {
        self.due.extend(self.there.keys().cloned());
    }

    /// What an object is to say, where it says something else.
    pub(crate) fn next(&mut self) -> Option<(ObjectName, BTreeSet<StatusAddress>)> {
        while let Some(name) = self.due.pop_first() {
            let (Some(there), Some(ours)) = (self.there.get(&name), self.ours.get(&name)) else {
                continue;
            };
            let wanted = self.wanted(&name);
            if *ours && there != wanted && !wanted.is_empty() {
                return Some((name.clone(), BTreeSet::clone(wanted)));
            }
            // Of what is not ours, only what we have said is taken back.
            let said = match &self.said {
                Some(said) => said.get(&name),
                None => Some(wanted),
            };
            if !*ours && Some(there) == said && !there.is_empty() {
                return Some((name, BTreeSet::new()));
            }
        }
        None
    }

    /// It was written; the watch will say so later.
    pub(crate) fn written(&mut self, name: &ObjectName, addresses: BTreeSet<StatusAddress>) {
        let addresses = self.shared(addresses);
        if let Some(there) = self.there.get_mut(name) {
            *there = addresses;
        }
        self.note(name);
    }

    /// It could not be written.
    pub(crate) fn again(&mut self, name: ObjectName) {
        self.due.insert(name);
    }

    /// It may not be written, and neither may others of its namespace, or so it seems: a request for each of thousands
    /// would tell no more.
    pub(crate) fn postpone(&mut self, name: ObjectName) {
        let (beside, others) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|other| other.namespace == name.namespace);
        self.due = others;
        self.postponed.extend::<BTreeSet<_>>(beside);
        self.postponed.insert(name);
    }

    /// What was postponed is tried again.
    pub(crate) fn resume(&mut self) {
        self.due.append(&mut self.postponed);
    }

    pub(crate) fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    /// How many sets of addresses it holds beside the published one and the empty one.
    #[cfg(test)]
    pub(super) fn sets(&self) -> usize {
        let shared = |there: &&Shared| Arc::ptr_eq(there, &self.published) || Arc::ptr_eq(there, &self.none);
        self.there.values().filter(|there| !shared(there)).count()
    }

    /// The objects that say where we are, when nobody is left to serve them.
    pub(crate) fn farewell(&self) -> Vec<ObjectName> {
        let ours = self
            .there
            .iter()
            .filter(|(name, there)| !there.is_empty() && self.says_ours(name));
        ours.map(|(name, _)| name.clone()).collect()
    }
}
