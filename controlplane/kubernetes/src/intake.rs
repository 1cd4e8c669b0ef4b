//! From what the streams say to changes of the model: which streams there have to be, when all is known, and what to say
//! where something cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::references;
use super::reflector::Said;
use super::reply::Failure;
use super::resource::optional;
use super::troubles::Troubles;
use super::writing::Seen;
use headgate_controlplane::model::{Id, Kind, ObjectName};
use headgate_controlplane::pack::{pack, pack_set};
use headgate_controlplane::problem::Version;
use headgate_controlplane::source::{Batch, Change, ObjectText, Scope};

/// The kinds that are followed as a whole. The cluster makes EndpointSlices of Endpoints itself.
const WHOLE: [Kind; 9] = [
    Kind::IngressClass,
    Kind::Ingress,
    Kind::Namespace,
    Kind::Node,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::NetworkPolicy,
    Kind::ClusterNetworkPolicy,
];
/// Secrets that no Ingress can mean, and that are many and large.
const OTHER_SECRETS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,\
    type!=kubernetes.io/dockercfg,type!=kubernetes.io/dockerconfigjson,type!=bootstrap.kubernetes.io/token";

/// What is to be done besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Follow a scope, restricted to these fields.
    Start(Scope, Option<String>),
    /// Follow it no longer.
    Stop(Scope),
    /// Ask for one object, once.
    Fetch(Id),
}

/// What follows from what a stream has said.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    pub(crate) changes: Batch,
    /// For who writes their status.
    pub(crate) seen: Vec<Seen>,
    pub(crate) orders: Vec<Order>,
}

/// How Secrets are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrets {
    /// Not yet: it is not known which are named.
    Waiting,
    /// All of them, of which those are kept that are named.
    Together,
    /// Each by its name, since all of them together are forbidden.
    Apart,
}

/// The state of the source.
#[derive(Debug)]
pub(crate) struct Intake {
    /// The namespaces to look at; none for all.
    namespaces: Vec<String>,
    /// What is followed, and whether as much of it is known as can be.
    streams: BTreeMap<Scope, bool>,
    secrets: Secrets,
    /// What each Ingress names.
    references: BTreeMap<ObjectName, BTreeSet<Id>>,
    /// Ingresses and Services that are there, for all that who writes status was told.
    told: BTreeSet<Id>,
    /// Those of them that a list has not yet shown, by its scope.
    unseen: BTreeMap<Scope, BTreeSet<Id>>,
    /// How many name a Secret or ConfigMap; flags name some too.
    wanted: BTreeMap<Id, usize>,
    /// Secrets that have been asked for.
    fetching: BTreeSet<Id>,
    troubles: Troubles,
    complete: bool,
}

impl Intake {
    /// Of these namespaces, or of all; `named` are the Secrets and ConfigMaps that flags name.
    pub(crate) fn new(namespaces: &[String], named: impl IntoIterator<Item = Id>) -> (Self, Reaction) {
        let mut intake = Self {
            namespaces: namespaces.to_vec(),
            streams: BTreeMap::new(),
            secrets: Secrets::Waiting,
            references: BTreeMap::new(),
            told: BTreeSet::new(),
            unseen: BTreeMap::new(),
            wanted: BTreeMap::new(),
            fetching: BTreeSet::new(),
            troubles: Troubles::default(),
            complete: false,
        };
        let mut reaction = Reaction::default();
        for kind in WHOLE {
            for scope in intake.scopes(kind) {
                intake.start(scope, None, &mut reaction);
            }
        }
        for id in named {
            intake.want(&id, &mut reaction);
        }
        (intake, reaction)
    }

    /// What a stream says.
    pub(crate) fn take(&mut self, scope: &Scope, said: Said) -> Reaction {
        let mut reaction = Reaction::default();
        if let Said::Fetched(found) = said {
            self.fetched(scope, found, &mut reaction);
        } else if let Some(id) = scope.single().filter(|id| self.fetching.remove(id)) {
            // It may not be asked for; what may be listed can be followed, and what may not is told.
            self.start_one(&id, &mut reaction);
        } else if self.streams.contains_key(scope) {
            self.hear(scope, said, &mut reaction);
        }
        self.advance(&mut reaction);
        if let Some(troubles) = self.troubles.news() {
            reaction.changes.push(Change::Troubles(troubles));
        }
        reaction
    }

