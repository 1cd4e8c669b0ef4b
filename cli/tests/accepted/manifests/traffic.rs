//! Services, slices, Ingresses and Secrets.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SignatureAlgorithm};
use serde_json::{Map, Value, json};

use super::{address, labels, metadata, name, namespace_name, port_name, port_number, protocol};

pub(super) fn service() -> impl Strategy<Value = Value> {
    let outside = &[
        "198.51.100.1",
        "198.51.100.2",
        "2001:db8::1",
        "2001:db8::2",
        "::ffff:198.51.100.2",
    ][..];
    let target = prop_oneof![
        port_number().prop_map(|n| json!(n)),
        port_name().prop_map(|n| json!(n))
    ];
    let port = (port_number(), target, protocol());
    (
        (namespace_name(), name()),
        prop::option::weighted(0.8, labels()),
        prop::collection::vec(select(outside), 0..4),
        prop::collection::vec(port, 1..3),
        select(&["ClusterIP", "LoadBalancer", "LoadBalancer", "ExternalName"][..]),
        prop::option::of(select(&[1, 86_400, 0][..])),
    )
        .prop_map(|((namespace, name), selector, addresses, ports, kind, affinity)| {
            let port = |(i, (port, target, protocol)): (usize, &(u32, Value, &str))| {
                json!({"name": format!("p{i}"), "port": port, "targetPort": target, "protocol": protocol})
            };
            let mut spec = json!({
                "type": kind, "selector": selector, "externalIPs": addresses,
                "ports": ports.iter().enumerate().map(port).collect::<Vec<_>>(),
            });
            if let Some(seconds) = affinity {
                spec["sessionAffinity"] = json!("ClientIP");
                spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": seconds}});
            }
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"namespace": namespace, "name": name}, "spec": spec,
            })
        })
}

pub(super) fn slice() -> impl Strategy<Value = Value> {
    let endpoint = (prop::collection::vec(address(), 1..3), any::<bool>(), any::<bool>()).prop_map(
        |(addresses, ready, terminating)| {
            json!({"addresses": addresses, "conditions": {"ready": ready, "terminating": terminating}})
        },
    );
    (
        (namespace_name(), name(), name()),
        select(&["IPv4", "IPv6"][..]),
        prop::collection::vec(endpoint, 0..4),
        prop::collection::vec((select(&["", "p0", "p1"][..]), port_number(), protocol()), 0..3),
    )
        .prop_map(|((namespace, name, service), kind, mut endpoints, ports)| {
            let of_kind = |e: &Value| e["addresses"][0].as_str().is_some_and(|a| a.contains(':')) == (kind == "IPv6");
            endpoints.retain(of_kind);
            let port = |(name, port, protocol): &(&str, u32, &str)| {
                json!({"name": name, "port": port, "protocol": protocol})
            };
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": metadata(&namespace, &name, &json!({"kubernetes.io/service-name": service})),
                "addressType": kind, "endpoints": endpoints,
                "ports": ports.iter().map(port).collect::<Vec<_>>(),
            })
        })
}

pub(super) fn endpoints() -> impl Strategy<Value = Value> {
    let address = select(
        &[
            "10.0.0.9",
            "010.0.0.10",
            "::ffff:10.0.0.11",
            "2001:db8::9",
            "127.0.0.1",
            "0.0.0.0",
            "x",
        ][..],
    );
    let list = || prop::collection::vec(address.clone().prop_map(|ip| json!({"ip": ip})), 0..4);
    let ports = prop::collection::vec((select(&["", "p0", "p1"][..]), port_number(), protocol()), 0..3);
    ((namespace_name(), name()), list(), list(), ports).prop_map(|((namespace, name), ready, waiting, ports)| {
        let port = |(name, port, protocol): &(&str, u32, &str)| {
            json!({"name": name, "port": port, "protocol": protocol})
        };
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"namespace": namespace, "name": name},
            "subsets": [{
                "addresses": ready, "notReadyAddresses": waiting,
                "ports": ports.iter().map(port).collect::<Vec<_>>(),
            }],
        })
    })
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(&["", "a.example.com", "A.Example.COM", "*.example.com", "localhost"][..]).prop_map(str::to_owned),
        1 => select(&["xn--n3h.net", "1.2.3.4", "*", "a.*.b", "a_b.com", "a.b.", "-a.b"][..]).prop_map(str::to_owned),
        1 => Just([&"a".repeat(63)[..]; 3].join(".") + "." + &"b".repeat(61)),
        1 => Just("a".repeat(253)),
        1 => Just("*.".to_owned() + &"a".repeat(64) + ".example.com"),
        1 => Just("*.".to_owned() + &[&"a".repeat(63)[..]; 3].join(".") + "." + &"b".repeat(59)),
    ]
}

