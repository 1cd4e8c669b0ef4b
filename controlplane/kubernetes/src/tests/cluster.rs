//! A server that behaves.

use headgate_apiserver::{Age, ApiServer, Settings};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::bed::{Bed, id, ingress, namespace, pod, secret, service, slice};
use headgate_controlplane::harness::manifests::any_change;
use headgate_controlplane::model::Kind;

fn aged(minor: u32) -> ApiServer {
    let settings = Settings {
        age: Age(minor),
        ..Settings::default()
    };
    ApiServer::start(settings).expect("a server")
}

fn fill(server: &ApiServer) {
    let store = server.store();
    for object in [
        namespace("shop"),
        pod("web-1", "10.0.0.1"),
        service("web"),
        ingress("web", "shop.example.com", "web", Some("cert")),
        secret("cert", "eA=="),
        secret("other", "eA=="),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "m"}, "data": {"a": "b"}}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}),
    ] {
        store.apply(&object).expect("an object");
    }
}

#[test]
fn servers_of_all_ages_are_followed() {
    for age in [20, 21, 26, 27, 31, 34, 36] {
        let server = aged(age);
        fill(&server);
        let mut endpoints = slice("web-x", "web", &["10.0.0.1"]);
        if age == 20 {
            endpoints["apiVersion"] = json!("discovery.k8s.io/v1beta1");
            endpoints["endpoints"][0]["topology"] = json!({"kubernetes.io/hostname": "n1"});
        }
        server.store().apply(&endpoints).expect("a slice");
        let mut bed = Bed::on(server);
        bed.until_complete();
        for (kind, name) in [
            (Kind::Pod, "web-1"),
            (Kind::EndpointSlice, "web-x"),
            (Kind::Secret, "cert"),
        ] {
            assert!(
                bed.store.model().contains(&id(kind, "shop", name)),
                "1.{age}: {kind} {name}"
            );
        }
        assert!(
            !bed.store.model().contains(&id(Kind::Secret, "shop", "other")),
            "nobody names it"
        );
        assert!(
            !bed.store.model().contains(&id(Kind::ConfigMap, "shop", "m")),
            "nobody names it"
        );
        bed.apply(&pod("web-2", "10.0.0.2"));
        bed.until_there(&id(Kind::Pod, "shop", "web-2"));
        assert_eq!(bed.lines(), Vec::<String>::new(), "1.{age}");
        let lists = bed.server.journal().count(|entry| entry.verb == "list");
        assert_eq!(
            lists == 0,
            matches!(age, 34 | 36),
            "1.{age}: lists are streamed where the server does that"
        );
    }
}

#[test]
fn long_lists_come_in_pages() {
    let server = aged(21);
    let pods: Vec<_> = (0..1234)
        .map(|n| pod(&format!("p{n}"), &format!("10.1.{}.{}", n / 250, n % 250 + 1)))
        .collect();
    server.store().apply_all(&pods).expect("pods");
    let mut bed = Bed::on(server);
    bed.until_complete();
    assert_eq!(bed.store.model().pods().count(), 1234);
    let pages = bed
        .server
        .journal()
        .count(|entry| entry.verb == "list" && entry.resource == "pods");
    assert_eq!(pages, 3);
}

#[test]
fn what_does_not_count_changes_nothing() {
    let server = aged(34);
    fill(&server);
    let mut bed = Bed::on(server);
    bed.until_complete();
    // A heartbeat, a condition that nobody asks for, an annotation of somebody else's: then one change that counts.
    let mut node = bed.server.store().get("Node", "", "n1").expect("a node");
    node["status"]["conditions"] = json!([{"type": "Ready", "lastHeartbeatTime": "2026-11-22T00:00:00Z"}]);
    let mut web = bed.server.store().get("Pod", "shop", "web-1").expect("a pod");
    web["status"]["conditions"] = json!([
        {"type": "Ready", "status": "True", "lastProbeTime": "2026-11-22T00:00:00Z"},
        {"type": "PodScheduled", "status": "True"},
    ]);
    let mut backend = bed
        .server
        .store()
        .get("Service", "shop", "web")
        .expect("a service");
    backend["metadata"]["annotations"] = json!({"somebody.example.com/seen": "1"});
    for object in [node, web, backend, pod("web-2", "10.0.0.2")] {
        bed.apply(&object);
    }
    let last = id(Kind::Pod, "shop", "web-2");
    let mut changed = std::collections::BTreeSet::new();
    while !bed.store.model().contains(&last) {
        changed.append(&mut bed.step());
    }
    // The streams of several kinds are not in step: all of them have come once this one has, too.
    bed.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}}));
    bed.apply(&service("last"));
    let ends = [id(Kind::Node, "", "n2"), id(Kind::Service, "shop", "last")];
    while !ends.iter().all(|end| bed.store.model().contains(end)) {
        changed.append(&mut bed.step());
    }
    changed.retain(|id| !ends.contains(id));
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), [last]);
}