    fn hear(&mut self, scope: &Scope, said: Said, reaction: &mut Reaction) {
        match said {
            Said::Listing => {
                if matches!(scope.kind, Kind::Ingress | Kind::Service) {
                    let known = self.told.iter().filter(|id| scope.covers(id));
                    self.unseen.insert(scope.clone(), known.cloned().collect());
                }
                reaction.changes.push(Change::Listing(scope.clone()));
            }
            Said::Object(version, text) => self.object(scope, version, text, reaction),
            Said::Deleted(id) => {
                if id.kind == Kind::Ingress {
                    self.refers(&id.name, &BTreeSet::new(), reaction);
                }
                if matches!(id.kind, Kind::Ingress | Kind::Service) {
                    self.tell(Seen::Gone(id.clone()), reaction);
                }
                self.fetching.remove(&id);
                if id.kind != Kind::Secret || self.wanted.contains_key(&id) {
                    reaction.changes.push(Change::Deleted(id));
                }
            }
            Said::Listed => {
                for id in self.unseen.remove(scope).unwrap_or_default() {
                    if id.kind == Kind::Ingress {
                        self.refers(&id.name, &BTreeSet::new(), reaction);
                    }
                    self.tell(Seen::Gone(id), reaction);
                }
                reaction.changes.push(Change::Listed(scope.clone()));
                self.settled(scope);
            }
            Said::Trouble(failure) => self.failed(scope, failure, reaction),
            Said::Fine => self.troubles.over(scope),
            Said::Fetched(_) => {}
        }
    }

    fn object(&mut self, scope: &Scope, version: Version, text: ObjectText, reaction: &mut Reaction) {
        let id = &version.id;
        if let Some(unseen) = self.unseen.get_mut(scope) {
            unseen.remove(id);
        }
        match id.kind {
            Kind::Ingress => {
                let value = text.value();
                let names = references::of_ingress(&id.name.namespace, &value);
                self.refers(&id.name, &names, reaction);
                self.tell(Seen::object(id, &value), reaction);
            }
            Kind::Service => self.tell(Seen::object(id, &text.value()), reaction),
            Kind::Secret if !self.wanted.contains_key(id) => return,
            Kind::Secret => {
                // What is asked for is no newer than what a watch says later.
                self.fetching.remove(id);
            }
            _ => {}
        }
        reaction.changes.push(Change::Object(Arc::new(version), text));
    }

    fn tell(&mut self, seen: Seen, reaction: &mut Reaction) {
        match &seen {
            Seen::There { id, .. } => self.told.insert(id.clone()),
            Seen::Gone(id) => self.told.remove(id),
        };
        reaction.seen.push(seen);
    }

    fn failed(&mut self, scope: &Scope, failure: Failure, reaction: &mut Reaction) {
        let together =
            self.secrets == Secrets::Together && scope.kind == Kind::Secret && scope.name.is_none();
        match failure {
            Failure::Forbidden(reason) if together => {
                tracing::info!("{reason}; Secrets are followed one by one");
                self.part_secrets(reaction);
            }
            Failure::Missing if optional(scope.kind) => {
                reaction.changes.push(Change::Listing(scope.clone()));
                reaction.changes.push(Change::Listed(scope.clone()));
                self.troubles.over(scope);
                self.settled(scope);
            }
            failure => {
                if matches!(failure, Failure::Forbidden(_) | Failure::Missing) {
                    self.settled(scope);
                }
                self.troubles.met(scope, &failure);
            }
        }
    }

    /// The scopes in which a kind is followed as a whole.
    fn scopes(&self, kind: Kind) -> Vec<Scope> {
        if !kind.namespaced() || self.namespaces.is_empty() {
            return vec![Scope::all(kind)];
        }
        let of = |namespace: &String| Scope {
            namespace: Some(namespace.into()),
            ..Scope::all(kind)
        };
        self.namespaces.iter().map(of).collect()
    }

    fn start(&mut self, scope: Scope, fields: Option<String>, reaction: &mut Reaction) {
        if self.streams.insert(scope.clone(), false).is_none() {
            reaction.orders.push(Order::Start(scope, fields));
        }
    }

