//! The policies that flap, in three ways: the rule changes, a pod's label does, a second policy comes and goes.

use headgate_lab::address;
use serde_json::{Value, json};

/// Guards the pod that datagrams go to.
pub(super) const GUARD: &str = "x/guard";
/// Guards the pod that streams and requests go to.
pub(super) const STREAM_GUARD: &str = "x/stream-guard";

/// Client 0 may always speak to x/a. Where it is open, client 1 and the pod x/b may too. Client 0 may
/// always speak to x/c; where it is open, client 1 and every pod may too.
pub(super) fn manifests(round: usize, open: bool) -> String {
    let way = round % 3;
    let (a, b) = (address::client(0), address::client(1));
    let always = vec![block(a.0), block(a.1)];
    let sometimes = vec![
        block(b.0),
        json!({"podSelector": {"matchLabels": {"friend": "yes"}}}),
    ];
    let mut objects = vec![
        pod("x", "a", 1, "no"),
        pod("x", "b", 2, if open || way == 0 { "yes" } else { "no" }),
        pod("x", "c", 3, "no"),
        pod("y", "a", 4, "no"),
        policy("stream-guard", "c", &[block(a.0)]),
    ];
    let mut peers = always;
    match (way, open) {
        (0, true) => peers.extend(sometimes),
        // The selector stays; the pod's label goes, and the block's except comes.
        (1, _) => {
            peers.push(sometimes[1].clone());
            peers.push(json!({"ipBlock": {
                "cidr": "192.0.2.0/24",
                "except": if open { vec![] } else { vec![format!("{}/32", b.0)] },
            }}));
        }
        (2, true) => objects.push(policy("second", "a", &sometimes)),
        _ => {}
    }
    objects.push(policy("guard", "a", &peers));
    if open {
        objects.push(policy(
            "stream",
            "c",
            &[json!({"namespaceSelector": {}}), block(b.0)],
        ));
    }
    objects.iter().map(|object| format!("{object}\n")).collect()
}

fn block(address: std::net::IpAddr) -> Value {
    let length = if address.is_ipv4() { 32 } else { 128 };
    json!({"ipBlock": {"cidr": format!("{address}/{length}")}})
}

fn pod(namespace: &str, name: &str, number: u8, friend: &str) -> Value {
    let (v4, v6) = address::pod(number);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"pod": name, "friend": friend}},
        "status": {"podIPs": [{"ip": v4}, {"ip": v6}]},
    })
}

fn policy(name: &str, pod: &str, from: &[Value]) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "x", "name": name},
        "spec": {"podSelector": {"matchLabels": {"pod": pod}}, "ingress": [{"from": from}]},
    })
}