#[test]
fn a_secret_is_followed_from_the_first_ingress_that_names_it_to_the_last() {
    let server = aged(34);
    fill(&server);
    let mut bed = Bed::on(server);
    bed.until_complete();
    let other = id(Kind::Secret, "shop", "other");
    bed.apply(&ingress("more", "more.example.com", "web", Some("other")));
    bed.until_there(&other);
    bed.server.store().delete("Secret", "shop", "other");
    bed.until_gone(&other);
    bed.apply(&secret("other", "eQ=="));
    bed.until_there(&other);
    bed.server.store().delete("Ingress", "shop", "more");
    bed.until_gone(&other);
    let asked = bed
        .server
        .journal()
        .count(|entry| entry.verb == "get" && entry.resource == "secrets");
    assert_eq!(asked, 1, "only what the watch has passed over is asked for");
}

#[test]
fn a_kind_that_is_installed_later_is_found() {
    let mut bed = Bed::new();
    bed.until_complete();
    assert_eq!(bed.lines(), Vec::<String>::new(), "a cluster may lack it");
    bed.apply(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "clusternetworkpolicies.policy.networking.k8s.io"},
        "spec": {
            "group": "policy.networking.k8s.io", "scope": "Cluster",
            "names": {"kind": "ClusterNetworkPolicy", "plural": "clusternetworkpolicies", "listKind": "ClusterNetworkPolicyList"},
            "versions": [{
                "name": "v1alpha2", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    }));
    bed.apply(&json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]},
    }));
    let policy = id(Kind::ClusterNetworkPolicy, "", "p");
    bed.until_there(&policy);
    bed.server.store().delete(
        "CustomResourceDefinition",
        "",
        "clusternetworkpolicies.policy.networking.k8s.io",
    );
    bed.until_gone(&policy);
}

#[test]
fn some_namespaces_alone_can_be_followed() {
    let server = aged(34);
    fill(&server);
    let mut elsewhere = pod("x", "10.0.9.1");
    elsewhere["metadata"]["namespace"] = json!("blog");
    server.store().apply(&elsewhere).expect("a pod");
    let mut bed = Bed::with(server, super::bed::QUICK, |options| {
        options.namespaces = vec!["shop".to_owned()];
    });
    bed.until_complete();
    let pods: Vec<_> = bed
        .store
        .model()
        .pods()
        .map(|(name, _)| name.to_string())
        .collect();
    assert_eq!(pods, ["shop/web-1"]);
    assert!(bed.store.model().contains(&id(Kind::Secret, "shop", "cert")));
}

/// The same objects in files and in a cluster make the same state, whatever happens to the connection.
#[test]
fn a_cluster_and_files_of_the_same_objects_are_the_same() {
    let mut runner = TestRunner::new(Config::default());
    let mut bed = Bed::new();
    for step in 0..400 {
        // The definition of ClusterNetworkPolicies is not there.
        let change = any_change()
            .prop_filter("a kind that is there", |change| {
                change.manifest["kind"] != "ClusterNetworkPolicy"
            })
            .new_tree(&mut runner)
            .expect("a change")
            .current();
        if change.gone {
            let text = |field: &str| {
                change.manifest["metadata"][field]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let kind = change.manifest["kind"].as_str().unwrap_or_default().to_owned();
            bed.server
                .store()
                .delete(&kind, &text("namespace"), &text("name"));
        } else {
            bed.apply(&change.manifest);
        }
        match step % 100 {
            20 => bed.server.close_watches(),
            40 => bed.server.drop_connections(),
            60 => {
                bed.server.refuse_connections();
                bed.server.store().compact();
            }
            80 => bed.server.accept_connections().expect("a listener"),
            99 => {
                bed.until_complete();
                bed.until_agreed();
            }
            _ => {}
        }
    }
}
