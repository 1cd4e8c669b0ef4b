//! `spec.tls` of Ingresses: which certificate is shown for which host.

use std::collections::{BTreeMap, BTreeSet};

use headgate_ring::message::{Certificate, Key, Object};
use k8s_openapi::jiff::Timestamp;

use super::find;
use crate::compile::Settings;
use crate::compile::ledger::Ledger;
use crate::compile::notes::{About, Note, Notes, Place};
use crate::compile::world::World;
use crate::few::FewSet;
use crate::model::{Age, Id, Ingress, Kind, ObjectName, Secret, TlsSecret, age};
use crate::problem::Problem;

/// In seconds.
const DAY: i64 = 86_400;

/// Who claims a host, the older Ingress first: and which of its `spec.tls`.
type HostClaim = (Age, ObjectName, usize);

/// What an Ingress says of certificates.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct IngressCertificates {
    /// Hosts and their Secrets.
    claims: Vec<(String, HostClaim, ObjectName)>,
    /// Hosts that have TLS by it, with whatever certificate.
    pub(super) hosts: FewSet<String>,
    pub(super) secrets: FewSet<ObjectName>,
    pub(super) notes: Vec<Note>,
}

impl IngressCertificates {
    pub(super) fn read(world: &World<'_>, name: &ObjectName, ingress: &Ingress) -> Self {
        let mut read = Self::default();
        for tls in &ingress.tls {
            read.add(world, name, ingress, tls);
        }
        read
    }

    fn add(
        &mut self,
        world: &World<'_>,
        name: &ObjectName,
        ingress: &Ingress,
        tls: &crate::model::ingress::IngressTls,
    ) {
        let index = tls.place;
        for host in &tls.hosts {
            self.hosts.insert(host.name.clone());
        }
        // Without a Secret the default certificate serves.
        let Some(secret_name) = tls.secret.as_deref().map(|s| name.sibling(s)) else {
            return;
        };
        self.secrets.insert(secret_name.clone());
        let id = Id::new(Kind::Ingress, name.clone());
        let at = |field: usize| Place {
            about: About::Tls,
            age: ingress.age,
            object: name.clone(),
            field: [index, field, 0],
        };
        if let Some(reason) = missing(world, &secret_name) {
            let text = format!("spec.tls[{index}].secretName: {reason}");
            self.notes.push((at(0), Problem::error(id.clone(), text)));
        }
        let Some(secret) = find(world, &secret_name) else {
            return;
        };
        for host in tls.hosts.iter().filter(|host| !secret.names(&host.name)) {
            let text = format!(
                "spec.tls[{index}].hosts[{}]: the certificate of Secret {secret_name} does not name \"{}\"",
                host.place, host.name
            );
            self.notes
                .push((at(1 + host.place), Problem::warning(id.clone(), text)));
        }
        let hosts: BTreeSet<&String> = if tls.hosts.is_empty() {
            let of_rules = ingress.rules.iter().map(|rule| &rule.host);
            of_rules
                .filter(|host| !host.is_empty() && secret.names(host))
                .collect()
        } else {
            tls.hosts.iter().map(|host| &host.name).collect()
        };
        for host in hosts {
            self.hosts.insert(host.clone());
            let claim = (ingress.age, name.clone(), index);
            self.claims.push((host.clone(), claim, secret_name.clone()));
        }
    }
}

/// Why there is nothing, or not what was asked for.
fn missing(world: &World<'_>, name: &ObjectName) -> Option<String> {
    let kept = world.model.last_good_certificate(name).is_some();
    let reason = match world.model.secret(name).map(Secret::tls) {
        Some(Ok(_)) => return None,
        Some(Err(reason)) => format!("has no certificate that can be used: {reason}"),
        None if kept => "is gone".to_owned(),
        None => "does not exist or has never been good".to_owned(),
    };
    let consequence = if kept {
        "its last good certificate stays in force"
    } else {
        "the default certificate serves"
    };
    Some(format!("Secret {name} {reason}; {consequence}"))
}

