//! What all requests share.

use tokio::sync::watch;

use crate::access::{Authorizer, Rules, Users};
use crate::admission::Services;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::keyspace::{Key, Keyspace, Object};
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

    /// What follows from an object that is gone: a namespace takes all that is in it along, a definition its objects.
    pub(crate) fn after_delete(&self, resource: &Resource, object: &Object) {
        match resource.kind.as_str() {
            "Namespace" => {
                self.registry
                    .all()
                    .iter()
                    .filter(|r| r.namespaced)
                    .for_each(|r| self.remove_all(&r.table, object.name()));
            }
            "CustomResourceDefinition" => {
                self.remove_all(object.name(), "");
                self.registry.forget(&object.value);
            }
            _ => {}
        }
    }

    fn remove_all(&self, table: &str, namespace: &str) {
        for object in self.keyspace.list(table, namespace).objects {
            let key: Key = object.key();
            let _ = self.keyspace.commit(table, &key, Some(object.revision), None);
        }
    }
}
