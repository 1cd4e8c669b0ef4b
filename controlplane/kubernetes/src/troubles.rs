//! What keeps the source from knowing objects, as lines for the operator.

use std::collections::BTreeMap;

use super::reply::Failure;
use headgate_controlplane::model::Kind;
use headgate_controlplane::problem::{Problem, Severity};
use headgate_controlplane::source::Scope;

/// What is wrong with which stream.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    standing: BTreeMap<Scope, Trouble>,
    /// What was said first of the server as a whole: each attempt may say it in other words.
    outage: Option<String>,
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// Of the server or the way to it.
    Server,
    /// Of this scope.
    Own(String),
}

impl Troubles {
    /// A stream has failed.
    pub(crate) fn met(&mut self, scope: &Scope, failure: &Failure) {
        let trouble = match failure {
            Failure::Unauthorized(_)
            | Failure::Unreachable(_)
            | Failure::Later(..)
            | Failure::Conflict(_) => self.outage(failure.to_string()),
            Failure::Forbidden(reason) => Trouble::Own(format!("{reason}; {}", consequence(scope.kind))),
            Failure::Missing => Trouble::Own(format!(
                "the API server has no {}; {}",
                scope.kind,
                consequence(scope.kind)
            )),
            Failure::Invalid(reason) => Trouble::Own(format!(
                "the API server does not take a list of {scope}: {reason}; {}",
                consequence(scope.kind)
            )),
            Failure::Expired => return,
        };
        let before = self.standing.insert(scope.clone(), trouble.clone());
        self.changed |= before != Some(trouble);
    }

    fn outage(&mut self, text: String) -> Trouble {
        self.outage.get_or_insert(text);
        Trouble::Server
    }

    /// A stream goes on, or is given up.
    pub(crate) fn over(&mut self, scope: &Scope) {
        if self.standing.remove(scope).is_none() {
            return;
        }
        self.changed = true;
        if !self.standing.values().any(|trouble| *trouble == Trouble::Server) {
            self.outage = None;
        }
    }

    /// All that is wrong, if that has changed since the last call.
    pub(crate) fn news(&mut self) -> Option<Vec<Problem>> {
        std::mem::take(&mut self.changed).then(|| self.problems())
    }

    fn problems(&self) -> Vec<Problem> {
        let problem = |object, text| Problem {
            severity: Severity::Error,
            origin: None,
            object,
            text,
        };
        let own = self.standing.iter().filter_map(|(scope, trouble)| match trouble {
            Trouble::Own(text) => Some(problem(scope.single(), text.clone())),
            Trouble::Server => None,
        });
        let outage = self.outage.iter();
        outage
            .map(|text| problem(None, format!("{text}; all that was known stays in force")))
            .chain(own)
            .collect()
    }
}

/// What follows where objects of a kind are not known.
fn consequence(kind: Kind) -> &'static str {
    match kind {
        Kind::NetworkPolicy | Kind::ClusterNetworkPolicy => {
            "policies that are not known do not hold: what they forbid is allowed"
        }
        Kind::Namespace => "selectors of namespaces match none",
        Kind::Pod => "policies that select pods match none of them, and named ports of pods are not known",
        Kind::Node => "selectors of nodes match none",
        Kind::Service | Kind::EndpointSlice | Kind::Endpoints => "what they lead to is not reached",
        Kind::IngressClass => "Ingresses are served by the name of their class alone",
        Kind::Ingress => "Ingresses that are not known are not served",
        Kind::Secret => "certificates that are not known are not served",
        Kind::ConfigMap => "what it says is not heeded",
    }
}
