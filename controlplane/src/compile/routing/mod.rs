//! Routes: from objects that say which request goes where to hosts, upstreams and certificates.
//!
//! Each object is read for itself into neutral routes ([`ingress`]); hosts put theirs in one order ([`rank`]). A change of
//! an Ingress is that Ingress and the hosts of which it says something else now; a change of a Service or Secret is the
//! Ingresses that name it; an endpoint that comes or goes is one upstream.

mod backend;
mod certificates;
mod classes;
mod fallback;
mod host;
mod ingress;
mod lookalikes;
mod rank;
mod tls_redirect;

use std::collections::{BTreeMap, BTreeSet};

use headgate_ring::message::{Key, Object, Upstream, UpstreamProtocol};

use super::feeds::Feeds;
use super::ledger::Ledger;
use super::notes::{About, Note, Notes, Place};
use super::world::World;
use super::{Settings, Work};
use crate::few::FewSet;
use crate::model::Ingress;
use crate::model::{ObjectName, Secret};
use crate::pack::pack;
use crate::problem::Problem;
use certificates::Certificates;
use classes::Classes;
pub use classes::IngressSelection;
pub(crate) use classes::{Assignment, assign};
use fallback::Fallback;
use host::Host;
use ingress::{Written, id};
use lookalikes::LookAlikes;

/// Ingresses by what they name.
type Users = BTreeMap<ObjectName, FewSet<ObjectName>>;

#[derive(Debug, Default)]
pub(super) struct Routing {
    /// In boxes: a node of the tree has room for eleven, of which five are mostly empty.
    served: BTreeMap<ObjectName, Box<Written>>,
    hosts: BTreeMap<String, Host>,
    upstreams: BTreeMap<String, Named>,
    by_service: Users,
    by_secret: Users,
    /// How many Ingresses give each host TLS.
    tls_hosts: BTreeMap<String, usize>,
    certificates: Certificates,
    /// Of the flag, once it was looked at.
    fallback: Option<Fallback>,
    unclassed: Notes<ObjectName>,
    look_alikes: LookAlikes,
    contested: Notes<String>,
    /// Ingresses to be read again.
    stale: BTreeSet<ObjectName>,
    stale_hosts: BTreeSet<String>,
    /// Whether all Ingresses are to be read again.
    reclassed: bool,
    /// Ingresses that have become served, or are no longer.
    reassigned: BTreeSet<ObjectName>,
}

/// An upstream that Ingresses name.
#[derive(Debug)]
struct Named {
    /// How many do.
    users: usize,
    fed_by: Option<(ObjectName, usize)>,
}

impl Routing {
    pub(super) fn ingress_changed(&mut self, name: &ObjectName) {
        self.stale.insert(name.clone());
    }

    pub(super) fn service_changed(&mut self, name: &ObjectName) {
        self.stale.extend(
            self.by_service
                .get(name)
                .into_iter()
                .flat_map(FewSet::iter)
                .cloned(),
        );
    }

    pub(super) fn secret_changed(&mut self, name: &ObjectName) {
        self.stale.extend(
            self.by_secret
                .get(name)
                .into_iter()
                .flat_map(FewSet::iter)
                .cloned(),
        );
        self.certificates.secret_changed(name);
    }

    pub(super) fn classes_changed(&mut self) {
        self.reclassed = true;
    }

    /// Whether Ingresses of a class look like ours, which it is not.
    pub(super) fn is_look_alike(&self, class: &str) -> bool {
        self.look_alikes.contains(class)
    }

    /// Whether an Ingress is served.
    pub(super) fn serves(&self, name: &ObjectName) -> bool {
        self.served.contains_key(name)
    }

    pub(super) fn take_reassigned(&mut self) -> BTreeSet<ObjectName> {
        std::mem::take(&mut self.reassigned)
    }

    /// When to settle again in any case, in seconds since 1970: a certificate begins or ends to be valid.
    pub(super) fn valid_until(&self) -> i64 {
        self.certificates.valid_until()
    }

    /// Makes it take no more room than what it keeps.
    pub(super) fn pack(&mut self) {
        pack(&mut self.served);
        pack(&mut self.hosts);
        pack(&mut self.upstreams);
        pack(&mut self.by_service);
        pack(&mut self.by_secret);
        pack(&mut self.tls_hosts);
    }

