//! Manifests as nobody should write them: what is odd and allowed, and now and then what is not.

mod policies;
mod traffic;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use policies::{cluster_policy, network_policy};
use traffic::{endpoints, ingress, secret, service, slice};

pub(crate) fn any_manifest() -> impl Strategy<Value = Value> {
    // Boxed, or a case takes more of the stack than a thread has.
    prop_oneof![
        3 => pod().boxed(),
        1 => namespace().boxed(),
        1 => node().boxed(),
        3 => network_policy().boxed(),
        2 => cluster_policy().boxed(),
        2 => service().boxed(),
        1 => slice().boxed(),
        2 => ingress().boxed(),
        1 => endpoints().boxed(),
        1 => secret().boxed(),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(&["a", "b", "web"][..]).prop_map(str::to_owned),
        1 => select(&["0", "a.b", "x--y", "xn--n3h", "listener", "default"][..]).prop_map(str::to_owned),
        1 => Just([&"a".repeat(63)[..]; 3].join(".")),
    ]
}

fn namespace_name() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just("shop".to_owned()), 1 => name()]
}

/// Keys and values that the API server would refuse, too.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(&["a", "b", "app"][..]).prop_map(str::to_owned),
        1 => select(&["", " ", "\0", "a=b,c", "kubernetes.io/metadata.name", "\u{1f512}", "a\nb"][..])
            .prop_map(str::to_owned),
        1 => Just("x".repeat(5000)),
    ]
}

fn labels() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(text(), text(), 0..3).prop_map(|labels| json!(labels))
}

fn selector() -> impl Strategy<Value = Value> {
    let expression = (
        text(),
        select(&["In", "NotIn", "Exists", "DoesNotExist"][..]),
        prop::collection::vec(text(), 1..4),
    );
    let expression = expression.prop_map(|(key, operator, values)| match operator {
        "In" | "NotIn" => json!({"key": key, "operator": operator, "values": values}),
        _ => json!({"key": key, "operator": operator}),
    });
    prop_oneof![
        1 => Just(json!({})),
        1 => labels().prop_map(|labels| json!({"matchLabels": labels})),
        1 => prop::collection::vec(expression, 0..3).prop_map(|list| json!({"matchExpressions": list})),
    ]
}

fn address() -> impl Strategy<Value = &'static str> {
    let odd = &[
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "169.254.1.1",
        "fe80::1",
        "127.0.0.1",
        "::1",
        "240.0.0.1",
        "198.51.100.1",
    ][..];
    let wrong = &[
        "0.0.0.0",
        "255.255.255.255",
        "ff02::1",
        "10.0.0",
        "fe80::1%eth0",
        "010.0.0.1",
        "",
    ][..];
    let good = &["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1", "fd00::2"][..];
    prop_oneof![12 => select(good), 4 => select(odd), 1 => select(wrong)]
}

fn port_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => select(&["http", "dns", "a"][..]), 1 => select(&["", "9", "a--b", "UPPER"][..])]
}

fn port_number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => select(&[1, 53, 80, 443, 65_535][..]), 1 => select(&[0, 65_536][..])]
}

fn protocol() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => select(&["TCP", "UDP", "SCTP"][..]), 1 => select(&["", "tcp", "ICMP"][..])]
}

fn metadata(namespace: &str, name: &str, labels: &Value) -> Value {
    json!({"namespace": namespace, "name": name, "labels": labels})
}

fn pod() -> impl Strategy<Value = Value> {
    let port = (port_name(), port_number(), protocol()).prop_map(
        |(name, number, protocol)| json!({"name": name, "containerPort": number, "protocol": protocol}),
    );
    (
        (namespace_name(), name(), labels()).prop_map(|(ns, name, labels)| metadata(&ns, &name, &labels)),
        prop::collection::vec(address(), 0..4),
        prop::option::weighted(0.3, address()),
        prop::collection::vec(port, 0..4),
        prop::bool::weighted(0.1),
        select(&["Running", "Running", "Pending", "Failed"][..]),
    )
        .prop_map(|(metadata, ips, ip, ports, host, phase)| {
            let ips: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": {"hostNetwork": host, "containers": [{"name": "c", "ports": ports}]},
                "status": {"phase": phase, "podIP": ip, "podIPs": ips},
            })
        })
}

fn namespace() -> impl Strategy<Value = Value> {
    (namespace_name(), labels()).prop_map(
        |(name, labels)| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
    )
}

fn node() -> impl Strategy<Value = Value> {
    let address = (select(&["InternalIP", "ExternalIP", "Hostname"][..]), address())
        .prop_map(|(kind, address)| json!({"type": kind, "address": address}));
    (name(), labels(), prop::collection::vec(address, 0..4)).prop_map(|(name, labels, addresses)| {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "status": {"addresses": addresses},
        })
    })
}
