//! What all requests share.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;

use crate::access::{Authorizer, Rules, Users};
use crate::admission::Services;
use crate::clock;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::keyspace::{Key, Keyspace, Object, Raced};
use crate::profile::Age;
use crate::registry::Registry;
use crate::resources::Resource;
use crate::settings::Settings;

/// The server's state, which outlives its connections.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) age: Age,
    pub(crate) registry: Registry,
    pub(crate) keyspace: Keyspace,
    pub(crate) users: Users,
    pub(crate) denials: Rules,
    pub(crate) services: Services,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    /// Rises when connections shall end after the requests that there are.
    pub(crate) closing: watch::Sender<u64>,
    /// Rises when all watches shall end.
    pub(crate) watches_closed: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Shared {
            age: settings.age,
            registry: Registry::new(settings.age),
            keyspace: Keyspace::new(settings.history),
            users: Users::new(settings.anonymous),
            denials: Rules::default(),
            services: Services::default(),
            faults: Faults::new(),
            journal: Journal::default(),
            closing: watch::channel(0).0,
            watches_closed: watch::channel(0).0,
            settings,
        }
    }

    pub(crate) fn authorizer(&self) -> Authorizer<'_> {
        Authorizer {
            mode: self.settings.authorization,
            denials: &self.denials,
            keyspace: &self.keyspace,
        }
    }

    /// What follows from an object that is there now.
    pub(crate) fn after_write(&self, resource: &Resource, object: &Object) {
        if resource.kind == "CustomResourceDefinition" {
            self.registry.define(&object.value);
        }
    }

    /// What comes before an object goes: a namespace is marked, and all that is in it goes first. Returns the object as it is
    /// by then.
    pub(crate) fn before_delete(&self, resource: &Resource, old: Arc<Object>) -> Result<Arc<Object>, Raced> {
        if resource.kind != "Namespace" {
            return Ok(old);
        }
        let mut ending = old.value.clone();
        ending["metadata"]["deletionTimestamp"] = clock::now().into();
        ending["status"] = json!({"phase": "Terminating"});
        let key = old.key();
        let marked = self
            .keyspace
            .commit(&resource.table, &key, Some(old.revision), Some(ending))?
            .ok_or(Raced)?;
        self.registry
            .all()
            .iter()
            .filter(|r| r.namespaced)
            .for_each(|r| self.remove_all(&r.table, &key.name));
        Ok(marked)
    }

    /// What follows from an object that is gone: a definition takes its objects along.
    pub(crate) fn after_delete(&self, resource: &Resource, object: &Object) {
        if resource.kind == "CustomResourceDefinition" {
            self.remove_all(object.name(), "");
            self.registry.forget(&object.value);
        }
    }

    fn remove_all(&self, table: &str, namespace: &str) {
        for object in self.keyspace.list(table, namespace).objects {
            let key: Key = object.key();
            let _ = self.keyspace.commit(table, &key, Some(object.revision), None);
        }
    }
}
