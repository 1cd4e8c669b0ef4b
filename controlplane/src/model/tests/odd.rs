//! One odd entry costs itself, in every list of every kind.

use crate::model::service::ServiceKind;
use crate::model::{Ingress, Kind, Model, Node, ObjectName, Pod, Service, Slice};
use crate::source::store::Store;
use crate::testing::{lines, put};

/// What is in force of an object, and the lines about it without file, kind and name.
fn read(kind: Kind, rest: &str) -> (Model, Vec<String>) {
    let version = kind.api_version();
    let text = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n{rest}\n");
    let mut store = Store::default();
    put(&mut store, &[("f.yaml", &text)]);
    let name = if kind.namespaced() { "default/x" } else { "x" };
    let prefix = format!("f.yaml:1: {kind} {name}: ");
    let told = lines(&store).into_iter().map(|line| {
        let line = line.strip_prefix(&prefix).unwrap_or_else(|| panic!("{line}"));
        line.strip_suffix("; the entry is left out")
            .unwrap_or(line)
            .to_owned()
    });
    (store.model().clone(), told.collect())
}

fn only<'a, T>(mut objects: impl Iterator<Item = (&'a ObjectName, &'a T)>) -> T
where
    T: Clone + 'a,
{
    objects.next().expect("an object").1.clone()
}

fn service(rest: &str) -> (Service, Vec<String>) {
    let (model, lines) = read(Kind::Service, rest);
    (only(model.services()), lines)
}

fn ingress(spec: &str) -> (Ingress, Vec<String>) {
    let (model, lines) = read(Kind::Ingress, &format!("spec: {spec}"));
    (only(model.ingresses()), lines)
}

fn slice(rest: &str) -> (Slice, Vec<String>) {
    let (model, lines) = read(Kind::EndpointSlice, rest);
    (only(model.slices()), lines)
}

fn pod(rest: &str) -> (Pod, Vec<String>) {
    let (model, lines) = read(Kind::Pod, rest);
    (only(model.pods()), lines)
}

fn node(rest: &str) -> (Node, Vec<String>) {
    let (model, lines) = read(Kind::Node, rest);
    (only(model.nodes()), lines)
}

#[test]
fn ports_and_addresses_of_services() {
    let (service, lines) = service(
        "spec:\n  type: LoadBalancer\n  loadBalancerIP: nowhere\n  \
         externalIPs: [198.51.100.1, 198.51.100.300, 198.51.100.2, [x], 198.51.100.0003]\n  \
         ports: [{name: a, port: 1}, {name: b, port: eighty}, {name: a, port: 2}, {port: 3}, {name: c, port: 70000},\n    \
         {name: d, port: 4, protocol: ICMP}, {name: e, port: 5, targetPort: Bad_Name}, {name: f, port: 1}, {name: g, port: 6}]\n\
         status: {loadBalancer: {ingress: [{ip: 198.51.100.9}, {ip: x}, {hostname: h}]}}",
    );
    assert_eq!(service.kind, ServiceKind::Balanced);
    let ports: Vec<_> = service.ports.iter().map(|p| (p.place, p.port)).collect();
    assert_eq!(ports, [(0, 1), (8, 6)]);
    let addresses: Vec<_> = service.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(
        addresses,
        ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.9"]
    );
    assert_eq!(
        lines,
        [
            "spec.externalIPs[3]: invalid type: sequence, expected a string",
            "spec.ports[1].port: invalid type: string \"eighty\", expected i32",
            "spec.ports[2].name: \"a\" is the name of an earlier port",
            "spec.ports[3].name: must be given where a Service has several ports",
            "spec.ports[4].port: must be 1 to 65535, is 70000",
            "spec.ports[5].protocol: \"ICMP\" is none of TCP, UDP, SCTP",
            "spec.ports[6].targetPort: \"Bad_Name\" is neither a number nor a port's name",
            "spec.ports[7].port: 1 is an earlier port of that protocol",
            "spec.loadBalancerIP: \"nowhere\" is not an IP address",
            "status.loadBalancer.ingress[1].ip: \"x\" is not an IP address",
            "spec.externalIPs[1]: \"198.51.100.300\" is not an IP address",
        ]
    );
}

#[test]
fn a_list_of_whom_to_let_in_stands_or_falls_as_a_whole() {
    let (model, lines) = read(
        Kind::Service,
        "spec: {ports: [{port: 1}], loadBalancerSourceRanges: [5]}",
    );
    assert_eq!(model.services().count(), 0);
    assert_eq!(
        lines,
        ["spec.loadBalancerSourceRanges[0]: invalid type: integer `5`, expected a string; it is left out"]
    );
}

