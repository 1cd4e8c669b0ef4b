//! The control plane's objects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headgate_ring::message::{
    Certificate, Endpoint, Frontend, Generation, Group, Key, Listener, Object, Policy, Protocol, Service,
    Upstream, VirtualHost,
};
use headgate_ring::{Operation, Transaction};

use super::check;
use super::error::ConfigError;
use crate::fault::Fault;
use crate::policy;

/// Every object in force, checked on its own and against the others.
#[derive(Debug, Default)]
pub struct State {
    generation: Generation,
    objects: BTreeMap<Key, Stored>,
    /// Follows every change, so that a change costs what it touches.
    classifier: policy::Classifier,
}

/// Policies and what they are about stand behind all else in the order of keys.
const FIRST_OF_POLICY: Key = Key::Endpoint(String::new());

/// An object; the tables compiled from it hold on to it, and by its address know whether it changed.
#[derive(Clone, Debug)]
pub enum Stored {
    /// A frontend and its backends.
    Service(Arc<Service>),
    /// Where HTTP is terminated.
    Listener(Arc<Listener>),
    /// The routes of a host.
    VirtualHost(Arc<VirtualHost>),
    /// Where routed requests go.
    Upstream(Arc<Upstream>),
    /// A certificate and its key.
    Certificate(Arc<Certificate>),
    /// A pod or node.
    Endpoint(Arc<Endpoint>),
    /// What a selector selects.
    Group(Arc<Group>),
    /// What some pods accept or open.
    Policy(Arc<Policy>),
}

/// An object that is not the same after a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Which one.
    pub key: &'a Key,
    /// What stood there; `None` for nothing.
    pub before: Option<&'a Stored>,
    /// What stands there now; `None` for nothing.
    pub now: Option<&'a Stored>,
}

/// What [`State::revert`] needs to take a transaction back.
#[derive(Debug)]
pub struct Undo {
    generation: Generation,
    /// The objects before, with `full`; else empty.
    whole: Option<BTreeMap<Key, Stored>>,
    /// What stood at each key before, in the order of the changes.
    before: Vec<(Key, Option<Stored>)>,
    /// What takes the change of the classifier back.
    policy: policy::PolicyChanges,
}

impl State {
    /// The generation of the last transaction applied; 0 before the first.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Applies a transaction whole, or not at all; `full` replaces the state. An object put again as it was
    /// counts as unchanged.
    ///
    /// # Errors
    /// Names the first object and field that is wrong.
    pub fn apply(&mut self, transaction: Transaction) -> Result<Undo, ConfigError> {
        let Transaction {
            generation,
            full,
            operations,
        } = transaction;
        let whole = full.then(|| std::mem::take(&mut self.objects));
        let mut undo = Undo {
            generation: self.generation,
            whole,
            before: Vec::new(),
            policy: policy::PolicyChanges::default(),
        };
        self.generation = generation;
        let applied = operations
            .into_iter()
            .try_for_each(|operation| self.change(operation, &mut undo));
        let applied = applied.and_then(|()| self.check_together(&undo));
        match applied.and_then(|()| self.classify(&mut undo)) {
            Ok(()) => {
                if full {
                    // They came in the order of their keys, which leaves a tree half empty; one that is made at once is full.
                    self.objects = std::mem::take(&mut self.objects).into_iter().collect();
                }
                Ok(undo)
            }
            Err(error) => {
                self.revert(undo);
                Err(error)
            }
        }
    }

    /// Does what would be done first at the next transaction, when every worker works by the tables of the last one.
    pub fn settle(&mut self) {
        self.classifier.settle();
    }

    /// Takes the last transaction back.
    pub fn revert(&mut self, undo: Undo) {
        for (key, before) in undo.before.into_iter().rev() {
            match before {
                Some(object) => self.objects.insert(key, object),
                None => self.objects.remove(&key),
            };
        }
        if let Some(objects) = undo.whole {
            self.objects = objects;
        }
        self.generation = undo.generation;
        self.classifier.revert(undo.policy);
    }

    /// Has the classifier follow.
    fn classify(&mut self, undo: &mut Undo) -> Result<(), ConfigError> {
        let (forth, back) = self.policy_changes(undo);
        self.classifier.update(forth).map_err(|error| {
            let (name, direction) = &error.policy;
            let key = Key::Policy(name.clone(), *direction);
            ConfigError::new(&key, Fault::new("rules", error.to_string()))
        })?;
        undo.policy = back;
        Ok(())
    }

