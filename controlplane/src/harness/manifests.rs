//! Random objects of a small cluster, in which names, labels, addresses and ports meet often.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// An object as it is after a change.
#[derive(Clone, Debug)]
pub struct Change {
    /// As it is written.
    pub manifest: Value,
    /// Whether it is removed instead.
    pub gone: bool,
}

/// A change of an object of any kind.
pub fn any_change() -> impl Strategy<Value = Change> {
    let manifest = prop_oneof![
        6 => pod(),
        1 => namespace(),
        1 => node(),
        3 => network_policy(),
        2 => cluster_policy(),
        1 => service(),
        1 => slice(),
        1 => endpoints(),
        1 => ingress(),
    ];
    (manifest, prop::bool::weighted(0.25)).prop_map(|(manifest, gone)| Change { manifest, gone })
}

/// A change of what NetworkPolicies are about, or of one.
pub fn any_policy_change() -> impl Strategy<Value = Change> {
    let manifest = prop_oneof![6 => pod(), 1 => namespace(), 2 => network_policy()];
    (manifest, prop::bool::weighted(0.15)).prop_map(|(manifest, gone)| Change { manifest, gone })
}

fn namespace_name() -> impl Strategy<Value = &'static str> {
    select(&["red", "green", "blue"][..])
}

fn labels() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(select(&["a", "b"][..]), select(&["x", "y", "z"][..]), 0..3)
        .prop_map(|labels| json!(labels))
}

fn selector() -> impl Strategy<Value = Value> {
    let expression = (
        select(&["a", "b", "kubernetes.io/metadata.name"][..]),
        select(&["In", "NotIn", "Exists", "DoesNotExist"][..]),
        prop::collection::vec(select(&["x", "y", "red"][..]), 1..3),
    );
    let expression = expression.prop_map(|(key, operator, values)| match operator {
        "In" | "NotIn" => json!({"key": key, "operator": operator, "values": values}),
        _ => json!({"key": key, "operator": operator}),
    });
    prop_oneof![
        2 => Just(json!({})),
        3 => labels().prop_map(|labels| json!({"matchLabels": labels})),
        2 => prop::collection::vec(expression, 1..3).prop_map(|list| json!({"matchExpressions": list})),
    ]
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (0..2u8, 1..6u8).prop_map(|(a, b)| format!("10.0.{a}.{b}")),
        1 => (1..4u8).prop_map(|b| format!("fd00::{b}")),
    ]
}

fn protocol() -> impl Strategy<Value = &'static str> {
    select(&["TCP", "TCP", "TCP", "TCP", "UDP", "SCTP"][..])
}

fn pod() -> impl Strategy<Value = Value> {
    let port = (select(&["", "http", "http", "dns"][..]), protocol(), 1..4u16);
    let port = port.prop_map(|(name, protocol, number)| match name {
        "" => json!({"protocol": protocol, "containerPort": number}),
        _ => json!({"name": name, "protocol": protocol, "containerPort": number}),
    });
    (
        (namespace_name(), 0..4u8, labels()),
        prop::collection::vec(address(), 0..3),
        prop::collection::vec(port, 0..3),
        prop::bool::weighted(0.1),
        select(&["Running", "Running", "Running", "Pending", "Succeeded", "Failed"][..]),
        prop::bool::weighted(0.3),
    )
        .prop_map(
            |((namespace, number, labels), addresses, ports, host, phase, terminating)| {
                let ips: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
                let mut pod = json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": format!("p{number}"), "namespace": namespace, "labels": labels},
                    "spec": {"hostNetwork": host, "containers": [{"name": "c", "ports": ports}]},
                    "status": {"phase": phase, "podIPs": ips},
                });
                if terminating {
                    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                }
                pod
            },
        )
}

fn namespace() -> impl Strategy<Value = Value> {
    (namespace_name(), labels()).prop_map(|(name, labels)| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    })
}

fn node() -> impl Strategy<Value = Value> {
    (0..3u8, labels(), prop::collection::vec(1..4u8, 0..3)).prop_map(|(number, labels, addresses)| {
        let addresses: Vec<Value> = addresses
            .iter()
            .map(|b| json!({"type": "InternalIP", "address": format!("192.0.2.{b}")}))
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("n{number}"), "labels": labels},
            "status": {"addresses": addresses},
        })
    })
}

fn block() -> impl Strategy<Value = Value> {
    select(&["10.0.0.0/16", "10.0.1.7/24", "0.0.0.0/0", "fd00::/64"][..]).prop_map(|cidr| match cidr {
        "10.0.0.0/16" => json!({"ipBlock": {"cidr": cidr, "except": ["10.0.0.0/30", "10.0.1.1/32"]}}),
        _ => json!({"ipBlock": {"cidr": cidr}}),
    })
}

fn peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => block(),
        1 => selector().prop_map(|pods| json!({"podSelector": pods})),
        1 => selector().prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        1 => (selector(), selector()).prop_map(|(n, p)| json!({"namespaceSelector": n, "podSelector": p})),
    ]
}

fn port() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        1 => Just(json!({})),
        2 => (1..4u16).prop_map(|port| json!({"port": port})),
        1 => (1..4u16).prop_map(|port| json!({"port": port, "endPort": 3})),
        4 => select(&["http", "http", "dns"][..]).prop_map(|name| json!({"port": name})),
    ];
    (number, protocol()).prop_map(|(mut port, protocol)| {
        port["protocol"] = json!(protocol);
        port
    })
}

