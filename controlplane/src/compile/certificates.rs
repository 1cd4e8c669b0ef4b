//! `spec.tls` of Ingresses: which certificate is shown for which host.

use std::collections::{BTreeMap, BTreeSet};

use headgate_ring::message::{Certificate, Object};
use k8s_openapi::jiff::Timestamp;

use super::Settings;
use super::routes::Ingresses;
use super::traffic::Plan;
use super::world::World;
use crate::model::ingress::Tls;
use crate::model::{Id, Ingress, Kind, ObjectName, Secret, TlsSecret};
use crate::problem::Problem;

/// In seconds.
const DAY: i64 = 86_400;

#[derive(Default)]
struct Hosts {
    /// The Secret of each host, and the Ingress that has claimed it first.
    claimed: BTreeMap<String, (ObjectName, ObjectName)>,
}

/// Puts a certificate for each Secret that an Ingress uses, and the default one.
pub(super) fn compile(
    world: &World<'_>,
    ingresses: &Ingresses<'_>,
    settings: &Settings,
    now: i64,
    plan: &mut Plan,
) {
    let mut hosts = Hosts::default();
    for (name, ingress) in ingresses {
        for tls in &ingress.tls {
            hosts.add(world, name, ingress, tls, plan);
        }
    }
    let mut secrets: BTreeMap<ObjectName, BTreeSet<String>> = BTreeMap::new();
    for (host, (secret, _)) in hosts.claimed {
        secrets.entry(secret).or_default().insert(host);
    }
    if !settings.addresses.is_empty() && settings.https_port != 0 {
        default_certificate(world, settings, &mut secrets, plan);
    }
    for (name, hosts) in secrets {
        if let Some(secret) = find(world, &name) {
            check_validity(&name, secret, now, plan);
            plan.put(Object::Certificate(Certificate {
                name: name.to_string(),
                hosts: hosts.into_iter().collect(),
                chain: secret.chain.clone(),
                key: secret.key.clone(),
            }));
        }
    }
}

/// The certificate of a Secret; the last good one where the Secret is gone, or has none any more, under an Ingress that
/// uses it.
fn find<'a>(world: &World<'a>, name: &ObjectName) -> Option<&'a TlsSecret> {
    let secret = world.model.secret(name).and_then(|secret| secret.tls().ok());
    secret.or_else(|| world.model.last_good_certificate(name))
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

impl Hosts {
    fn add(
        &mut self,
        world: &World<'_>,
        ingress_name: &ObjectName,
        ingress: &Ingress,
        tls: &Tls,
        plan: &mut Plan,
    ) {
        let id = Id::new(Kind::Ingress, ingress_name.clone());
        let index = tls.place;
        // Without a Secret the default certificate serves.
        let Some(secret_name) = tls.secret.as_deref().map(|s| ingress_name.sibling(s)) else {
            return;
        };
        if let Some(reason) = missing(world, &secret_name) {
            let text = format!("spec.tls[{index}].secretName: {reason}");
            plan.problems.push(Problem::error(id.clone(), text));
        }
        let Some(secret) = find(world, &secret_name) else {
            return;
        };
        for host in &tls.hosts {
            let (h, host) = (host.place, &host.name);
            if !secret.names(host) {
                let text = format!(
                    "spec.tls[{index}].hosts[{h}]: the certificate of Secret {secret_name} does not name \"{host}\""
                );
                plan.problems.push(Problem::warning(id.clone(), text));
            }
        }
        let implied = || {
            ingress
                .rules
                .iter()
                .map(|r| &r.host)
                .filter(|h| !h.is_empty() && secret.names(h))
        };
        let hosts: BTreeSet<&String> = if tls.hosts.is_empty() {
            implied().collect()
        } else {
            tls.hosts.iter().map(|host| &host.name).collect()
        };
        for host in hosts {
            let claim = (secret_name.clone(), ingress_name.clone());
            let (holder, claimed_by) = self.claimed.entry(host.clone()).or_insert(claim);
            if *holder != secret_name {
                let text = format!(
                    "spec.tls[{index}].secretName: \"{host}\" has the certificate of Secret {holder} by Ingress {claimed_by} already"
                );
                plan.problems.push(Problem::error(id.clone(), text));
            }
        }
    }
}

/// The certificate for clients that name no host or an unknown one.
fn default_certificate(
    world: &World<'_>,
    settings: &Settings,
    secrets: &mut BTreeMap<ObjectName, BTreeSet<String>>,
    plan: &mut Plan,
) {
    if let Some(name) = &settings.default_certificate {
        if find(world, name).is_some() {
            secrets.entry(name.clone()).or_default().insert(String::new());
            return;
        }
        let reason = missing(world, name).unwrap_or_default();
        let id = Id::new(Kind::Secret, name.clone());
        plan.problems
            .push(Problem::error(id, format!("--default-certificate: {reason}")));
    }
    if let Some(fallback) = &settings.fallback_certificate {
        plan.put(Object::Certificate(Certificate {
            hosts: vec![String::new()],
            ..fallback.clone()
        }));
    }
}

fn check_validity(name: &ObjectName, secret: &TlsSecret, now: i64, plan: &mut Plan) {
    let (not_before, not_after) = secret.validity;
    let next = [not_before, not_after.saturating_add(1)];
    plan.valid_until = next
        .into_iter()
        .filter(|t| *t > now)
        .fold(plan.valid_until, i64::min);
    let warn = |text: String| Problem::warning(Id::new(Kind::Secret, name.clone()), text);
    if secret.version == 1 {
        let text = "data[tls.crt]: the certificate is an X.509 version 1 certificate: it names no host, and clients may refuse it";
        plan.problems.push(warn(text.to_owned()));
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
        return;
    };
    let text = format!("data[tls.crt]: the certificate {trouble}; clients will refuse it");
    plan.problems.push(warn(text));
}
