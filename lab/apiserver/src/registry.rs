//! Which resources the server serves right now: those of its age, and those that CustomResourceDefinitions brought.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use serde_json::Value;

use crate::profile::Age;
use crate::resources::{Resource, built_in, custom};

/// All resources.
pub(crate) struct Registry {
    resources: RwLock<Vec<Arc<Resource>>>,
}

impl Registry {
    pub(crate) fn new(age: Age) -> Self {
        Registry {
            resources: RwLock::new(built_in(age).into_iter().map(Arc::new).collect()),
        }
    }

    /// The resource of a URL, if it is served in that version.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let fits = |r: &&Arc<Resource>| {
            r.group == group && r.plural == plural && r.versions.iter().any(|served| served == version)
        };
        self.read().iter().find(fits).cloned()
    }

    /// The resource of an object's `apiVersion` and `kind`, with the version.
    pub(crate) fn of(&self, object: &Value) -> Option<(Arc<Resource>, String)> {
        let (api_version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let fits = |r: &&Arc<Resource>| {
            r.group == group && r.kind == kind && r.versions.iter().any(|served| served == version)
        };
        Some((self.read().iter().find(fits).cloned()?, version.to_owned()))
    }

    /// The resource that a user names: by kind, plural or short name, with its group where that is needed.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Resource>> {
        let (name, group) = name
            .split_once('.')
            .map_or((name, None), |(name, group)| (name, Some(group)));
        let fits = |r: &&Arc<Resource>| {
            (r.plural == name || r.kind == name || r.short_names.iter().any(|short| short == name))
                && group.is_none_or(|group| r.group == group)
        };
        self.read().iter().find(fits).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Resource>> {
        self.read().clone()
    }

    /// Serves what a CustomResourceDefinition describes, instead of what it described before.
    pub(crate) fn define(&self, definition: &Value) {
        self.forget(definition);
        if let Some(resource) = custom(definition) {
            self.resources
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(Arc::new(resource));
        }
    }

    /// Serves it no more.
    pub(crate) fn forget(&self, definition: &Value) {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let mut resources = self
            .resources
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        resources.retain(|r| !(r.custom && r.qualified() == name));
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Resource>>> {
        self.resources
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