fn network_policy() -> impl Strategy<Value = Value> {
    let rules = |peers: &'static str| {
        let rule = (
            prop::collection::vec(peer(), 0..3),
            prop::collection::vec(port(), 0..3),
        );
        let rule = rule.prop_map(move |(list, ports)| json!({peers: list, "ports": ports}));
        prop::collection::vec(rule, 0..3)
    };
    (namespace_name(), 0..3u8, selector(), rules("from"), rules("to")).prop_map(
        |(namespace, number, pods, ingress, egress)| {
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": format!("np{number}"), "namespace": namespace},
                "spec": {"podSelector": pods, "ingress": ingress, "egress": egress},
            })
        },
    )
}

fn cluster_policy() -> impl Strategy<Value = Value> {
    let pods = || {
        prop_oneof![
            selector().prop_map(|namespaces| json!({"namespaces": namespaces})),
            (selector(), selector())
                .prop_map(|(n, p)| json!({"pods": {"namespaceSelector": n, "podSelector": p}})),
        ]
    };
    let to = prop_oneof![
        2 => pods(),
        1 => selector().prop_map(|labels| json!({"nodes": labels})),
        1 => Just(json!({"networks": ["10.0.0.0/8", "fd00::/16"]})),
    ];
    let number = || (1..4u16).prop_map(|n| json!({"tcp": {"destinationPort": {"number": n}}}));
    let named = || select(&["http", "dns"][..]).prop_map(|n| json!({"destinationNamedPort": n}));
    let action = || select(&["Accept", "Deny", "Pass"][..]);
    let ingress = (action(), pods(), prop_oneof![number(), named()])
        .prop_map(|(action, from, port)| json!({"action": action, "from": [from], "protocols": [port]}));
    let egress = (action(), to, number())
        .prop_map(|(action, to, port)| json!({"action": action, "to": [to], "protocols": [port]}));
    let named_egress = (action(), pods(), named())
        .prop_map(|(action, to, port)| json!({"action": action, "to": [to], "protocols": [port]}));
    (
        0..3u8,
        select(&["Admin", "Baseline"][..]),
        0..3u16,
        pods(),
        prop::collection::vec(ingress, 0..3),
        prop::collection::vec(prop_oneof![egress, named_egress], 0..3),
    )
        .prop_map(|(number, tier, priority, subject, ingress, egress)| {
            json!({
                "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
                "metadata": {"name": format!("cnp{number}")},
                "spec": {
                    "tier": tier, "priority": priority, "subject": subject, "ingress": ingress, "egress": egress,
                },
            })
        })
}

fn service() -> impl Strategy<Value = Value> {
    let target = prop_oneof![Just(json!(2)), Just(json!("http")), Just(json!("nope"))];
    (
        namespace_name(),
        0..2u8,
        prop::option::of(labels()),
        target,
        prop::collection::vec(select(&["198.51.100.1", "198.51.100.2", "2001:db8::1"][..]), 0..3),
        select(&["ClusterIP", "LoadBalancer", "headgate.dev/load-balancer"][..]),
    )
        .prop_map(|(namespace, number, selector, target, addresses, kind)| {
            let mut service = json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": format!("s{number}"), "namespace": namespace},
                "spec": {
                    "selector": selector, "externalIPs": addresses,
                    "ports": [
                        {"name": "a", "port": 80, "targetPort": target},
                        {"name": "b", "port": 53, "protocol": "UDP"},
                    ],
                },
            });
            if kind != "ClusterIP" {
                service["spec"]["type"] = json!("LoadBalancer");
            }
            if kind.contains('/') {
                service["spec"]["loadBalancerClass"] = json!(kind);
            }
            service
        })
}

fn slice() -> impl Strategy<Value = Value> {
    (
        namespace_name(),
        0..2u8,
        prop::option::of(0..2u8),
        1..4u8,
        any::<bool>(),
    )
        .prop_map(|(namespace, number, service, address, ready)| {
            let labels = service.map(|s| json!({"kubernetes.io/service-name": format!("s{s}")}));
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": format!("e{number}"), "namespace": namespace, "labels": labels},
                "addressType": "IPv4",
                "ports": [{"name": "a", "port": 9}],
                "endpoints": [{"addresses": [format!("10.9.9.{address}")], "conditions": {"ready": ready}}],
            })
        })
}

fn endpoints() -> impl Strategy<Value = Value> {
    (namespace_name(), 0..2u8, 1..4u8).prop_map(|(namespace, service, address)| {
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": format!("s{service}"), "namespace": namespace},
            "subsets": [{"addresses": [{"ip": format!("10.9.8.{address}")}], "ports": [{"name": "a", "port": 9}]}],
        })
    })
}

fn ingress() -> impl Strategy<Value = Value> {
    (
        namespace_name(),
        0..2u8,
        0..3u8,
        prop_oneof![
            Just(json!({"number": 80})),
            Just(json!({"name": "a"})),
            Just(json!({"number": 1}))
        ],
        any::<bool>(),
    )
        .prop_map(|(namespace, number, service, port, default)| {
            let backend = json!({"service": {"name": format!("s{service}"), "port": port}});
            let mut ingress = json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": format!("i{number}"), "namespace": namespace},
                "spec": {
                    "ingressClassName": "headgate",
                    "rules": [{"host": format!("h{number}.example.com"), "http": {"paths": [
                        {"path": "/", "pathType": "Prefix", "backend": backend},
                    ]}}],
                },
            });
            if default {
                ingress["spec"]["defaultBackend"] = backend;
            }
            ingress
        })
}
