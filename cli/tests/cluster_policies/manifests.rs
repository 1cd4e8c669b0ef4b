//! Random clusters as manifests.

use headgate_ring::message::{Direction, Protocol};
use serde_json::{Value, json};

use super::world::{
    ClusterPolicy, KEYS, Labels, NetworkPolicy, Peer, Pod, Pods, Port, Rule, Selector, World, address,
    node_address,
};

/// JSON values one after the other.
pub(crate) fn manifests(world: &World) -> String {
    let mut all = Vec::new();
    for (i, namespace) in world.namespaces.iter().enumerate() {
        let metadata = json!({"name": format!("n{i}"), "labels": labels(*namespace)});
        all.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }
    all.extend(world.pods.iter().enumerate().map(|(i, p)| pod(i, p)));
    for (i, node) in world.nodes.iter().enumerate() {
        let metadata = json!({"name": format!("node-{i}"), "labels": labels(*node)});
        let addresses = json!([{"type": "InternalIP", "address": node_address(i)}]);
        let status = json!({"addresses": addresses});
        all.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}));
    }
    all.extend(
        world
            .cluster_policies
            .iter()
            .enumerate()
            .map(|(i, p)| cluster_policy(i, p)),
    );
    all.extend(
        world
            .policies
            .iter()
            .enumerate()
            .map(|(i, p)| network_policy(i, p)),
    );
    all.iter().map(|value| format!("{value}\n")).collect()
}

fn labels(labels: Labels) -> Value {
    let pairs = KEYS
        .iter()
        .zip(labels)
        .filter_map(|(key, value)| Some(((*key).to_owned(), value?.into())));
    Value::Object(pairs.collect())
}

fn pod(i: usize, pod: &Pod) -> Value {
    // A container's names of ports must differ; those of different containers may be the same.
    let container = |(n, (name, protocol, port)): (usize, &(&str, Protocol, u16))| {
        let port = json!({"name": name, "protocol": protocol.to_string(), "containerPort": port});
        json!({"name": format!("c{n}"), "ports": [port]})
    };
    let containers: Vec<Value> = pod.ports.iter().enumerate().map(container).collect();
    let addresses = if pod.on_host {
        vec![json!({"ip": node_address(0)})]
    } else {
        [false, true].map(|v6| json!({"ip": address(i, v6)})).to_vec()
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": format!("pod-{i}"), "namespace": format!("n{}", pod.namespace), "labels": labels(pod.labels)},
        "spec": {"hostNetwork": pod.on_host, "containers": containers},
        "status": {"podIPs": addresses},
    })
}

fn selector(selector: &Selector) -> Value {
    let expressions = selector
        .iter()
        .map(|(key, operator, values)| json!({"key": KEYS[*key], "operator": operator, "values": values}));
    json!({"matchExpressions": expressions.collect::<Vec<_>>()})
}

fn pods(pods: &Pods) -> Value {
    let namespaces = selector(&pods.namespaces);
    match &pods.pods {
        None => json!({"namespaces": namespaces}),
        Some(pods) => json!({"pods": {"namespaceSelector": namespaces, "podSelector": selector(pods)}}),
    }
}

fn cluster_policy(i: usize, policy: &ClusterPolicy) -> Value {
    let rules = |direction: Direction, peers: &str| {
        let own = policy.rules.iter().filter(|(d, _)| *d == direction);
        own.map(|(_, r)| rule(r, peers)).collect::<Vec<Value>>()
    };
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": format!("c{i}")},
        "spec": {
            "tier": format!("{:?}", policy.tier),
            "priority": policy.priority,
            "subject": pods(&policy.subject),
            "ingress": rules(Direction::Ingress, "from"),
            "egress": rules(Direction::Egress, "to"),
        },
    })
}

fn rule(rule: &Rule, peers: &str) -> Value {
    let list: Vec<Value> = rule.peers.iter().map(peer).collect();
    let mut value = json!({"action": format!("{:?}", rule.action), peers: list});
    if let Some(ports) = &rule.ports {
        value["protocols"] = ports.iter().map(port).collect();
    }
    value
}

fn peer(peer: &Peer) -> Value {
    match peer {
        Peer::Pods(selected) => pods(selected),
        Peer::Nodes(labels) => json!({"nodes": selector(labels)}),
        Peer::Networks(networks) => json!({"networks": networks}),
    }
}

fn port(port: &Port) -> Value {
    let of = |protocol: &Protocol, rest: Value| json!({protocol.to_string().to_lowercase(): rest});
    match port {
        Port::Number(protocol, number) => of(protocol, json!({"destinationPort": {"number": number}})),
        Port::Range(protocol, first, last) => of(
            protocol,
            json!({"destinationPort": {"range": {"start": first, "end": last}}}),
        ),
        Port::All(protocol) => of(protocol, json!({})),
        Port::Named(name) => json!({"destinationNamedPort": name}),
    }
}

fn network_policy(i: usize, policy: &NetworkPolicy) -> Value {
    let (direction, rules, peers) = match policy.direction {
        Direction::Ingress => ("Ingress", "ingress", "from"),
        Direction::Egress => ("Egress", "egress", "to"),
    };
    let list = policy.rules.iter().map(|(pods, port)| {
        let peer = json!({"namespaceSelector": {}, "podSelector": selector(pods)});
        let mut rule = json!({peers: [peer]});
        if let Some(port) = port {
            rule["ports"] = json!([{"port": port}]);
        }
        rule
    });
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": format!("p{i}"), "namespace": format!("n{}", policy.namespace)},
        "spec": {
            "podSelector": selector(&policy.subjects),
            "policyTypes": [direction],
            rules: list.collect::<Vec<_>>(),
        },
    })
}
