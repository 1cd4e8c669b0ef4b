use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::compile::LoadBalancerSelection;
use crate::harness::NOW;
use crate::harness::manifests::any_change;
use crate::model::parse::{ManifestIdentity, identify};
use crate::source::Inquiry;
use crate::testing::pem;

/// Those of a gateway with load balancers of its own.
fn settings() -> Settings {
    Settings {
        load_balancers: LoadBalancerSelection {
            class: Some("headgate.dev/load-balancer".to_owned()),
            without_class: false,
        },
        ..crate::harness::settings()
    }
}

fn id_of(manifest: &Value) -> Id {
    match identify(manifest) {
        Ok(ManifestIdentity::Known(id)) => id,
        other => panic!("{other:?} of {manifest}"),
    }
}

/// Somebody writes an object.
fn put(store: &mut Store, manifest: &Value) {
    static VERSION: AtomicU64 = AtomicU64::new(1);
    let version = Version {
        id: id_of(manifest),
        uid: "u".into(),
        resource_version: VERSION.fetch_add(1, Ordering::Relaxed).to_string().into(),
    };
    store.update([Change::Object(Arc::new(version), manifest.into())]);
}

fn judge(store: &Store, new: &Value, old: Option<&Value>) -> Judgement {
    let proposal = Proposal::new(id_of(new), new, old);
    let around = Surroundings::of(store.model(), &settings(), &proposal);
    proposal.judge(&around, &settings(), NOW)
}

fn ingress(name: &str, created: &str, host: &str, path: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "shop", "name": name, "creationTimestamp": created},
        "spec": {
            "ingressClassName": "headgate",
            "rules": [{"host": host, "http": {"paths": [{
                "path": path, "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}},
            }]}}],
        },
    })
}

fn service(addresses: &[&str], port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"externalIPs": addresses, "ports": [{"port": port}]},
    })
}

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-02-01T00:00:00Z";

#[test]
fn what_is_good_gets_no_word() {
    let mut store = Store::default();
    put(&mut store, &service(&[], 80));
    put(&mut store, &ingress("first", EARLY, "a.example.com", "/"));
    let judged = judge(&store, &ingress("second", LATE, "b.example.com", "/"), None);
    assert_eq!(judged, Judgement::default());
}

#[test]
fn what_could_not_be_in_force_is_refused_but_for_other_classes() {
    let mut bad = ingress("web", EARLY, "a.example.com", "/x//y");
    let judged = judge(&Store::default(), &bad, None);
    assert_eq!(judged.refusals.len(), 1, "{judged:?}");
    assert!(
        judged.refusals[0].contains("\"/x//y\" must not contain \"//\""),
        "{judged:?}"
    );
    bad["spec"]["ingressClassName"] = json!("other");
    assert_eq!(judge(&Store::default(), &bad, None), Judgement::default());
    bad["spec"]
        .as_object_mut()
        .expect("a spec")
        .remove("ingressClassName");
    let judged = judge(&Store::default(), &bad, None);
    assert!(judged.refusals.is_empty(), "{judged:?}");
    assert!(
        judged.warnings[0].contains("spec.ingressClassName: is missing"),
        "{judged:?}"
    );
}

#[test]
fn what_an_older_ingress_has_is_refused_and_what_is_named_may_come_yet() {
    let mut store = Store::default();
    put(&mut store, &ingress("first", EARLY, "a.example.com", "/"));
    let judged = judge(&store, &ingress("second", LATE, "a.example.com", "/"), None);
    assert_eq!(
        judged.refusals,
        [
            "spec.rules[0].http.paths[0].path: Prefix \"/\" of a.example.com belongs to Ingress shop/first already"
        ]
    );
    assert_eq!(
        judged.warnings,
        [
            "spec.rules[0].http.paths[0].backend.service.name: Service shop/web does not exist; requests are answered 503"
        ]
    );
}

#[test]
fn what_it_takes_from_others_is_a_warning() {
    let mut store = Store::default();
    put(&mut store, &service(&[], 80));
    put(&mut store, &ingress("second", LATE, "a.example.com", "/"));
    let old = ingress("first", EARLY, "b.example.com", "/");
    let judged = judge(&store, &ingress("first", EARLY, "a.example.com", "/"), Some(&old));
    assert_eq!(judged.refusals, [""; 0]);
    assert_eq!(
        judged.warnings,
        [
            "Ingress shop/second: spec.rules[0].http.paths[0].path: Prefix \"/\" of a.example.com belongs to Ingress \
             shop/first already"
        ]
    );
}

#[test]
fn what_was_wrong_before_may_stay_so() {
    let mut store = Store::default();
    put(&mut store, &service(&[], 80));
    put(&mut store, &ingress("first", EARLY, "a.example.com", "/"));
    for old in [
        ingress("second", LATE, "a.example.com", "/"),
        ingress("second", LATE, "b.example.com", "x"),
    ] {
        let mut new = old.clone();
        new["metadata"]["finalizers"] = json!([]);
        let judged = judge(&store, &new, Some(&old));
        assert_eq!(
            (judged.refusals.len(), judged.warnings.len()),
            (0, 1),
            "{judged:?}"
        );
    }
}

