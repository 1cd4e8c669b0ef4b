//! The objects of a large cluster.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// How many there are of each.
pub(super) struct Size {
    pub(super) ingresses: usize,
    pub(super) endpoints: usize,
    pub(super) policies: usize,
}

/// Objects of a namespace.
const NAMESPACES: usize = 100;

fn namespace(n: usize) -> String {
    format!("team-{}", n % NAMESPACES)
}

/// The address of a pod.
fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 64, 0, 1).to_bits() + n as u32)
}

/// All objects, and those of the probe.
pub(super) fn objects(size: &Size) -> Vec<Value> {
    let mut objects = vec![
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "headgate"},
               "spec": {"controller": "headgate.dev/ingress"}}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-0"}}),
    ];
    for n in 0..NAMESPACES {
        objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(n)}}));
    }
    objects.extend((0..size.ingresses).flat_map(|n| [service(n), ingress(n)]));
    objects.extend((0..size.endpoints).map(|n| pod(n, n % size.ingresses.max(1))));
    objects.extend((0..size.ingresses).map(|n| slice(n, (n..size.endpoints).step_by(size.ingresses))));
    objects.extend((0..size.policies).map(|n| policy(n, size.ingresses.max(1))));
    objects.push(probe_service());
    objects.push(probe_ingress(false));
    objects.push(probe_slice(false));
    objects
}

fn service(n: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace(n), "name": format!("web-{n}")},
        "spec": {"selector": {"app": format!("web-{n}")}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

fn ingress(n: usize) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": namespace(n), "name": format!("web-{n}")},
        "spec": {"ingressClassName": "headgate", "rules": [{"host": format!("web-{n}.example.com"), "http": {"paths": [{
            "path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": format!("web-{n}"), "port": {"number": 80}}},
        }]}}]},
    })
}

pub(super) fn pod(n: usize, service: usize) -> Value {
    let address = address(n).to_string();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": namespace(service), "name": format!("web-{service}-{n}"),
            "labels": {"app": format!("web-{service}"), "pod-template-hash": "5c6f7d8b9"},
        },
        "spec": {
            "nodeName": "node-0", "serviceAccountName": "default",
            "containers": [{
                "name": "web", "image": "registry.example.com/web:1",
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "A", "value": "b"}], "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }],
        },
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
        },
    })
}

fn slice(service: usize, pods: impl Iterator<Item = usize>) -> Value {
    let endpoints: Vec<_> = pods
        .map(|n| {
            json!({
                "addresses": [address(n).to_string()], "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": "node-0",
                "targetRef": {"kind": "Pod", "namespace": namespace(service), "name": format!("web-{service}-{n}")},
            })
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "namespace": namespace(service), "name": format!("web-{service}-x"),
            "labels": {"kubernetes.io/service-name": format!("web-{service}")},
        },
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

fn policy(n: usize, services: usize) -> Value {
    let service = n % services;
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace(service), "name": format!("policy-{n}")},
        "spec": {
            "podSelector": {"matchLabels": {"app": format!("web-{service}")}},
            "ingress": [{
                "from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"podSelector": {"matchLabels": {"app": format!("web-{}", (n + 1) % services)}}}],
                "ports": [{"protocol": "TCP", "port": 8080}],
            }],
        },
    })
}

fn probe_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "team-0", "name": "probe"},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

/// With the path `/path`, or another instead.
pub(super) fn probe_ingress(with_path: bool) -> Value {
    let path = if with_path { "/path" } else { "/other" };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "team-0", "name": "probe"},
        "spec": {"ingressClassName": "headgate", "rules": [{"host": "probe.example.com", "http": {"paths": [
            {"path": path, "pathType": "Exact", "backend": {"service": {"name": "nothing", "port": {"number": 80}}}},
            {"path": "/endpoint", "pathType": "Exact", "backend": {"service": {"name": "probe", "port": {"number": 80}}}},
        ]}}]},
    })
}

/// With an endpoint, which refuses connections, or without.
pub(super) fn probe_slice(with_endpoint: bool) -> Value {
    let endpoints = if with_endpoint {
        json!([{"addresses": ["127.0.0.62"], "conditions": {"ready": true}}])
    } else {
        json!([])
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "team-0", "name": "probe-x", "labels": {"kubernetes.io/service-name": "probe"}},
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}