fn path() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        6 => select(&["/", "/a", "/a/", "/a/b", "/A", "/a%20b", "/ü", "/a;b?c#d", "/.*", "/a//", "/ "][..])
            .prop_map(str::to_owned),
        1 => select(&["", "a", "/a/../b", "/a\u{7f}", "/a\u{85}b", "/\0", "//"][..]).prop_map(str::to_owned),
        1 => Just("/".to_owned() + &"p".repeat(5000)),
    ];
    let port = prop_oneof![
        port_number().prop_map(|n| json!({"number": n})),
        select(&["p0", "p1", "http"][..]).prop_map(|n| json!({"name": n})),
    ];
    (text, select(&["Exact", "Prefix", "ImplementationSpecific"][..]), name(), port).prop_map(
        |(path, kind, service, port)| {
            json!({"path": path, "pathType": kind, "backend": {"service": {"name": service, "port": port}}})
        },
    )
}

pub(super) fn ingress() -> impl Strategy<Value = Value> {
    let rule = (host(), prop::collection::vec(path(), 0..5))
        .prop_map(|(host, paths)| json!({"host": host, "http": {"paths": paths}}));
    let tls = (
        prop::collection::vec(host().prop_filter("a host", |h| !h.is_empty()), 0..4),
        name(),
    )
        .prop_map(|(hosts, secret)| json!({"hosts": hosts, "secretName": secret}));
    (
        (namespace_name(), name()),
        prop::collection::vec(rule, 1..4),
        prop::collection::vec(tls, 0..3),
        prop::option::of(name()),
    )
        .prop_map(|((namespace, name), rules, tls, default)| {
            let mut spec = json!({"ingressClassName": "headgate", "rules": rules, "tls": tls});
            if let Some(service) = default {
                spec["defaultBackend"] = json!({"service": {"name": service, "port": {"number": 80}}});
            }
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"namespace": namespace, "name": name}, "spec": spec,
            })
        })
}

/// Certificates of several kinds of keys, and their keys, in PEM.
static PAIRS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let algorithms: [&SignatureAlgorithm; 3] = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ];
    let pair = |algorithm| {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let names = vec!["a.example.com".to_owned(), "*.example.com".to_owned()];
        let certificate = CertificateParams::new(names).expect("names").self_signed(&key);
        (certificate.expect("a certificate").pem(), key.serialize_pem())
    };
    algorithms.map(pair).into()
});

pub(super) fn secret() -> impl Strategy<Value = Value> {
    let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let more = select(vec![
        String::new(),
        empty.to_owned(),
        junk.to_owned(),
        PAIRS[0].0.clone(),
    ]);
    let kind = select(
        &[
            "kubernetes.io/tls",
            "kubernetes.io/tls",
            "kubernetes.io/tls",
            "Opaque",
            "Opaque",
            "",
        ][..],
    );
    (
        (namespace_name(), name()),
        kind,
        0..PAIRS.len(),
        0..PAIRS.len(),
        prop::bool::weighted(0.9),
        more,
    )
        .prop_map(|((namespace, name), kind, pair, other, matching, more)| {
            let key = if matching { pair } else { other };
            let mut data = Map::new();
            data.insert("tls.crt".to_owned(), json!(PAIRS[pair].0.clone() + &more));
            data.insert("tls.key".to_owned(), json!(PAIRS[key].1));
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": kind,
                "metadata": {"namespace": namespace, "name": name}, "stringData": data,
            })
        })
}