    /// Brings the ledger up to date with all that was taken in.
    pub(super) fn settle(
        &mut self,
        world: &World<'_>,
        settings: &Settings,
        now: i64,
        feeds: &mut Feeds,
        ledger: &mut Ledger<'_>,
    ) -> Work {
        if std::mem::take(&mut self.reclassed) {
            self.stale
                .extend(world.model.ingresses().map(|(name, _)| name.clone()));
        }
        let stale = std::mem::take(&mut self.stale);
        let classes = Classes::of(world.model, settings);
        for name in &stale {
            let ingress = world.model.ingress(name);
            let ours = ingress.is_some_and(|ingress| self.is_ours(name, ingress, &classes));
            let written = ingress
                .filter(|_| ours)
                .map(|ingress| Written::read(world, settings, name, ingress));
            if ingress.is_none() {
                self.unclassed.set(name.clone(), Vec::new());
                self.look_alikes.set(name, None);
            }
            self.replace(name, written, feeds, ledger);
        }
        self.settle_fallback(world, settings, feeds, ledger);
        let hosts = std::mem::take(&mut self.stale_hosts);
        for host in &hosts {
            self.put_host(host, settings, ledger);
        }
        self.certificates.settle(world, settings, now, ledger);
        Work {
            ingresses: stale.len(),
            hosts: hosts.len(),
            fed: 0,
        }
    }

    /// The default backend of all hosts: as long as it can take anything, each host ends with it.
    fn settle_fallback(
        &mut self,
        world: &World<'_>,
        settings: &Settings,
        feeds: &mut Feeds,
        ledger: &mut Ledger<'_>,
    ) {
        let Some(name) = &settings.default_backend else {
            return;
        };
        if self.fallback.is_some() && !feeds.is_stale(name) {
            return;
        }
        let now = Fallback::of(world, name);
        let before = self.fallback.take().unwrap_or_default();
        if before.upstream() != now.upstream() {
            if let Some((upstream, fed_by)) = now.upstream() {
                self.use_upstream(upstream, Some(fed_by), feeds, ledger);
            }
            if let Some((upstream, _)) = before.upstream() {
                self.leave_upstream(upstream, feeds, ledger);
            }
            self.stale_hosts.extend(self.hosts.keys().cloned());
            self.stale_hosts.insert(String::new());
        }
        self.fallback = Some(now);
    }

    /// Whether an Ingress is served; one that is probably meant to be and is not gets a line.
    fn is_ours(&mut self, name: &ObjectName, ingress: &Ingress, classes: &Classes<'_>) -> bool {
        let assignment = classes.assign(name, ingress);
        let notes = match &assignment {
            Assignment::Ours | Assignment::Theirs => Vec::new(),
            Assignment::LeftOut(text) => {
                let place = Place {
                    about: About::Class,
                    age: ingress.age,
                    object: name.clone(),
                    field: [0; 3],
                };
                vec![(place, Problem::warning(id(name), text.clone()))]
            }
        };
        self.unclassed.set(name.clone(), notes);
        self.look_alikes.set(name, classes.of_look_alike(name, ingress));
        assignment == Assignment::Ours
    }

    /// What an Ingress says is this now.
    fn replace(
        &mut self,
        name: &ObjectName,
        new: Option<Written>,
        feeds: &mut Feeds,
        ledger: &mut Ledger<'_>,
    ) {
        let old = self.served.remove(name).map(|old| *old);
        if old.is_some() != new.is_some() {
            self.reassigned.insert(name.clone());
        }
        if old == new {
            self.served.extend(new.map(|new| (name.clone(), Box::new(new))));
            return;
        }
        // What is used still is never without a user in between.
        if let Some(new) = &new {
            for (upstream, fed_by) in &new.upstreams {
                self.use_upstream(upstream, fed_by.as_ref(), feeds, ledger);
            }
            use_all(&mut self.by_service, &new.services, name);
            use_all(&mut self.by_secret, &new.tls.secrets, name);
        }
        if let Some(old) = &old {
            for upstream in old.upstreams.keys() {
                self.leave_upstream(upstream, feeds, ledger);
            }
            let kept = |set: fn(&Written) -> &FewSet<ObjectName>| new.as_ref().map(set);
            leave_all(&mut self.by_service, &old.services, kept(|w| &w.services), name);
            leave_all(
                &mut self.by_secret,
                &old.tls.secrets,
                kept(|w| &w.tls.secrets),
                name,
            );
        }
        self.replace_candidates(old.as_ref(), new.as_ref());
        self.replace_tls_hosts(old.as_ref(), new.as_ref());
        self.certificates
            .replace(old.as_ref().map(|w| &w.tls), new.as_ref().map(|w| &w.tls));
        self.served.extend(new.map(|new| (name.clone(), Box::new(new))));
    }