const BACKEND: &str = "backend: {service: {name: s, port: {number: 80}}}";

#[test]
fn hosts_of_tls() {
    let (ingress, lines) = ingress(&format!(
        "{{rules: [{{host: shop.example.com, http: {{paths: [{{path: /, pathType: Prefix, {BACKEND}}}]}}}}],\n  \
         tls: [{{hosts: [192.0.2.5, shop.example.com, 'a_b', '::1'], secretName: s}}, {{hosts: [192.0.2.6], secretName: t}},\n  \
         {{hosts: 5}}, {{hosts: [www.example.com]}}]}}"
    ));
    assert_eq!(ingress.rules.len(), 1);
    let tls: Vec<_> = ingress
        .tls
        .iter()
        .map(|tls| {
            let hosts: Vec<_> = tls.hosts.iter().map(|h| (h.place, h.name.as_str())).collect();
            (tls.place, hosts)
        })
        .collect();
    assert_eq!(
        tls,
        [
            (0, vec![(1, "shop.example.com")]),
            (3, vec![(0, "www.example.com")])
        ]
    );
    let address = |text: &str| {
        format!("\"{text}\" is an IP address, for which clients cannot ask in TLS: it names no certificate")
    };
    let form = "it must consist of letters, digits, hyphens and dots, as in \"www.example.com\"";
    assert_eq!(
        lines,
        [
            "spec.tls[2].hosts: invalid type: integer `5`, expected a sequence".to_owned(),
            format!("spec.tls[0].hosts[0]: {}", address("192.0.2.5")),
            format!("spec.tls[0].hosts[2]: \"a_b\" is not a host: {form}"),
            "spec.tls[0].hosts[3]: \"::1\" is an IP address; a host must be a DNS name".to_owned(),
            format!("spec.tls[1].hosts[0]: {}", address("192.0.2.6")),
        ]
    );
}

#[test]
fn rules_paths_and_backends() {
    let path = |path: &str| format!("{{path: {path}, pathType: Exact, {BACKEND}}}");
    let (ingress, lines) = ingress(&format!(
        "{{defaultBackend: {{resource: {{kind: Bucket, name: b}}}},\n  rules: [{{host: 192.0.2.1}},\n  \
         {{host: a.test, http: {{paths: [{}, {{path: /x, pathType: Exact, backend: {{service: {{name: s, port: {{number: '80'}}}}}}}},\n    \
         {}, {{path: /r, pathType: Exact, backend: {{resource: {{kind: Bucket, name: b}}}}}}, {}]}}}},\n  \
         {{host: b.test, http: {{paths: [{}]}}}}, 7, {{host: c.test}}]}}",
        path("/a"),
        path("relative"),
        path("/b"),
        path("/c//d")
    ));
    assert_eq!(ingress.default_backend, None);
    let rules: Vec<_> = ingress
        .rules
        .iter()
        .map(|rule| {
            let paths: Vec<_> = rule.paths.iter().map(|p| (p.place, p.path.as_str())).collect();
            (rule.place, rule.host.as_str(), paths)
        })
        .collect();
    assert_eq!(
        rules,
        [(1, "a.test", vec![(0, "/a"), (4, "/b")]), (4, "c.test", vec![])]
    );
    assert_eq!(
        lines,
        [
            "spec.rules[1].http.paths[1].backend.service.port.number: invalid type: string \"80\", expected i32",
            "spec.rules[3]: invalid type: integer `7`, expected IngressRule",
            "spec.defaultBackend.resource: is not supported: a backend must be a service",
            "spec.rules[0].host: \"192.0.2.1\" is an IP address; a host must be a DNS name",
            "spec.rules[1].http.paths[2].path: \"relative\" must begin with \"/\"",
            "spec.rules[1].http.paths[3].backend.resource: is not supported: a backend must be a service",
            "spec.rules[2].http.paths[0].path: \"/c//d\" must not contain \"//\"",
            // There is no state before, which would stay in force; what is right is served.
            "spec.defaultBackend.resource: is not supported: a backend must be a service; until it is mended it is in \
             force without",
        ]
    );
}