    /// What the transaction changed for the classifier, and the same the other way round.
    fn policy_changes(&self, undo: &Undo) -> (policy::PolicyChanges, policy::PolicyChanges) {
        let (mut forth, mut back) = <(policy::PolicyChanges, policy::PolicyChanges)>::default();
        for change in self.differences(undo, |key| *key >= FIRST_OF_POLICY) {
            note(&mut forth, change.key, change.now);
            note(&mut back, change.key, change.before);
        }
        (forth, back)
    }

    /// What the last transaction has changed of all objects but those that the classifier follows, in no order; objects
    /// that were put again as they were are not among them.
    #[must_use]
    pub fn changes<'a>(&'a self, undo: &'a Undo) -> Vec<Change<'a>> {
        self.differences(undo, |key| *key < FIRST_OF_POLICY)
    }

    /// As if all that [`Self::changes`] can tell of had come now.
    #[must_use]
    pub fn all(&self) -> Vec<Change<'_>> {
        let objects = self.objects.range(..FIRST_OF_POLICY);
        let change = |(key, now)| Change {
            key,
            before: None,
            now: Some(now),
        };
        objects.map(change).collect()
    }

    fn differences<'a>(&'a self, undo: &'a Undo, concerns: fn(&Key) -> bool) -> Vec<Change<'a>> {
        let mut found = Vec::new();
        let mut compare = |key: &'a Key, before: Option<&'a Stored>, now: Option<&'a Stored>| {
            let same = match (before, now) {
                (Some(before), Some(now)) => before.is_same(now),
                (before, now) => before.is_none() && now.is_none(),
            };
            if !same {
                found.push(Change { key, before, now });
            }
        };
        if let Some(whole) = &undo.whole {
            for (key, before) in whole.iter().filter(|(key, _)| concerns(key)) {
                compare(key, Some(before), self.objects.get(key));
            }
            let now = self.objects.iter().filter(|(key, _)| concerns(key));
            now.filter(|(key, _)| !whole.contains_key(*key))
                .for_each(|(key, now)| compare(key, None, Some(now)));
        } else {
            // Of several changes of one object the first knows what stood there.
            let mut first: BTreeMap<&Key, Option<&Stored>> = BTreeMap::new();
            for (key, before) in undo.before.iter().filter(|(key, _)| concerns(key)) {
                first.entry(key).or_insert(before.as_ref());
            }
            for (key, before) in first {
                compare(key, before, self.objects.get(key));
            }
        }
        found
    }

    fn change(&mut self, operation: Operation, undo: &mut Undo) -> Result<(), ConfigError> {
        let (key, before) = match operation {
            Operation::Delete(key) => {
                let before = self.objects.remove(&key);
                (key, before)
            }
            Operation::Put(object) => {
                let key = object.key();
                check::object(&object).map_err(|fault| ConfigError::new(&key, fault))?;
                let old = undo.whole.as_ref().unwrap_or(&self.objects).get(&key);
                let stored = match old {
                    Some(old) if old.is(&object) => old.clone(),
                    _ => Stored::new(object),
                };
                let before = self.objects.insert(key.clone(), stored);
                (key, before)
            }
        };
        undo.before.push((key, before));
        Ok(())
    }

    /// Checks what concerns several objects, as far as the transaction touched them.
    fn check_together(&self, undo: &Undo) -> Result<(), ConfigError> {
        let mut certificates = undo.whole.is_some();
        for (key, _) in &undo.before {
            match key {
                Key::Service(frontend) => self.check_frontend(frontend)?,
                Key::Listener(address) => {
                    let (address, port) = (address.ip(), address.port());
                    self.check_frontend(&Frontend {
                        address,
                        protocol: Protocol::Tcp,
                        port,
                    })?;
                }
                Key::Certificate(_) => certificates = true,
                // A rule whose upstream is missing answers 503: no reason to refuse all else.
                Key::VirtualHost(_) | Key::Upstream(_) => {}
                // A group that nobody is in is empty.
                Key::Endpoint(_) | Key::Group(_) | Key::Policy(..) => {}
            }
        }
        if certificates {
            self.check_certificates()
        } else {
            Ok(())
        }
    }

    /// One address and TCP port is either balanced or terminated.
    fn check_frontend(&self, frontend: &Frontend) -> Result<(), ConfigError> {
        let service = Key::Service(*frontend);
        let listener = Key::Listener((frontend.address, frontend.port).into());
        let both = self.objects.contains_key(&service) && self.objects.contains_key(&listener);
        if frontend.protocol == Protocol::Tcp && both {
            return Err(ConfigError::new(
                &service,
                Fault::new(
                    "frontend",
                    "the same address and port is a listener; take one of them away",
                ),
            ));
        }
        Ok(())
    }

    /// One host stands in one certificate only.
    fn check_certificates(&self) -> Result<(), ConfigError> {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for (key, object) in &self.objects {
            let Stored::Certificate(certificate) = object else {
                continue;
            };
            for (i, host) in certificate.hosts.iter().enumerate() {
                if let Some(other) = owners.insert(host, &certificate.name) {
                    let reason = format!("{host:?} stands in certificate {other:?}, too");
                    return Err(ConfigError::new(key, Fault::new(format!("hosts[{i}]"), reason)));
                }
            }
        }
        Ok(())
    }

    /// All objects but those that the classifier follows.
    pub fn objects(&self) -> impl Iterator<Item = &Stored> {
        self.objects.range(..FIRST_OF_POLICY).map(|(_, object)| object)
    }

    /// What the policies in force allow.
    pub fn policy(&self) -> &Arc<policy::Compiled> {
        self.classifier.tables()
    }
}