    fn replace_candidates(&mut self, old: Option<&Written>, new: Option<&Written>) {
        let of = |written: Option<&Written>, host: &str| {
            written.and_then(|written| written.hosts.get(host)).cloned()
        };
        let names = old
            .into_iter()
            .chain(new)
            .flat_map(|written| written.hosts.keys());
        let names: BTreeSet<&String> = names.collect();
        for name in names {
            let (before, now) = (of(old, name), of(new, name));
            if before == now {
                continue;
            }
            let host = self.hosts.entry(name.clone()).or_default();
            before
                .into_iter()
                .flatten()
                .for_each(|candidate| host.remove(&candidate));
            now.into_iter()
                .flatten()
                .for_each(|candidate| host.insert(candidate));
            self.stale_hosts.insert(name.clone());
        }
    }

    fn replace_tls_hosts(&mut self, old: Option<&Written>, new: Option<&Written>) {
        let (old, new) = (old.map(|w| &w.tls.hosts), new.map(|w| &w.tls.hosts));
        for host in new.into_iter().flat_map(FewSet::iter) {
            let users = self.tls_hosts.entry(host.clone()).or_default();
            *users += 1;
            if *users == 1 {
                self.tls_changed(host);
            }
        }
        for host in old.into_iter().flat_map(FewSet::iter) {
            let Some(users) = self.tls_hosts.get_mut(host) else {
                continue;
            };
            *users -= 1;
            if *users == 0 {
                self.tls_hosts.remove(host);
                self.tls_changed(host);
            }
        }
    }

    /// The hosts below a wildcard have, or lose, TLS with it.
    fn tls_changed(&mut self, pattern: &str) {
        let covered = |host: &&String| *host == pattern || wildcard_of(host).is_some_and(|w| w == pattern);
        if pattern.starts_with("*.") {
            self.stale_hosts
                .extend(self.hosts.keys().filter(covered).cloned());
        } else if self.hosts.contains_key(pattern) {
            self.stale_hosts.insert(pattern.to_owned());
        }
    }

    fn has_tls(&self, host: &str) -> bool {
        self.tls_hosts.contains_key(host)
            || wildcard_of(host).is_some_and(|w| self.tls_hosts.contains_key(&w))
    }

    fn put_host(&mut self, name: &str, settings: &Settings, ledger: &mut Ledger<'_>) {
        let has_tls = self.has_tls(name);
        let key = Key::VirtualHost(name.to_owned());
        if self.hosts.get(name).is_some_and(Host::is_empty) {
            self.hosts.remove(name);
        }
        let fallback = self.fallback.as_ref().and_then(Fallback::route);
        let mut nobodys = Host::default();
        let host = match self.hosts.get_mut(name) {
            Some(host) => host,
            None if name.is_empty() && fallback.is_some() => &mut nobodys,
            None => {
                self.contested.set(name.to_owned(), Vec::new());
                ledger.delete(&key);
                return;
            }
        };
        let (made, notes) = host.compile(name, has_tls, fallback, settings);
        self.contested.set(name.to_owned(), notes);
        ledger.put(Object::VirtualHost(made));
    }

