//! Pods as they come, change and go, and who is told of them.

use headgate_ring::PackedObject;
use headgate_ring::message::{Endpoint, EndpointPort, Key, Object, Protocol};

use crate::compile::{Changes, Compilation};
use crate::source::store::Store;
use crate::testing::{NOW, lines, put, settings};

/// A directory of manifests that changes.
struct Bed {
    store: Store,
    compiler: Compilation,
}

impl Bed {
    /// With a policy for all pods of the namespace, which lets in pods of the team blue.
    fn new() -> Self {
        let mut bed = Self {
            store: Store::default(),
            compiler: Compilation::new(settings()),
        };
        bed.put(
            "np",
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\n\
             spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: \
             {matchLabels: {team: blue}}}]}]}\n",
        );
        bed
    }

    fn put(&mut self, file: &str, text: &str) -> Changes {
        let changed = put(&mut self.store, &[(file, text)]);
        assert_eq!(lines(&self.store), Vec::<String>::new());
        self.compiler.update(self.store.model(), &changed, NOW)
    }

    /// `name: addresses: number of groups` of each endpoint.
    fn endpoints(&self) -> Vec<String> {
        let text = |endpoint: &Endpoint| {
            let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
            format!(
                "{}: {}: {}",
                endpoint.name,
                addresses.join(" "),
                endpoint.groups.len()
            )
        };
        let objects = self.compiler.state().values();
        objects
            .filter_map(|object| match object.object() {
                Object::Endpoint(endpoint) => Some(text(&endpoint)),
                _ => None,
            })
            .collect()
    }
}

fn pod(name: &str, metadata: &str, spec: &str, status: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: web}}{metadata}}}\n\
         spec: {{{spec}}}\nstatus: {{{status}}}\n"
    )
}

const DELETED: &str = ", deletionTimestamp: '2026-01-01T00:00:00Z'";

#[test]
fn a_pod_that_is_being_deleted_yields_its_address_to_one_that_is_not() {
    let mut bed = Bed::new();
    let status = "podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]";
    bed.put("old", &pod("old", "", "", status));
    bed.put("old", &pod("old", DELETED, "", status));
    assert_eq!(
        bed.endpoints(),
        ["shop/old: 10.0.0.1 fd00::1: 1"],
        "it is guarded to its end"
    );
    bed.put("new", &pod("new", "", "", "podIP: 10.0.0.1"));
    assert_eq!(bed.endpoints(), ["shop/new: 10.0.0.1: 1", "shop/old: fd00::1: 1"]);
    bed.put(
        "new",
        &pod("new", "", "", "podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]"),
    );
    assert_eq!(
        bed.endpoints(),
        ["shop/new: 10.0.0.1 fd00::1: 1"],
        "nothing is left of the old one"
    );
    bed.put("new", &pod("new", "", "", "phase: Failed, podIP: 10.0.0.1"));
    assert_eq!(bed.endpoints(), ["shop/old: 10.0.0.1 fd00::1: 1"]);
    bed.put("old", "");
    assert_eq!(bed.endpoints(), [""; 0]);
}

#[test]
fn of_two_pods_with_one_address_that_both_stay_both_are_told() {
    let mut bed = Bed::new();
    bed.put("a", &pod("a", "", "", "podIP: 10.0.0.1"));
    bed.put("b", &pod("b", "", "", "podIP: 10.0.0.1"));
    assert_eq!(bed.endpoints(), ["shop/a: 10.0.0.1: 1", "shop/b: 10.0.0.1: 1"]);
    bed.put("a", &pod("a", DELETED, "", "podIP: 10.0.0.1"));
    assert_eq!(bed.endpoints(), ["shop/b: 10.0.0.1: 1"]);
    bed.put("b", &pod("b", DELETED, "", "podIP: 10.0.0.1"));
    assert_eq!(
        bed.endpoints(),
        ["shop/a: 10.0.0.1: 1", "shop/b: 10.0.0.1: 1"],
        "who was first is unknown"
    );
}