fn note(changes: &mut policy::PolicyChanges, key: &Key, object: Option<&Stored>) {
    match (key, object) {
        (Key::Endpoint(name), Some(Stored::Endpoint(o))) => {
            changes.endpoints.push((name.clone(), Some(Arc::clone(o))));
        }
        (Key::Group(id), Some(Stored::Group(o))) => changes.groups.push((*id, Some(Arc::clone(o)))),
        (Key::Policy(name, direction), Some(Stored::Policy(o))) => {
            changes
                .policies
                .push(((name.clone(), *direction), Some(Arc::clone(o))));
        }
        (Key::Endpoint(name), _) => changes.endpoints.push((name.clone(), None)),
        (Key::Group(id), _) => changes.groups.push((*id, None)),
        (Key::Policy(name, direction), _) => changes.policies.push(((name.clone(), *direction), None)),
        _ => {}
    }
}

impl Stored {
    fn new(object: Object) -> Self {
        match object {
            Object::Service(o) => Self::Service(Arc::new(o)),
            Object::Listener(o) => Self::Listener(Arc::new(o)),
            Object::VirtualHost(o) => Self::VirtualHost(Arc::new(o)),
            Object::Upstream(o) => Self::Upstream(Arc::new(o)),
            Object::Certificate(o) => Self::Certificate(Arc::new(o)),
            Object::Endpoint(o) => Self::Endpoint(Arc::new(o)),
            Object::Group(o) => Self::Group(Arc::new(o)),
            Object::Policy(o) => Self::Policy(Arc::new(o)),
        }
    }

    /// Whether these are one object, not only equal ones.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Service(a), Self::Service(b)) => Arc::ptr_eq(a, b),
            (Self::Listener(a), Self::Listener(b)) => Arc::ptr_eq(a, b),
            (Self::VirtualHost(a), Self::VirtualHost(b)) => Arc::ptr_eq(a, b),
            (Self::Upstream(a), Self::Upstream(b)) => Arc::ptr_eq(a, b),
            (Self::Certificate(a), Self::Certificate(b)) => Arc::ptr_eq(a, b),
            (Self::Endpoint(a), Self::Endpoint(b)) => Arc::ptr_eq(a, b),
            (Self::Group(a), Self::Group(b)) => Arc::ptr_eq(a, b),
            (Self::Policy(a), Self::Policy(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    fn is(&self, object: &Object) -> bool {
        match (self, object) {
            (Self::Service(a), Object::Service(b)) => **a == *b,
            (Self::Listener(a), Object::Listener(b)) => **a == *b,
            (Self::VirtualHost(a), Object::VirtualHost(b)) => **a == *b,
            (Self::Upstream(a), Object::Upstream(b)) => **a == *b,
            (Self::Certificate(a), Object::Certificate(b)) => **a == *b,
            (Self::Endpoint(a), Object::Endpoint(b)) => **a == *b,
            (Self::Group(a), Object::Group(b)) => **a == *b,
            (Self::Policy(a), Object::Policy(b)) => **a == *b,
            _ => false,
        }
    }
}