#[test]
fn endpoints_addresses_and_ports_of_slices() {
    let (slice, lines) = slice(
        "addressType: IPv4\nports: [{port: 0}, {port: 80, protocol: tcp}, {port: 8080}]\n\
         endpoints: [{addresses: [10.0.0.1]}, {addresses: ['::1', 10.0.0.2]}, {addresses: []}, {addresses: [x]}, 5,\n  \
         {addresses: [10.0.0.03], conditions: {ready: false}}]",
    );
    assert_eq!(slice.ports.iter().map(|p| p.port).collect::<Vec<_>>(), [8080]);
    let addresses: Vec<_> = slice.endpoints.iter().map(|e| e.address.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(
        lines,
        [
            "endpoints[4]: invalid type: integer `5`, expected Endpoint",
            "ports[0].port: must be 1 to 65535, is 0",
            "ports[1].protocol: \"tcp\" is none of TCP, UDP, SCTP",
            "endpoints[1].addresses[0]: \"::1\" is not of the slice's addressType",
            "endpoints[2].addresses: must hold at least one address",
            "endpoints[3].addresses[0]: \"x\" is not an IP address",
        ]
    );
}

#[test]
fn addresses_and_ports_of_pods() {
    let (pod, lines) = pod(
        "spec:\n  containers:\n  - {name: a, ports: [{name: p, containerPort: 0}, {name: q, containerPort: 81}, {containerPort: x}]}\n  \
         - {name: b, ports: [{name: r, containerPort: 82, protocol: QUIC}, {name: s, containerPort: 83}], env: [{name: FIVE, value: 5}]}\n\
         status: {podIP: ten, podIPs: [{ip: 10.0.0.1}, {ip: ''}, {ip: '2001:db8::1'}], hostIPs: [{ip: x}, {ip: 192.0.2.1}], hostIP: none}",
    );
    let addresses: Vec<_> = pod.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1", "2001:db8::1"]);
    assert_eq!(pod.hosts.len(), 1);
    let ports: Vec<_> = pod
        .ports
        .iter()
        .map(|(name, _, port)| (name.as_str(), *port))
        .collect();
    assert_eq!(ports, [("q", 81), ("s", 83)]);
    assert_eq!(
        lines,
        [
            "spec.containers[0].ports[2].containerPort: invalid type: string \"x\", expected i32",
            "spec.containers[1].env[0].value: invalid type: integer `5`, expected a string",
            "status.podIP: \"ten\" is not an IP address",
            "status.podIPs[1].ip: \"\" is not an IP address",
            "status.hostIPs[0].ip: \"x\" is not an IP address",
            "status.hostIP: \"none\" is not an IP address",
            "spec.containers[0].ports[0].containerPort: must be 1 to 65535, is 0",
            "spec.containers[1].ports[0].protocol: \"QUIC\" is none of TCP, UDP, SCTP",
        ]
    );
}

#[test]
fn addresses_of_nodes() {
    let (node, lines) = node(
        "status: {addresses: [{type: InternalIP, address: a}, {type: ExternalIP, address: 192.0.2.01}, {type: 5}]}",
    );
    let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.1"]);
    assert_eq!(
        lines,
        [
            "status.addresses[2].type: invalid type: integer `5`, expected a string",
            "status.addresses[0].address: \"a\" is not an IP address",
        ]
    );
}

#[test]
fn labels_and_annotations() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: x, labels: {version: 1, app: web}, annotations: {a: true}}\n";
    let mut store = Store::default();
    put(&mut store, &[("f.yaml", text)]);
    let pod = only(store.model().pods());
    assert_eq!(
        pod.labels.iter().collect::<Vec<_>>(),
        [(&"app".to_owned(), &"web".to_owned())]
    );
    let mut told = lines(&store);
    told.sort();
    assert_eq!(
        told,
        [
            "f.yaml:1: Pod default/x: metadata.annotations.a: invalid type: boolean `true`, expected a string; the entry is left out",
            "f.yaml:1: Pod default/x: metadata.labels.version: invalid type: integer `1`, expected a string; the entry is left out",
        ]
    );
}

#[test]
fn an_object_of_nothing_but_odd_entries_is_refused() {
    let text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: x}}\naddressType: IPv4\nendpoints: [{}]\n",
        vec!["5"; 150].join(", ")
    );
    let mut store = Store::default();
    put(&mut store, &[("f.yaml", &text)]);
    assert_eq!(
        lines(&store),
        [
            "f.yaml:1: EndpointSlice default/x: endpoints[100]: invalid type: integer `5`, expected Endpoint; it is left out"
        ]
    );
}

#[test]
fn policies_fail_closed_as_a_whole() {
    let (model, lines) = read(
        Kind::NetworkPolicy,
        "spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: x}}]}]}",
    );
    let policy = only(model.policies());
    assert_eq!(policy.ingress, Some(Vec::new()));
    assert_eq!(
        lines,
        [
            "spec.ingress[0].from[1].ipBlock.cidr: \"x\" is not a network in CIDR notation, as in \"10.0.0.0/8\"; \
             until it is mended it allows nothing to the pods that it selects"
        ]
    );
}