#[test]
fn the_certificate_that_an_older_ingress_gives_a_host_is_kept() {
    let mut store = Store::default();
    put(&mut store, &service(&[], 80));
    for name in ["a", "b"] {
        let (certificate, key) = pem(&["a.example.com"]);
        put(
            &mut store,
            &json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"namespace": "shop", "name": name},
                "stringData": {"tls.crt": certificate, "tls.key": key},
            }),
        );
    }
    let with = |name: &str, created: &str, path: &str, secret: &str| {
        let mut ingress = ingress(name, created, "a.example.com", path);
        ingress["spec"]["tls"] = json!([{"hosts": ["a.example.com"], "secretName": secret}]);
        ingress
    };
    put(&mut store, &with("first", EARLY, "/", "a"));
    let same = judge(&store, &with("second", LATE, "/x", "a"), None);
    assert_eq!(same, Judgement::default());
    let other = judge(&store, &with("second", LATE, "/x", "b"), None);
    assert_eq!(
        other.refusals,
        [
            "spec.tls[0].secretName: \"a.example.com\" has the certificate of Secret shop/a by Ingress shop/first already"
        ]
    );
    let none = judge(&store, &with("second", LATE, "/x", "c"), None);
    assert_eq!(none.refusals, [""; 0]);
    assert!(
        none.warnings[0].contains("Secret shop/c does not exist"),
        "{none:?}"
    );
}

/// What is asked with a change is answered by the state with it, once all is known.
#[test]
fn inquiries_see_their_batch() {
    let (tell, told) = std::sync::mpsc::channel();
    let ask = || {
        let tell = tell.clone();
        Change::Inquiry(Inquiry::new(move |model| {
            tell.send(model.map(|model| model.ids().count()))
                .expect("somebody who listens");
        }))
    };
    let object = |name: &str| {
        let manifest = ingress(name, EARLY, "a.example.com", "/");
        let version = Version {
            id: id_of(&manifest),
            uid: "u".into(),
            resource_version: "1".into(),
        };
        Change::Object(Arc::new(version), (&manifest).into())
    };
    let mut store = Store::default();
    store.update([ask(), object("a")]);
    assert_eq!(told.try_recv(), Ok(None));
    store.update([ask(), Change::Complete, object("b")]);
    assert_eq!(told.try_recv(), Ok(Some(2)));
    let update = store.apply([ask()]);
    assert_eq!(told.try_recv(), Ok(Some(2)));
    assert!(update.changed.is_empty() && update.touched.is_empty());
}

#[test]
fn a_service_is_never_refused() {
    let mut store = Store::default();
    put(&mut store, &ingress("first", EARLY, "a.example.com", "/"));
    let old = service(&[], 80);
    put(&mut store, &old);
    let judged = judge(&store, &service(&["203.0.113.1"], 81), Some(&old));
    assert_eq!(judged.refusals, [""; 0]);
    assert!(
        judged.warnings[0].contains("Ingress shop/first: spec.rules[0].http.paths[0].backend.service.port"),
        "{judged:?}"
    );
    let on_listener = judge(&store, &service(&["203.0.113.1"], 80), Some(&old));
    assert!(
        on_listener.warnings[0].contains("belongs to an ingress listener"),
        "{on_listener:?}"
    );
}

#[test]
fn a_policy_that_would_close_is_refused() {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "p"},
        "spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/40"}}]}]},
    });
    let judged = judge(&Store::default(), &policy, None);
    assert!(
        judged.refusals[0].starts_with("spec.ingress[0].from[0].ipBlock.cidr"),
        "{judged:?}"
    );
}

/// All that is wrong, by object, as a gateway that follows these objects would say it.
fn errors(store: &Store) -> Vec<String> {
    let compiled = compile(store.model(), &settings(), NOW).problems;
    let all = store.problems().into_iter().chain(compiled);
    let errors = all.filter(|problem| problem.severity == Severity::Error);
    errors
        .map(|problem| {
            Problem {
                origin: None,
                ..problem
            }
            .to_string()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_gets_no_word_brings_no_error(
        changes in prop::collection::vec(any_change(), 0..40),
        proposed in prop::collection::vec(any_change(), 1..6),
    ) {
        let mut store = Store::default();
        let mut there = std::collections::BTreeMap::new();
        for change in changes {
            put(&mut store, &change.manifest);
            there.insert(id_of(&change.manifest), change.manifest);
        }
        for new in proposed.into_iter().map(|change| change.manifest) {
            let id = id_of(&new);
            let judged = judge(&store, &new, there.get(&id));
            let before = errors(&store);
            put(&mut store, &new);
            there.insert(id.clone(), new.clone());
            let about_us = matches!(id.kind, Kind::Ingress | Kind::Service | Kind::NetworkPolicy | Kind::ClusterNetworkPolicy);
            if about_us && judged == Judgement::default() {
                let brought: Vec<_> = errors(&store).into_iter().filter(|error| !before.contains(error)).collect();
                prop_assert!(brought.is_empty(), "{} brings {:?}", new, brought);
            }
        }
    }
}
