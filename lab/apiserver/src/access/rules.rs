//! Denials that a test sets up, without roles and bindings.

use std::sync::{PoisonError, RwLock};

use super::User;
use crate::request::Target;

/// What somebody may not do. What is not named is all.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    user: Option<String>,
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    namespaces: Vec<String>,
    cluster_only: bool,
}

macro_rules! narrowed {
    ($($(#[$doc:meta])* $field:ident),*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $field<'a>(mut self, of: impl IntoIterator<Item = &'a str>) -> Self {
            self.$field = of.into_iter().map(str::to_owned).collect();
            self
        })*
    };
}

impl Rule {
    /// For everybody.
    #[must_use]
    pub fn everybody() -> Self {
        Rule::default()
    }

    /// For one user, by name ("system:serviceaccount:NAMESPACE:NAME" for service accounts).
    #[must_use]
    pub fn user(name: &str) -> Self {
        Rule {
            user: Some(name.to_owned()),
            ..Rule::default()
        }
    }

    narrowed!(
        /// Only these verbs: get, list, watch, create, update, patch, delete, deletecollection.
        verbs,
        /// Only these API groups.
        groups,
        /// Only these resources, by plural, a subresource as "ingresses/status".
        resources,
        /// Only objects of these names.
        names,
        /// Only in these namespaces.
        namespaces
    );

    /// Only requests for all namespaces, and for cluster-wide kinds.
    #[must_use]
    pub fn cluster_only(mut self) -> Self {
        self.cluster_only = true;
        self
    }

    fn matches(&self, user: &User, target: &Target) -> bool {
        let resource = match target.subresource.as_str() {
            "" => target.resource.clone(),
            sub => format!("{}/{sub}", target.resource),
        };
        let fits =
            |allowed: &[String], value: &str| allowed.is_empty() || allowed.iter().any(|one| one == value);
        self.user.as_ref().is_none_or(|name| *name == user.name)
            && fits(&self.verbs, target.verb)
            && fits(&self.groups, &target.group)
            && fits(&self.resources, &resource)
            && fits(&self.names, &target.name)
            && fits(&self.namespaces, &target.namespace)
            && (!self.cluster_only || target.namespace.is_empty())
    }
}

/// All denials.
#[derive(Debug, Default)]
pub(crate) struct Rules(RwLock<Vec<Rule>>);

impl Rules {
    pub(crate) fn add(&self, rule: Rule) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    pub(crate) fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn deny(&self, user: &User, target: &Target) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|rule| rule.matches(user, target))
    }
}