    fn use_upstream(
        &mut self,
        name: &str,
        fed_by: Option<&(ObjectName, usize)>,
        feeds: &mut Feeds,
        ledger: &mut Ledger<'_>,
    ) {
        let key = Key::Upstream(name.to_owned());
        let known = self.upstreams.get_mut(name);
        let before = known.map(|known| {
            known.users += 1;
            std::mem::replace(&mut known.fed_by, fed_by.cloned())
        });
        if before.as_ref().map(Option::as_ref) == Some(fed_by) {
            return;
        }
        match &before {
            Some(Some((service, port))) => feeds.remove(service, *port, key.clone()),
            Some(None) => {}
            None => {
                let fed_by = fed_by.cloned();
                self.upstreams.insert(name.to_owned(), Named { users: 1, fed_by });
            }
        }
        match fed_by {
            Some((service, port)) => feeds.add(service, *port, key),
            None => ledger.put(Object::Upstream(Upstream {
                name: name.to_owned(),
                protocol: UpstreamProtocol::default(),
                endpoints: Vec::new(),
            })),
        }
    }

    fn leave_upstream(&mut self, name: &str, feeds: &mut Feeds, ledger: &mut Ledger<'_>) {
        let Some(known) = self.upstreams.get_mut(name) else {
            return;
        };
        known.users -= 1;
        if known.users > 0 {
            return;
        }
        let key = Key::Upstream(name.to_owned());
        let gone = self.upstreams.remove(name);
        if let Some((service, port)) = gone.and_then(|gone| gone.fed_by) {
            feeds.remove(&service, port, key.clone());
        }
        ledger.delete(&key);
    }

    /// What is wrong, in no order.
    pub(super) fn notes(&self) -> impl Iterator<Item = Note> {
        let written = self
            .served
            .values()
            .flat_map(|w| w.notes.iter().chain(&w.tls.notes));
        let kept = self.unclassed.iter().chain(self.contested.iter()).chain(written);
        let fallback = self.fallback.iter().flat_map(|fallback| &fallback.note);
        let kept = kept.chain(self.certificates.notes()).chain(fallback).cloned();
        kept.chain(self.look_alikes.notes()).chain(
            self.served
                .iter()
                .filter_map(|(name, written)| self.unused_default(name, written)),
        )
    }

    /// A default backend of which nothing is used.
    fn unused_default(&self, name: &ObjectName, written: &Written) -> Option<Note> {
        if !written.has_default {
            return None;
        }
        let is_used = |host: &str| self.hosts.get(host).is_some_and(|host| host.falls_back_to(name));
        let holder = self.hosts.get("")?.root()?;
        if written.hosts.keys().any(|host| is_used(host)) {
            return None;
        }
        let text =
            format!("spec.defaultBackend: is not used: Ingress {holder} takes all such requests already");
        let place = Place {
            about: About::Rule,
            age: written.age,
            object: name.clone(),
            field: [usize::MAX, 1, 0],
        };
        Some((place, Problem::warning(id(name), text)))
    }
}

/// `*.example.com` of `shop.example.com`.
fn wildcard_of(host: &str) -> Option<String> {
    let (first, parent) = host.split_once('.')?;
    (first != "*").then(|| format!("*.{parent}"))
}

fn use_all(users: &mut Users, named: &FewSet<ObjectName>, by: &ObjectName) {
    for name in named.iter() {
        users.entry(name.clone()).or_default().insert(by.clone());
    }
}

fn leave_all(
    users: &mut Users,
    named: &FewSet<ObjectName>,
    kept: Option<&FewSet<ObjectName>>,
    by: &ObjectName,
) {
    for name in named
        .iter()
        .filter(|name| !kept.is_some_and(|kept| kept.contains(*name)))
    {
        if let Some(of_name) = users.get_mut(name) {
            of_name.remove(by);
            if of_name.is_empty() {
                users.remove(name);
            }
        }
    }
}

/// The certificate of a Secret; the last good one where the Secret is gone, or has none any more, under an Ingress that
/// uses it.
fn find<'a>(world: &World<'a>, name: &ObjectName) -> Option<&'a crate::model::TlsSecret> {
    let secret = world
        .model
        .secret(name)
        .and_then(|secret| Secret::tls(secret).ok());
    secret.or_else(|| world.model.last_good_certificate(name))
}

#[cfg(test)]
impl Routing {
    pub(super) fn is_empty(&self) -> bool {
        self.served.is_empty()
            && self.hosts.is_empty()
            && self.upstreams.is_empty()
            && self.by_service.is_empty()
            && self.by_secret.is_empty()
            && self.tls_hosts.is_empty()
            && self.certificates.is_empty()
            && self.look_alikes.is_empty()
            && self.stale.is_empty()
            && self.stale_hosts.is_empty()
    }
}