/// Which Secret serves which host.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    claims: BTreeMap<String, BTreeMap<HostClaim, ObjectName>>,
    serving: BTreeMap<String, ObjectName>,
    /// The other way round.
    hosts: BTreeMap<ObjectName, BTreeSet<String>>,
    /// The Secret of the default certificate, in force.
    default: Option<ObjectName>,
    /// When each certificate next begins or ends to be valid, in seconds since 1970.
    changes_at: BTreeMap<ObjectName, i64>,
    stale_hosts: BTreeSet<String>,
    stale: BTreeSet<ObjectName>,
    contested: Notes<String>,
    validity: Notes<ObjectName>,
    missing_default: Notes<()>,
}

impl Certificates {
    pub(super) fn valid_until(&self) -> i64 {
        self.changes_at.values().copied().min().unwrap_or(i64::MAX)
    }

    pub(super) fn secret_changed(&mut self, name: &ObjectName) {
        self.stale.insert(name.clone());
    }

    /// What an Ingress says is this now.
    pub(super) fn replace(&mut self, old: Option<&IngressCertificates>, new: Option<&IngressCertificates>) {
        for (host, claim, _) in old.into_iter().flat_map(|tls| &tls.claims) {
            if let Some(claims) = self.claims.get_mut(host) {
                claims.remove(claim);
                if claims.is_empty() {
                    self.claims.remove(host);
                }
            }
            self.stale_hosts.insert(host.clone());
        }
        for (host, claim, secret) in new.into_iter().flat_map(|tls| &tls.claims) {
            let claims = self.claims.entry(host.clone()).or_default();
            claims.insert(claim.clone(), secret.clone());
            self.stale_hosts.insert(host.clone());
        }
    }

    /// Puts a certificate for each Secret that an Ingress uses, and the default one.
    pub(super) fn settle(
        &mut self,
        world: &World<'_>,
        settings: &Settings,
        now: i64,
        ledger: &mut Ledger<'_>,
    ) {
        for host in std::mem::take(&mut self.stale_hosts) {
            let notes = self.serve(&host);
            self.contested.set(host, notes);
        }
        self.settle_default(world, settings, ledger);
        let due = self.changes_at.iter().filter(|(_, at)| now >= **at);
        let due: Vec<_> = due.map(|(name, _)| name.clone()).collect();
        self.stale.extend(due);
        for name in std::mem::take(&mut self.stale) {
            self.changes_at.remove(&name);
            let mut notes = Vec::new();
            match (self.hosts.get(&name), find(world, &name)) {
                (Some(hosts), Some(secret)) => {
                    let next = check_validity(&name, secret, now, &mut notes);
                    self.changes_at.extend(next.map(|at| (name.clone(), at)));
                    ledger.put(Object::Certificate(Certificate {
                        name: name.to_string(),
                        hosts: hosts.iter().cloned().collect(),
                        chain: secret.chain.clone(),
                        key: secret.key.clone(),
                    }));
                }
                _ => ledger.delete(&Key::Certificate(name.to_string())),
            }
            self.validity.set(name, notes);
        }
    }

