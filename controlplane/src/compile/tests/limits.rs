//! Objects that are too large for a message of the ring.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::Arc;

use headgate_ring::limits::MESSAGE_BYTES;
use headgate_ring::message::{Action, Direction, Key, Object as RingObject, PolicyRule};
use headgate_ring::{PackedObject, put_bytes};
use ipnet::{IpNet, Ipv6Net};
use serde_json::json;

use crate::compile::Compilation;
use crate::model::parse::{ManifestIdentity, identify, parse};
use crate::model::{
    ClusterPolicy, Id, Kind, Model, NetworkPolicy, Object, ObjectName, cluster_policy, policy,
};
use crate::testing::{NOW, settings};

struct Bed {
    model: Model,
    compiler: Compilation,
}

impl Bed {
    fn new() -> Self {
        let mut compiler = Compilation::new(settings());
        compiler.update(&Model::default(), &BTreeSet::new(), NOW);
        Self {
            model: Model::default(),
            compiler,
        }
    }

    /// Puts an object, and gives the keys that have changed.
    fn put(&mut self, id: Id, object: Object) -> Vec<Key> {
        self.model.insert(id.clone(), Arc::new(object));
        let changes = self.compiler.update(&self.model, &BTreeSet::from([id]), NOW);
        let sendable = changes
            .values()
            .flatten()
            .all(|object| put_bytes(&object.object()) <= MESSAGE_BYTES);
        assert!(sendable);
        changes.into_keys().collect()
    }

    fn put_manifest(&mut self, manifest: serde_json::Value) -> Vec<Key> {
        let Ok(ManifestIdentity::Known(id)) = identify(&manifest) else {
            panic!("a kind that is not read");
        };
        let object = parse(&id, &mut { manifest }).object.expect("a good object");
        self.put(id, object)
    }

    fn lines(&self) -> Vec<String> {
        self.compiler.problems().iter().map(ToString::to_string).collect()
    }

    fn rules(&self, name: &str, direction: Direction) -> Vec<PolicyRule> {
        match self
            .compiler
            .state()
            .get(&Key::Policy(name.to_owned(), direction))
            .map(PackedObject::object)
        {
            Some(RingObject::Policy(policy)) => policy.rules,
            other => panic!("no policy {name}: {other:?}"),
        }
    }
}

/// So many single IPv6 addresses, which take 20 bytes each.
fn hosts(count: u32) -> impl Iterator<Item = IpNet> {
    let host = |n: u32| Ipv6Net::from(Ipv6Addr::from(0xfd << 120 | u128::from(n)));
    (0..count).map(host).map(IpNet::V6)
}

fn network_policy(peers: u32) -> Object {
    let peers = hosts(peers).map(|block| policy::NetworkPolicyPeer::Block {
        block,
        except: Vec::new(),
    });
    Object::NetworkPolicy(NetworkPolicy {
        subjects: Default::default(),
        ingress: Some(vec![policy::NetworkPolicyRule {
            peers: Some(peers.collect()),
            ports: None,
        }]),
        egress: None,
    })
}

#[test]
fn a_policy_with_too_many_peers_allows_nothing_until_it_is_smaller() {
    let mut bed = Bed::new();
    let id = |name: &str| Id::new(Kind::NetworkPolicy, ObjectName::new("shop", name));
    bed.put(id("p"), network_policy(250_000));
    assert_eq!(bed.rules("shop/p", Direction::Ingress), []);
    assert_eq!(
        bed.lines(),
        [
            "NetworkPolicy shop/p: takes 5000038 bytes, and the dataplane can be told of an object in 4194304 at most; \
          it allows nothing to the pods that it selects"
        ]
    );
    let changed = bed.put(id("q"), network_policy(1));
    assert!(
        changed.contains(&Key::Policy("shop/q".to_owned(), Direction::Ingress)),
        "others are not held up"
    );
    assert_eq!(
        bed.put(id("p"), network_policy(251_000)),
        [],
        "it allows nothing still"
    );
    bed.put(id("p"), network_policy(200_000));
    assert_eq!(bed.lines(), Vec::<String>::new());
    assert_eq!(
        bed.rules("shop/p", Direction::Ingress)[0]
            .peers
            .as_ref()
            .map(Vec::len),
        Some(200_000)
    );
}

#[test]
fn a_policy_that_becomes_what_stood_in_for_it_is_told_no_more() {
    let mut bed = Bed::new();
    let id = Id::new(Kind::NetworkPolicy, ObjectName::new("shop", "p"));
    bed.put(id.clone(), network_policy(250_000));
    let nothing = NetworkPolicy {
        subjects: Default::default(),
        ingress: Some(Vec::new()),
        egress: None,
    };
    assert_eq!(bed.put(id, Object::NetworkPolicy(nothing)), []);
    assert_eq!(bed.lines(), Vec::<String>::new());
}