#[test]
fn a_pod_of_the_nodes_network_takes_no_address_from_anybody() {
    let mut bed = Bed::new();
    bed.put("a", &pod("a", DELETED, "", "podIP: 10.0.0.1"));
    bed.put("host", &pod("host", "", "hostNetwork: true", "podIP: 10.0.0.1"));
    assert_eq!(bed.endpoints(), ["shop/a: 10.0.0.1: 1"]);
}

#[test]
fn a_pod_is_an_endpoint_while_it_has_an_address_and_runs() {
    let mut bed = Bed::new();
    let endpoint = ["shop/a: 10.0.0.1: 1"];
    for (spec, status, expected) in [
        ("", "phase: Pending", &[][..]),
        ("", "phase: Pending, podIP: 10.0.0.1", &endpoint),
        ("", "phase: Running, podIP: 10.0.0.1", &endpoint),
        ("", "phase: Succeeded, podIP: 10.0.0.1", &[]),
        ("", "phase: Running, podIP: 10.0.0.1", &endpoint),
        ("", "phase: Failed, podIP: 10.0.0.1", &[]),
        ("hostNetwork: true", "phase: Running, podIP: 10.0.0.1", &[]),
    ] {
        bed.put("a", &pod("a", "", spec, status));
        assert_eq!(bed.endpoints(), expected, "{spec} {status}");
    }
}

#[test]
fn a_namespace_that_is_written_down_after_its_pods_changes_their_groups() {
    let mut bed = Bed::new();
    bed.put("a", &pod("a", "", "", "podIP: 10.0.0.1"));
    assert_eq!(bed.endpoints(), ["shop/a: 10.0.0.1: 1"]);
    let namespace = |team| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{team: {team}}}}}\n")
    };
    let changes = bed.put("ns", &namespace("blue"));
    assert_eq!(
        changes.into_keys().collect::<Vec<_>>(),
        [Key::Endpoint("shop/a".to_owned())]
    );
    assert_eq!(bed.endpoints(), ["shop/a: 10.0.0.1: 2"]);
    assert!(
        bed.put(
            "ns",
            &namespace("blue").replace("{name", "{annotations: {a: b}, name")
        )
        .is_empty()
    );
    bed.put("ns", &namespace("red"));
    assert_eq!(bed.endpoints(), ["shop/a: 10.0.0.1: 1"]);
    bed.put("ns", &namespace("blue"));
    bed.put("ns", "");
    assert_eq!(bed.endpoints(), ["shop/a: 10.0.0.1: 1"]);
}

#[test]
fn endpoints_name_all_ports_of_all_containers() {
    let mut bed = Bed::new();
    let spec = "containers: [{name: c, ports: [{containerPort: 80}, {name: dns, containerPort: 53, protocol: UDP}]}, \
                {name: d, ports: [{name: dns, containerPort: 54, protocol: UDP}]}], initContainers: [{name: once, ports: \
                [{containerPort: 1}]}, {name: e, restartPolicy: Always, ports: [{name: proxy, containerPort: 2}]}]";
    bed.put("a", &pod("a", "", spec, "podIP: 10.0.0.1"));
    let key = Key::Endpoint("shop/a".to_owned());
    let Some(Object::Endpoint(endpoint)) = bed.compiler.state().get(&key).map(PackedObject::object) else {
        panic!("an endpoint");
    };
    let port = |name: &str, protocol, number| EndpointPort {
        name: name.to_owned(),
        protocol,
        number,
    };
    assert_eq!(
        endpoint.ports,
        [
            port("", Protocol::Tcp, 80),
            port("dns", Protocol::Udp, 53),
            port("dns", Protocol::Udp, 54),
            port("proxy", Protocol::Tcp, 2),
        ]
    );
    assert!(
        bed.store
            .model()
            .pods()
            .all(|(_, pod)| pod.port("", Protocol::Tcp).is_none())
    );
}
