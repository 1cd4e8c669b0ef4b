//! Servers that fail, hang, restart, forget and forbid.

use std::time::Duration;

use headgate_apiserver::{Fault, Rule, User, cluster_network_policies};
use serde_json::json;

use super::bed::{Bed, QUICK, WATCHDOG, id, ingress, pod, secret, server, service};
use crate::reflector::Patience;
use headgate_controlplane::model::Kind;

fn pods(bed: &Bed) -> Vec<String> {
    bed.store
        .model()
        .pods()
        .map(|(name, _)| name.name.to_string())
        .collect()
}

#[test]
fn what_went_while_the_server_was_away_is_gone() {
    let mut bed = Bed::new();
    bed.apply(&pod("a", "10.0.0.1"));
    bed.apply(&pod("b", "10.0.0.2"));
    bed.until_complete();
    bed.server.refuse_connections();
    bed.server.store().delete("Pod", "shop", "a");
    bed.apply(&pod("c", "10.0.0.3"));
    bed.server.store().compact();
    bed.server.accept_connections().expect("a listener");
    bed.until(|store| store.model().contains(&id(Kind::Pod, "shop", "c")));
    bed.until_gone(&id(Kind::Pod, "shop", "a"));
    assert_eq!(pods(&bed), ["b", "c"]);
}

/// A Secret is asked for when an Ingress comes to name it.
#[test]
fn a_secret_whose_answer_never_comes_is_asked_for_again() {
    let server = server();
    server.store().apply(&secret("one", "eA==")).expect("a Secret");
    let mut bed = Bed::on(server);
    bed.until_complete();
    let hang = Fault::hang().verbs(["get"]).resources(["secrets"]).times(1);
    bed.server.faults().add(hang);
    bed.apply(&ingress("web", "h.example.com", "web", Some("one")));
    bed.until_there(&id(Kind::Secret, "shop", "one"));
}

#[test]
fn a_server_that_restarts_is_met_again_where_the_watch_was() {
    let mut bed = Bed::new();
    bed.apply(&pod("a", "10.0.0.1"));
    bed.until_complete();
    bed.server.restart().expect("a server");
    bed.server.journal().clear();
    bed.apply(&pod("b", "10.0.0.2"));
    bed.until_there(&id(Kind::Pod, "shop", "b"));
    let again = bed.server.journal().count(|entry| {
        entry.resource == "pods" && (entry.verb == "list" || entry.query.contains("sendInitialEvents"))
    });
    assert_eq!(again, 0, "nothing is listed again");
}

/// A server answers before it has read its roles and its CustomResourceDefinitions.
#[test]
fn a_server_that_starts_is_not_believed_what_it_lacks_and_forbids() {
    let server = server();
    let policy = |name: &str| {
        json!({
            "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
            "metadata": {"name": name}, "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}},
        })
    };
    for object in [
        cluster_network_policies(),
        policy("before"),
        secret("cert", "eA=="),
    ] {
        server.store().apply(&object).expect("an object");
    }
    server
        .store()
        .apply(&ingress("web", "h.example.com", "web", Some("cert")))
        .expect("an Ingress");
    let mut bed = Bed::on(server);
    bed.until_complete();
    let before = id(Kind::ClusterNetworkPolicy, "", "before");
    assert!(bed.store.model().contains(&before));

    bed.server.journal().clear();
    let starting = [
        Fault::status(500).path("/readyz"),
        Fault::status(404).resources(["clusternetworkpolicies"]),
        Fault::status(403).resources(["secrets"]),
    ];
    for fault in starting {
        bed.server.faults().add(fault);
    }
    bed.server.close_watches();
    for resource in ["clusternetworkpolicies", "secrets"] {
        let refused = |entry: &headgate_apiserver::Entry| entry.resource == resource && entry.status >= 400;
        assert!(bed.server.journal().wait(4, WATCHDOG, refused));
    }
    // What it says of that is on its way before this is.
    bed.apply(&pod("a", "10.0.0.1"));
    bed.until_there(&id(Kind::Pod, "shop", "a"));
    assert!(bed.store.model().contains(&before), "it was said to be gone");

    bed.server.faults().clear();
    bed.apply(&policy("after"));
    bed.until_there(&id(Kind::ClusterNetworkPolicy, "", "after"));
    bed.until(|store| headgate_controlplane::harness::lines(store).is_empty());
    let apart = bed
        .server
        .journal()
        .count(|entry| entry.query.contains("metadata.name"));
    assert_eq!(apart, 0, "Secrets are still followed together");
}

#[test]
fn errors_of_the_server_are_told_once_and_survived() {
    let mut bed = Bed::new();
    bed.until_complete();
    bed.server.faults().add(Fault::status(500));
    bed.server.close_watches();
    bed.until(|store| !headgate_controlplane::harness::lines(store).is_empty());
    let lines = bed.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("the API server answers 500: ")
            && lines[0].ends_with("; all that was known stays in force"),
        "{lines:?}"
    );
    bed.apply(&pod("a", "10.0.0.1"));
    bed.server.faults().clear();
    bed.until_there(&id(Kind::Pod, "shop", "a"));
    bed.until(|store| headgate_controlplane::harness::lines(store).is_empty());
}

