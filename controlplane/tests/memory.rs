//! How much memory the control plane keeps for each object of a cluster: what takes more, takes it 75,000 times in a
//! large one. Bounds are a fifth above what was measured when they were written (x86-64); bench/README.md says where the
//! rest of a process's memory goes.

use std::alloc::System;
use std::sync::Arc;

use headgate_controlplane::compile::{Compilation, Settings};
use headgate_controlplane::model::parse::{ManifestIdentity, identify};
use headgate_controlplane::problem::Version;
use headgate_controlplane::source::Change;
use headgate_controlplane::source::store::Store;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are in use.
fn live() -> isize {
    let stats = HEAP.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

const SERVICES: usize = 500;
const PODS_OF_EACH: usize = 10;

/// A control plane without its source and its peer.
struct Bed {
    store: Store,
    compiler: Compilation,
    revision: usize,
}

impl Bed {
    /// Takes in objects, and gives the bytes that it keeps for each.
    fn grows_by(&mut self, objects: impl Iterator<Item = Value>) -> isize {
        let before = live();
        let mut count = 0;
        let changes = objects.map(|value| {
            let Ok(ManifestIdentity::Known(id)) = identify(&value) else {
                panic!("{value} is an object");
            };
            (count, self.revision) = (count + 1, self.revision + 1);
            let version = Version {
                id,
                uid: format!("5a1a6ac7-8c2c-4a0f-9c4b-{:012}", self.revision).into(),
                resource_version: self.revision.to_string().into(),
            };
            Change::Object(Arc::new(version), (&value).into())
        });
        let changed = self.store.update(changes);
        // What has changed is for the caller, and not kept.
        let _ = self.compiler.update(self.store.model(), &changed, 0);
        drop(changed);
        assert_eq!(self.store.problems(), []);
        (live() - before) / count
    }
}

fn namespace(service: usize) -> String {
    format!("team-{}", service % 10)
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

fn address(service: usize, pod: usize) -> String {
    let n = service * PODS_OF_EACH + pod;
    format!("10.0.{}.{}", n / 250, n % 250)
}

fn slice(n: usize) -> Value {
    let endpoint = |pod| json!({"addresses": [address(n, pod)], "conditions": {"ready": true}});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "namespace": namespace(n), "name": format!("web-{n}-x"),
            "labels": {"kubernetes.io/service-name": format!("web-{n}")},
        },
        "endpoints": (0..PODS_OF_EACH).map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

fn pod(n: usize, pod: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": namespace(n), "name": format!("web-{n}-5c6f7d8b9-{pod:05}"),
            "labels": {"app": format!("web-{n}"), "pod-template-hash": "5c6f7d8b9"},
        },
        "spec": {"containers": [{"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": address(n, pod), "podIPs": [{"ip": address(n, pod)}]},
    })
}

fn policy(n: usize) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace(n), "name": format!("policy-{n}")},
        "spec": {
            "podSelector": {"matchLabels": {"app": format!("web-{n}")}},
            "ingress": [{
                "from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"podSelector": {"matchLabels": {"app": format!("web-{}", (n + 10) % SERVICES)}}}],
                "ports": [{"protocol": "TCP", "port": 8080}],
            }],
        },
    })
}

#[test]
fn an_object_takes_no_more_than_it_did() {
    let mut bed = Bed {
        store: Store::default(),
        compiler: Compilation::new(Settings {
            addresses: vec![[192, 0, 2, 1].into()],
            ..Settings::default()
        }),
        revision: 0,
    };
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "headgate"},
        "spec": {"controller": "headgate.dev/ingress"},
    });
    bed.grows_by([class].into_iter());
    let of_each = |make: fn(usize) -> Value| (0..SERVICES).map(make);
    let grown = [
        ("a Service", bed.grows_by(of_each(service)), 1_000),
        ("an EndpointSlice of ten", bed.grows_by(of_each(slice)), 1_340),
        ("an Ingress", bed.grows_by(of_each(ingress)), 3_520),
        (
            "a Pod",
            bed.grows_by((0..SERVICES).flat_map(|n| (0..PODS_OF_EACH).map(move |p| pod(n, p)))),
            1_340,
        ),
        ("a NetworkPolicy", bed.grows_by(of_each(policy)), 3_470),
    ];
    for (what, bytes, bound) in grown {
        assert!(bytes <= bound, "{what} takes {bytes} bytes, more than {bound}");
        assert!(
            bytes > bound / 2,
            "{what} takes {bytes} bytes: {bound} can be less"
        );
    }
}
