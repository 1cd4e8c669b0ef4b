//! Users, their tokens and what a certificate says of one.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use hyper::header::AUTHORIZATION;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::failure::Failure;
use crate::request::Request;

/// Somebody who makes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// "kubernetes-admin", "system:serviceaccount:NAMESPACE:NAME".
    pub name: String,
    /// Groups; "system:authenticated" comes by itself.
    pub groups: Vec<String>,
}

impl User {
    /// A user in no group of its own.
    #[must_use]
    pub fn new(name: &str) -> Self {
        User {
            name: name.to_owned(),
            groups: vec!["system:authenticated".to_owned()],
        }
    }

    /// The user who may do everything.
    #[must_use]
    pub fn admin() -> Self {
        User::new("kubernetes-admin").group("system:masters")
    }

    /// A service account.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        User::new(&format!("system:serviceaccount:{namespace}:{name}"))
            .group("system:serviceaccounts")
            .group(&format!("system:serviceaccounts:{namespace}"))
    }

    /// The same, in one more group.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.groups.push(group.to_owned());
        self
    }
}

/// All tokens that are good.
#[derive(Debug, Default)]
pub(crate) struct Users {
    tokens: RwLock<HashMap<String, (User, Option<Instant>)>>,
    anonymous: bool,
}

impl Users {
    pub(crate) fn new(anonymous: bool) -> Self {
        Users {
            tokens: RwLock::default(),
            anonymous,
        }
    }

    /// Lets a token stand for a user, for a time or for good.
    pub(crate) fn grant(&self, token: &str, user: User, lifetime: Option<Duration>) {
        let until = lifetime.map(|lifetime| Instant::now() + lifetime);
        self.tokens
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token.to_owned(), (user, until));
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.tokens
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(token);
    }

    /// The user of a token that is good still.
    pub(crate) fn of_token(&self, token: &str) -> Option<User> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let (user, until) = tokens.get(token)?;
        until
            .is_none_or(|until| Instant::now() < until)
            .then(|| user.clone())
    }

    /// Who makes a request: by certificate, by token, or (where that is on) nobody in particular.
    pub(crate) fn authenticate(
        &self,
        request: &Request,
        certificate: Option<&User>,
    ) -> Result<User, Failure> {
        let header = request.header(&AUTHORIZATION);
        if header.is_empty() {
            let nobody = || User {
                name: "system:anonymous".into(),
                groups: vec!["system:unauthenticated".into()],
            };
            let public = ["/healthz", "/livez", "/readyz", "/version"].contains(&request.path.as_str());
            return match certificate {
                Some(user) => Ok(user.clone()),
                None if self.anonymous || public => Ok(nobody()),
                None => Err(unauthorized()),
            };
        }
        let token = header
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        token
            .and_then(|(_, token)| self.of_token(token.trim()))
            .ok_or_else(unauthorized)
    }
}

fn unauthorized() -> Failure {
    Failure::new(401, "Unauthorized", "Unauthorized")
}

/// The user whom a client's certificate names: common name and organizations.
pub(crate) fn of_certificate(der: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok());
    Some(groups.fold(User::new(name), User::group))
}
