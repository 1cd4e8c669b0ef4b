//! Policies of both kinds.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{name, namespace_name, port_name, port_number, protocol, selector, text};

fn cidr() -> impl Strategy<Value = &'static str> {
    let good = &[
        "10.0.0.0/8",
        "10.0.0.7/24",
        "10.0.0.1/32",
        "0.0.0.0/0",
        "1.2.3.4/0",
        "::/0",
        "fd00::1/64",
        "fd00::1/128",
        "::ffff:10.0.0.0/104",
        "255.255.255.255/32",
        "ff00::/8",
    ][..];
    prop_oneof![10 => select(good), 1 => select(&["10.0.0.0", "10.0.0.0/33", "x"][..])]
}

fn block() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => cidr().prop_map(|cidr| json!({"ipBlock": {"cidr": cidr}})),
        3 => prop::collection::vec(select(&["10.0.0.9/24", "10.0.0.0/24", "10.0.0.1/32"][..]), 0..4)
            .prop_map(|except| json!({"ipBlock": {"cidr": "10.99.0.0/8", "except": except}})),
        1 => (cidr(), prop::collection::vec(cidr(), 0..3))
            .prop_map(|(cidr, except)| json!({"ipBlock": {"cidr": cidr, "except": except}})),
    ]
}

fn peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => block(),
        1 => selector().prop_map(|s| json!({"podSelector": s})),
        1 => selector().prop_map(|s| json!({"namespaceSelector": s})),
        1 => (selector(), selector()).prop_map(|(n, p)| json!({"namespaceSelector": n, "podSelector": p})),
    ]
}

fn policy_port() -> impl Strategy<Value = Value> {
    let port = prop_oneof![
        2 => Just(json!({})),
        4 => port_number().prop_map(|n| json!({"port": n})),
        2 => port_number().prop_map(|n| json!({"port": n, "endPort": 65_535})),
        4 => port_name().prop_map(|n| json!({"port": n})),
    ];
    (port, protocol()).prop_map(|(mut port, protocol)| {
        port["protocol"] = json!(protocol);
        port
    })
}

pub(super) fn network_policy() -> impl Strategy<Value = Value> {
    let rules = |peers: &'static str| {
        let rule = (
            prop::collection::vec(peer(), 0..4),
            prop::collection::vec(policy_port(), 0..4),
        );
        let rule = rule.prop_map(move |(list, ports)| json!({peers: list, "ports": ports}));
        prop::collection::vec(rule, 0..3)
    };
    let types = prop::collection::vec(
        select(&["Ingress", "Egress", "Ingress", "Egress", "Ingress", "x"][..]),
        0..3,
    );
    (
        namespace_name(),
        name(),
        selector(),
        types,
        rules("from"),
        rules("to"),
    )
        .prop_map(|(namespace, name, pods, types, ingress, egress)| {
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"namespace": namespace, "name": name},
                "spec": {"podSelector": pods, "policyTypes": types, "ingress": ingress, "egress": egress},
            })
        })
}

pub(super) fn cluster_policy() -> impl Strategy<Value = Value> {
    let pods = || {
        prop_oneof![
            selector().prop_map(|n| json!({"namespaces": n})),
            (selector(), selector())
                .prop_map(|(n, p)| json!({"pods": {"namespaceSelector": n, "podSelector": p}})),
        ]
    };
    let to = prop_oneof![
        3 => pods(),
        1 => selector().prop_map(|nodes| json!({"nodes": nodes})),
        2 => prop::collection::vec(cidr(), 0..4).prop_map(|networks| json!({"networks": networks})),
        1 => Just(json!({"domainNames": ["*.example.com"]})),
    ];
    let transport = || select(&["tcp", "udp", "sctp"][..]);
    let protocol = || {
        prop_oneof![
            1 => transport().prop_map(|t| json!({t: {}})),
            3 => (transport(), port_number()).prop_map(|(t, n)| json!({t: {"destinationPort": {"number": n}}})),
            2 => (transport(), port_number(), port_number()).prop_map(
                |(t, a, b)| json!({t: {"destinationPort": {"range": {"start": a, "end": b}}}})
            ),
            3 => port_name().prop_map(|n| json!({"destinationNamedPort": n})),
        ]
    };
    let rule = |peers: BoxedStrategy<Value>, field: &'static str| {
        let rule = (
            select(&["Accept", "Deny", "Pass"][..]),
            text(),
            prop::collection::vec(peers, 1..3),
            prop::collection::vec(protocol(), 0..3),
        );
        let rule = rule.prop_map(move |(action, name, list, protocols)| {
            let mut rule = json!({"action": action, "name": name, field: list});
            if !protocols.is_empty() {
                rule["protocols"] = json!(protocols);
            }
            rule
        });
        prop::collection::vec(rule, 0..3)
    };
    (
        name(),
        select(&["Admin", "Baseline"][..]),
        select(&[0, 1, 1000, 1001][..]),
        pods(),
        rule(pods().boxed(), "from"),
        rule(to.boxed(), "to"),
    )
        .prop_map(|(name, tier, priority, subject, ingress, egress)| {
            json!({
                "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
                "metadata": {"name": name},
                "spec": {
                    "tier": tier, "priority": priority, "subject": subject, "ingress": ingress, "egress": egress,
                },
            })
        })
}
