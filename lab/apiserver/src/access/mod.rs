//! Who may do what.

mod pki;
mod rbac;
mod rules;
mod users;

#[cfg(test)]
mod tests;

pub(crate) use pki::Authority;
pub use rules::Rule;
pub(crate) use rules::Rules;
pub use users::User;
pub(crate) use users::Users;
pub(crate) use users::of_certificate;

use crate::failure::Failure;
use crate::keyspace::Keyspace;
use crate::request::{Request, Target};
use crate::resources::qualified;

/// Who may do what, apart from what [`Rule`]s deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Everybody may do everything.
    #[default]
    AllowAll,
    /// Roles and bindings in the store decide; `system:masters` may do everything.
    Rbac,
}

/// Whether a user may do what a request asks for.
pub(crate) struct Authorizer<'a> {
    pub(crate) mode: Authorization,
    pub(crate) denials: &'a Rules,
    pub(crate) keyspace: &'a Keyspace,
}

impl Authorizer<'_> {
    /// 403, with the words of the real server, where the user may not.
    pub(crate) fn check(&self, user: &User, request: &Request) -> Result<(), Failure> {
        let target = &request.target;
        let allowed = if target.is_resource {
            self.allows(user, target)
        } else {
            self.allows_path(user, target.verb, &request.path)
        };
        if allowed {
            Ok(())
        } else {
            Err(refusal(user, request))
        }
    }

    /// Whether a user may do something to a resource.
    pub(crate) fn allows(&self, user: &User, target: &Target) -> bool {
        !self.denials.deny(user, target)
            && (self.allows_all(user) || rbac::allows(self.keyspace, user, target))
    }

    /// Whether a user may read or write a path that is about no resource.
    pub(crate) fn allows_path(&self, user: &User, verb: &str, path: &str) -> bool {
        self.allows_all(user) || rbac::allows_path(self.keyspace, user, verb, path)
    }

    /// The rules that hold for a user in a namespace, as a `SelfSubjectRulesReview` tells them.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<serde_json::Value> {
        let everything = serde_json::json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
        if self.allows_all(user) {
            vec![everything]
        } else {
            rbac::rules_of(self.keyspace, user, namespace)
        }
    }

    fn allows_all(&self, user: &User) -> bool {
        self.mode == Authorization::AllowAll || user.groups.iter().any(|group| group == "system:masters")
    }
}

/// `responsewriters.Forbidden`: the words that clients and administrators look for.
fn refusal(user: &User, request: &Request) -> Failure {
    let (target, user) = (&request.target, &user.name);
    if !target.is_resource {
        let said = format!(
            "forbidden: User {user:?} cannot {} path {:?}",
            target.verb, request.path
        );
        return Failure::new(403, "Forbidden", said);
    }
    let resource = match target.subresource.as_str() {
        "" => target.resource.clone(),
        sub => format!("{}/{sub}", target.resource),
    };
    let place = match target.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let (verb, group, name) = (target.verb, &target.group, &target.name);
    let object = if name.is_empty() {
        String::new()
    } else {
        format!(" {name:?}")
    };
    let what = qualified(&target.resource, group);
    let mut failure = Failure::new(
        403,
        "Forbidden",
        format!(
            "{what}{object} is forbidden: User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {place}"
        ),
    );
    let mut details = serde_json::json!({"kind": target.resource});
    for (key, value) in [("name", name), ("group", group)] {
        if !value.is_empty() {
            details[key] = value.as_str().into();
        }
    }
    failure.details = details;
    failure
}