    fn stop(&mut self, scope: Scope, reaction: &mut Reaction) {
        if self.streams.remove(&scope).is_some() {
            self.troubles.over(&scope);
            reaction.orders.push(Order::Stop(scope));
        }
    }

    fn settled(&mut self, scope: &Scope) {
        if let Some(settled) = self.streams.get_mut(scope) {
            *settled = true;
        }
    }

    /// Follows an object by its name.
    fn start_one(&mut self, id: &Id, reaction: &mut Reaction) {
        let fields = format!("metadata.name={}", id.name.name);
        self.start(Scope::one(id), Some(fields), reaction);
    }

    /// An Ingress names these now.
    fn refers(&mut self, ingress: &ObjectName, names: &BTreeSet<Id>, reaction: &mut Reaction) {
        let before = if names.is_empty() {
            self.references.remove(ingress)
        } else {
            self.references.insert(ingress.clone(), names.clone())
        }
        .unwrap_or_default();
        for id in names.difference(&before) {
            self.want(id, reaction);
        }
        for id in before.difference(names) {
            self.unwant(id, reaction);
        }
    }

    fn want(&mut self, id: &Id, reaction: &mut Reaction) {
        let count = self.wanted.entry(id.clone()).or_default();
        *count += 1;
        if *count == 1 {
            self.follow(id, reaction);
        }
    }

    fn follow(&mut self, id: &Id, reaction: &mut Reaction) {
        let covered = || self.scopes(id.kind).iter().any(|scope| scope.covers(id));
        match (id.kind, self.secrets) {
            (Kind::Secret, Secrets::Waiting) => {}
            (Kind::Secret, Secrets::Together) if covered() => {
                self.fetching.insert(id.clone());
                reaction.orders.push(Order::Fetch(id.clone()));
            }
            _ => self.start_one(id, reaction),
        }
    }

    fn unwant(&mut self, id: &Id, reaction: &mut Reaction) {
        let Some(count) = self.wanted.get_mut(id) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.wanted.remove(id);
        self.fetching.remove(id);
        self.stop(Scope::one(id), reaction);
        reaction.changes.push(Change::Deleted(id.clone()));
    }

    fn fetched(&mut self, scope: &Scope, found: Option<(Version, ObjectText)>, reaction: &mut Reaction) {
        let Some(id) = scope.single().filter(|id| self.fetching.remove(id)) else {
            return;
        };
        reaction.changes.push(match found {
            Some((version, text)) => Change::Object(Arc::new(version), text),
            None => Change::Deleted(id),
        });
    }

    /// Follows each Secret by its name from now on.
    fn part_secrets(&mut self, reaction: &mut Reaction) {
        self.secrets = Secrets::Apart;
        self.fetching.clear();
        for scope in self.scopes(Kind::Secret) {
            self.stop(scope, reaction);
        }
        self.follow_secrets(reaction);
    }

    fn follow_secrets(&mut self, reaction: &mut Reaction) {
        let secrets: Vec<_> = self
            .wanted
            .keys()
            .filter(|id| id.kind == Kind::Secret)
            .cloned()
            .collect();
        for id in secrets {
            let together = self.secrets == Secrets::Together;
            if !(together && self.scopes(Kind::Secret).iter().any(|scope| scope.covers(&id))) {
                self.start_one(&id, reaction);
            }
        }
    }

    /// Goes on to Secrets once the Ingresses are known, and says when all is known.
    fn advance(&mut self, reaction: &mut Reaction) {
        let known = |kind: Option<Kind>| {
            let mut streams = self.streams.iter();
            streams.all(|(scope, settled)| *settled || kind.is_some_and(|kind| scope.kind != kind))
        };
        if self.secrets == Secrets::Waiting && known(Some(Kind::Ingress)) {
            self.secrets = Secrets::Together;
            for scope in self.scopes(Kind::Secret) {
                self.start(scope, Some(OTHER_SECRETS.to_owned()), reaction);
            }
            self.follow_secrets(reaction);
        } else if !self.complete
            && self.secrets != Secrets::Waiting
            && self.fetching.is_empty()
            && known(None)
        {
            self.complete = true;
            pack(&mut self.references);
            pack_set(&mut self.told);
            reaction.changes.push(Change::Complete);
        }
    }
}
