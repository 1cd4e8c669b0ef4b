//! How much is looked at for one change among many hosts.

use std::collections::BTreeSet;
use std::sync::Arc;

use headgate_ring::message::Key;
use serde_json::{Value, json};

use crate::compile::{Compiler, State, Work, apply};
use crate::model::parse::{ManifestIdentity, identify, parse};
use crate::model::{Id, Model};
use crate::testing::{NOW, settings};

const HOSTS: usize = 200;

struct Bed {
    model: Model,
    compiler: Compiler,
    state: State,
}

impl Bed {
    /// An Ingress, a Service and a pod for each host.
    fn new() -> Self {
        let mut bed = Self {
            model: Model::default(),
            compiler: Compiler::new(settings()),
            state: State::new(),
        };
        let all = (0..HOSTS).flat_map(|n| [ingress(n, "/b"), service(n, "TCP"), pod(n, 1)]);
        let ids = all.map(|manifest| bed.insert(manifest)).collect();
        bed.update(&ids);
        bed
    }

    fn insert(&mut self, manifest: Value) -> Id {
        let Ok(ManifestIdentity::Known(id)) = identify(&manifest) else {
            panic!("a kind that is not read: {manifest}");
        };
        let object = parse(&id, &mut { manifest }).object.expect("a good object");
        self.model.insert(id.clone(), Arc::new(object));
        id
    }

    /// What is looked at for a change, and the keys that it changes.
    fn change(&mut self, manifest: Value) -> (Work, Vec<Key>) {
        let id = self.insert(manifest);
        let changed = self.update(&BTreeSet::from([id]));
        (self.compiler.work(), changed)
    }

    fn update(&mut self, ids: &BTreeSet<Id>) -> Vec<Key> {
        let changes = self.compiler.update(&self.state, &self.model, ids, NOW);
        let keys = changes.keys().cloned().collect();
        apply(&mut self.state, changes);
        keys
    }
}

fn ingress(n: usize, path: &str) -> Value {
    let backend = json!({"service": {"name": format!("s{n}"), "port": {"number": 80}}});
    let paths = ["/a", path, "/"].map(|path| json!({"path": path, "pathType": "Prefix", "backend": backend}));
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": format!("i{n}"), "namespace": "shop"},
        "spec": {
            "ingressClassName": "headgate",
            "rules": [{"host": format!("h{n}.example"), "http": {"paths": paths}}],
        },
    })
}

fn service(n: usize, protocol: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{n}"), "namespace": "shop"},
        "spec": {"selector": {"app": format!("a{n}")}, "ports": [{"port": 80, "protocol": protocol}]},
    })
}

fn pod(n: usize, copy: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p{n}-{copy}"), "namespace": "shop", "labels": {"app": format!("a{n}")}},
        "spec": {"containers": [{"name": "c"}]},
        "status": {
            "phase": "Running", "podIP": format!("10.{copy}.{}.{}", n >> 8, n & 255),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

fn work(ingresses: usize, hosts: usize, fed: usize) -> Work {
    Work {
        ingresses,
        hosts,
        fed,
    }
}

#[test]
fn an_ingress_is_its_host_and_a_pod_one_upstream() {
    let mut bed = Bed::new();
    assert_eq!(bed.compiler.work(), work(HOSTS, HOSTS, HOSTS));
    let host = Key::VirtualHost("h7.example".into());
    let upstream = Key::Upstream("shop/s7:80".into());
    assert_eq!(bed.change(ingress(7, "/c")), (work(1, 1, 0), vec![host.clone()]));
    assert_eq!(bed.change(ingress(7, "/c")), (work(1, 0, 0), vec![]));
    let (done, changed) = bed.change(pod(7, 2));
    assert_eq!(done, work(0, 0, 1));
    assert!(
        changed.contains(&upstream) && !changed.contains(&host),
        "{changed:?}"
    );
    // A Service is the Ingresses that name it; their routes are the same as long as it has the port.
    let (done, _) = bed.change(service(7, "TCP"));
    assert_eq!(done, work(1, 0, 1));
    let (done, changed) = bed.change(service(7, "UDP"));
    assert_eq!((done, changed), (work(1, 0, 0), vec![upstream]));
    let lines: Vec<_> = bed.compiler.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "Ingress shop/i7: spec.rules[0].http.paths[0].backend.service.port: the Service has no TCP port 80; requests are answered 503"
        ]
    );
}

#[test]
fn a_path_goes_to_the_next_in_line_when_its_holder_lets_it_go() {
    let mut bed = Bed::new();
    let mut other = ingress(1000, "/b");
    other["spec"]["rules"][0]["host"] = json!("h7.example");
    let (done, _) = bed.change(other);
    assert_eq!(done.hosts, 1);
    let lines = |bed: &Bed| bed.compiler.problems().len();
    // The three paths belong to the other, whose name stands before.
    assert_eq!(lines(&bed), 1 + 3, "one for the Service, one for each path");
    let (done, changed) = bed.change(ingress(7, "/c"));
    assert_eq!((done, changed.len()), (work(1, 1, 0), 1));
    assert_eq!(lines(&bed), 1 + 2);
}