    /// Gives a host to the oldest that claims it.
    fn serve(&mut self, host: &str) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut claims = self.claims.get(host).into_iter().flatten();
        let holder = claims.next();
        for ((age, ingress, index), secret) in claims {
            let Some(((_, by, _), holder)) = holder.filter(|(_, holder)| *holder != secret) else {
                continue;
            };
            let text = format!(
                "spec.tls[{index}].secretName: \"{host}\" has the certificate of Secret {holder} by Ingress {by} already"
            );
            let place = Place {
                about: About::Tls,
                age: *age,
                object: ingress.clone(),
                field: [*index, usize::MAX, 0],
            };
            notes.push((
                place,
                Problem::error(Id::new(Kind::Ingress, ingress.clone()), text),
            ));
        }
        let now = holder.map(|(_, secret)| secret.clone());
        let before = self.serving.get(host).cloned();
        if now != before {
            self.move_host(host, before, now.clone());
            match now {
                Some(now) => self.serving.insert(host.to_owned(), now),
                None => self.serving.remove(host),
            };
        }
        notes
    }

    fn move_host(&mut self, host: &str, from: Option<ObjectName>, to: Option<ObjectName>) {
        if let Some(from) = from {
            if let Some(hosts) = self.hosts.get_mut(&from) {
                hosts.remove(host);
                if hosts.is_empty() {
                    self.hosts.remove(&from);
                }
            }
            self.stale.insert(from);
        }
        if let Some(to) = to {
            self.hosts.entry(to.clone()).or_default().insert(host.to_owned());
            self.stale.insert(to);
        }
    }

    /// The certificate for clients that name no host or an unknown one.
    fn settle_default(&mut self, world: &World<'_>, settings: &Settings, ledger: &mut Ledger<'_>) {
        if settings.addresses.is_empty() || settings.https_port == 0 {
            return;
        }
        let wanted = settings.default_certificate.as_ref();
        let found = wanted.filter(|name| find(world, name).is_some());
        let mut notes = Vec::new();
        if let (Some(name), None) = (wanted, found) {
            let reason = missing(world, name).unwrap_or_default();
            let id = Id::new(Kind::Secret, name.clone());
            let problem = Problem::error(id, format!("--default-certificate: {reason}"));
            notes.push((place(About::DefaultCertificate, name), problem));
        }
        self.missing_default.set((), notes);
        if self.default.as_ref() != found {
            let before = std::mem::replace(&mut self.default, found.cloned());
            self.move_host("", before, found.cloned());
        }
        if let Some(fallback) = &settings.fallback_certificate {
            if found.is_none() {
                ledger.put(Object::Certificate(Certificate {
                    hosts: vec![String::new()],
                    ..fallback.clone()
                }));
            } else {
                ledger.delete(&Key::Certificate(fallback.name.clone()));
            }
        }
    }

    pub(super) fn notes(&self) -> impl Iterator<Item = &Note> {
        let notes = self.contested.iter().chain(self.validity.iter());
        notes.chain(self.missing_default.iter())
    }
}

fn place(about: About, secret: &ObjectName) -> Place {
    Place {
        about,
        age: age(&Default::default()),
        object: secret.clone(),
        field: [0; 3],
    }
}

/// Notes what is wrong with a certificate now. Gives when that next changes.
fn check_validity(name: &ObjectName, secret: &TlsSecret, now: i64, notes: &mut Vec<Note>) -> Option<i64> {
    let (not_before, not_after) = secret.validity;
    let next = [not_before, not_after.saturating_add(1)];
    let next = next.into_iter().filter(|at| *at > now).min();
    let mut warn = |text: String| {
        let problem = Problem::warning(Id::new(Kind::Secret, name.clone()), text);
        notes.push((place(About::Validity, name), problem));
    };
    if secret.version == 1 {
        let text = "data[tls.crt]: the certificate is an X.509 version 1 certificate: it names no host, and clients may refuse it";
        warn(text.to_owned());
    }
    let written = |at: i64| Timestamp::from_second(at).map_or_else(|_| at.to_string(), |t| t.to_string());
    let days = |seconds: i64| match seconds / DAY {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    let trouble = if now > not_after {
        format!("expired {} ago, at {}", days(now - not_after), written(not_after))
    } else if now < not_before {
        format!(
            "is not valid before {}, in {}",
            written(not_before),
            days(not_before - now)
        )
    } else {
        return next;
    };
    warn(format!(
        "data[tls.crt]: the certificate {trouble}; clients will refuse it"
    ));
    next
}

#[cfg(test)]
impl Certificates {
    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty()
            && self.serving.is_empty()
            && self.hosts.is_empty()
            && self.changes_at.is_empty()
            && self.stale_hosts.is_empty()
            && self.stale.is_empty()
    }
}