/// A version that a server does not take, or one from the future of a store that was restored, is given up for a list.
#[test]
fn a_version_that_is_refused_again_and_again_is_forgotten() {
    for (code, times) in [(422, 1), (504, 8)] {
        let mut bed = Bed::new();
        bed.apply(&pod("a", "10.0.0.1"));
        bed.until_complete();
        bed.server.journal().clear();
        let refused = Fault::status(code)
            .verbs(["watch"])
            .resources(["pods"])
            .times(times);
        bed.server.faults().add(refused);
        bed.server.close_watches();
        // What comes before the refusal comes by the watch that is about to close.
        while bed.server.journal().count(|entry| entry.resource == "pods") == 0 {
            std::thread::yield_now();
        }
        bed.apply(&pod("b", "10.0.0.2"));
        bed.until_there(&id(Kind::Pod, "shop", "b"));
        let again = bed.server.journal().count(|entry| {
            entry.resource == "pods" && (entry.verb == "list" || entry.query.contains("sendInitialEvents"))
        });
        assert!(again > 0, "{code}: the same version is asked for again");
    }
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    let server = server();
    server
        .faults()
        .add(Fault::throttle(1).resources(["pods"]).times(1));
    server.store().apply(&pod("a", "10.0.0.1")).expect("a pod");
    let mut bed = Bed::on(server);
    bed.until_complete();
    assert_eq!(pods(&bed), ["a"]);
    let entries = bed.server.journal().entries();
    let mut asked = entries
        .iter()
        .filter(|entry| entry.resource == "pods")
        .map(|entry| entry.at);
    let (first, second) = (asked.next().expect("a request"), asked.next().expect("another"));
    let waited = second.duration_since(first);
    assert!(waited >= Duration::from_secs(1), "Retry-After: 1, and {waited:?}");
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let server = server();
    server.store().apply(&pod("a", "10.0.0.1")).expect("a pod");
    server.faults().add(Fault::hang().times(3));
    let impatient = Patience {
        answer: Duration::from_millis(300),
        page: Duration::from_millis(300),
        ..QUICK
    };
    let mut bed = Bed::with(server, impatient, |_| {});
    bed.until_complete();
    assert_eq!(pods(&bed), ["a"]);
}

#[test]
fn a_watch_that_falls_silent_is_begun_again() {
    let impatient = Patience {
        silence: Duration::from_millis(400),
        ..QUICK
    };
    let mut bed = Bed::with(server(), impatient, |_| {});
    bed.until_complete();
    bed.server.faults().silence_watches(true);
    bed.apply(&pod("a", "10.0.0.1"));
    bed.server.faults().silence_watches(false);
    bed.until_there(&id(Kind::Pod, "shop", "a"));
}

#[test]
fn answers_that_come_in_drops_or_break_off_are_asked_for_again() {
    let server = server();
    let many: Vec<_> = (0..300)
        .map(|n| pod(&format!("p{n}"), &format!("10.1.{}.{}", n / 250, n % 250 + 1)))
        .collect();
    server.store().apply_all(&many).expect("pods");
    server
        .faults()
        .add(Fault::trickle(100).resources(["pods"]).times(1));
    server.faults().add(Fault::cut(5000).resources(["pods"]).times(2));
    let impatient = Patience {
        silence: Duration::from_secs(1),
        page: Duration::from_secs(1),
        ..QUICK
    };
    let mut bed = Bed::with(server, impatient, |_| {});
    bed.until_complete();
    assert_eq!(bed.store.model().pods().count(), 300);
}

#[test]
fn what_is_forbidden_is_told_and_comes_when_it_is_allowed() {
    let server = server();
    for object in [
        pod("a", "10.0.0.1"),
        service("web"),
        ingress("web", "h.example.com", "web", Some("cert")),
        secret("cert", "eA=="),
    ] {
        server.store().apply(&object).expect("an object");
    }
    server.grant("gateway", User::service_account("edge", "headgate"), None);
    server.deny(
        Rule::everybody()
            .verbs(["list", "watch"])
            .resources(["networkpolicies"]),
    );
    server.deny(
        Rule::everybody()
            .verbs(["list", "watch"])
            .resources(["secrets"])
            .cluster_only(),
    );
    let kubeconfig = server.kubeconfig_with("gateway");
    let mut bed = Bed::with(server, QUICK, |options| {
        let crate::Access::Kubeconfig { path, .. } = &options.access else {
            unreachable!("the bed has a kubeconfig")
        };
        std::fs::write(path, &kubeconfig).expect("written");
    });
    bed.until_complete();
    assert!(
        bed.store.model().contains(&id(Kind::Secret, "shop", "cert")),
        "by its name"
    );
    let lines = bed.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("User \"system:serviceaccount:edge:headgate\" cannot")
            && lines[0].contains("policies that are not known do not hold: what they forbid is allowed"),
        "{lines:?}"
    );
    bed.server.allow_again();
    bed.apply(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "p"}, "spec": {"podSelector": {}},
    }));
    bed.until_there(&id(Kind::NetworkPolicy, "shop", "p"));
    bed.until(|store| headgate_controlplane::harness::lines(store).is_empty());
}

#[test]
fn a_thousand_changes_at_once_are_few_batches() {
    let mut bed = Bed::new();
    bed.until_complete();
    let many: Vec<_> = (0..1000)
        .map(|n| pod(&format!("p{n}"), &format!("10.1.{}.{}", n / 250, n % 250 + 1)))
        .collect();
    bed.server.store().apply_all(&many).expect("pods");
    bed.until(|store| store.model().pods().count() == 1000);
}