#[test]
fn a_cluster_policy_that_is_too_large_fails_closed() {
    use cluster_policy::{Action as Written, ClusterPolicyPeer, ClusterPolicyRule, Matches, Pods, Tier};
    let all = Pods {
        namespaces: Default::default(),
        pods: Default::default(),
    };
    let rule = |action, networks| ClusterPolicyRule {
        name: None,
        action,
        matches: Matches::Only {
            peers: vec![ClusterPolicyPeer::Networks(hosts(networks).collect())],
            ports: None,
        },
    };
    let policy = |rules| {
        Object::ClusterNetworkPolicy(ClusterPolicy {
            tier: Tier::Admin,
            priority: 7,
            subject: all.clone(),
            ingress: Vec::new(),
            egress: rules,
        })
    };
    let mut bed = Bed::new();
    let id = Id::new(Kind::ClusterNetworkPolicy, ObjectName::new("", "p"));
    bed.put(id.clone(), policy(vec![rule(Written::Accept, 250_000)]));
    assert_eq!(bed.rules("p", Direction::Egress), []);
    assert!(
        bed.lines()[0].starts_with("ClusterNetworkPolicy p: takes "),
        "{:?}",
        bed.lines()
    );
    assert!(
        bed.lines()[0].ends_with("; it accepts nothing"),
        "{:?}",
        bed.lines()
    );
    bed.put(
        id,
        policy(vec![rule(Written::Accept, 250_000), rule(Written::Deny, 1)]),
    );
    let rules = bed.rules("p", Direction::Egress);
    assert_eq!(
        (rules.len(), rules[0].action, &rules[0].peers),
        (1, Action::Deny, &None)
    );
    assert!(bed.lines()[0].ends_with("; it denies everything to the pods that it selects"));
}

#[test]
fn a_pod_with_too_long_labels_is_an_endpoint_without_them() {
    let mut bed = Bed::new();
    bed.put_manifest(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "namespace": "shop", "labels": {"a": "x".repeat(MESSAGE_BYTES)}},
        "status": {"podIP": "10.0.0.1"},
    }));
    let key = Key::Endpoint("shop/a".to_owned());
    let Some(RingObject::Endpoint(endpoint)) = bed.compiler.state().get(&key).map(PackedObject::object)
    else {
        panic!("an endpoint");
    };
    assert_eq!((endpoint.labels.len(), endpoint.addresses.len()), (0, 1));
    assert!(bed.lines()[0].ends_with("; policies know it, but its labels and ports are not told"));
    bed.model
        .remove(&Id::new(Kind::Pod, ObjectName::new("shop", "a")));
    let gone = BTreeSet::from([Id::new(Kind::Pod, ObjectName::new("shop", "a"))]);
    assert_eq!(
        bed.compiler
            .update(&bed.model, &gone, NOW)
            .into_keys()
            .collect::<Vec<_>>(),
        [key]
    );
    assert_eq!(bed.lines(), Vec::<String>::new());
}

#[test]
fn a_selector_of_any_length_has_a_text_that_can_be_read() {
    let mut bed = Bed::new();
    let values: Vec<String> = (0..1000).map(|n| format!("{n}-{}ü", "x".repeat(5000))).collect();
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": values}]});
    bed.put_manifest(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": {"podSelector": selector},
    }));
    let groups = bed
        .compiler
        .state()
        .values()
        .filter_map(|object| match object.object() {
            RingObject::Group(group) => Some(group.text.len()),
            _ => None,
        });
    assert_eq!(groups.collect::<Vec<_>>(), [4096 + '…'.len_utf8()]);
    assert_eq!(bed.lines(), Vec::<String>::new());
}

/// What docs/manifests.md says of paths.
#[test]
fn a_host_has_room_for_tens_of_thousands_of_paths() {
    let bytes = |count: usize| {
        let paths = (0..count).map(|n| {
            let path = format!("/{n:039}");
            json!({"path": path, "pathType": "Prefix",
                "backend": {"service": {"name": "storefront", "port": {"name": "http"}}}})
        });
        let paths: Vec<_> = paths.collect();
        let mut bed = Bed::new();
        bed.put_manifest(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "storefront", "namespace": "shop"},
            "spec": {"ingressClassName": "headgate", "rules": [{"host": "a.example", "http": {"paths": paths}}]},
        }));
        let host = &bed.compiler.state()[&Key::VirtualHost("a.example".to_owned())];
        put_bytes(&host.object())
    };
    let (few, more) = (bytes(100), bytes(1_100));
    let most = MESSAGE_BYTES / ((more - few) / 1_000);
    assert!((35_000..37_000).contains(&most), "{most}");
}

#[test]
fn a_host_with_too_long_paths_is_left_out() {
    let mut bed = Bed::new();
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    let ingress = |path: String| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "i", "namespace": "shop"},
            "spec": {"ingressClassName": "headgate", "rules": [{"host": "a.example", "http": {"paths": [
                {"path": path, "pathType": "Exact", "backend": backend},
            ]}}]},
        })
    };
    bed.put_manifest(ingress(format!("/{}", "x".repeat(MESSAGE_BYTES))));
    let host = Key::VirtualHost("a.example".to_owned());
    assert!(!bed.compiler.state().contains_key(&host));
    let line = &bed.lines()[1];
    assert!(
        line.starts_with("Ingress shop/i: takes ") && line.ends_with("; it is left out"),
        "{line}"
    );
    assert_eq!(bed.put_manifest(ingress("/".to_owned())), [host]);
    assert_eq!(bed.lines().len(), 1, "the Service does not exist");
}
