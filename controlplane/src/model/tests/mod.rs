//! The lines for objects that are wrong, compared literally.

mod faultless;
mod forms;
mod odd;

use super::Kind;
use super::name::host;
use crate::source::store::Store;
use crate::testing::{lines, put};

/// The reason that an object of this kind is refused for.
fn refusal(kind: Kind, rest: &str) -> String {
    let version = kind.api_version();
    let text = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n{rest}\n");
    let mut store = Store::default();
    put(&mut store, &[("f.yaml", &text)]);
    let name = if kind.namespaced() { "default/x" } else { "x" };
    let lines = lines(&store);
    let line = lines.first().unwrap_or_else(|| panic!("not refused: {text}"));
    let prefix = format!("f.yaml:1: {kind} {name}: ");
    let reason = line.strip_prefix(&prefix).unwrap_or_else(|| panic!("{line}"));
    reason
        .rsplit_once("; ")
        .map_or(reason, |(reason, _)| reason)
        .to_owned()
}

fn service(spec: &str) -> String {
    refusal(Kind::Service, &format!("spec: {{{spec}}}"))
}

fn pod(rest: &str) -> String {
    refusal(Kind::Pod, rest)
}

fn slice(rest: &str) -> String {
    refusal(Kind::EndpointSlice, rest)
}

fn ingress(spec: &str) -> String {
    refusal(Kind::Ingress, &format!("spec: {{{spec}}}"))
}

/// An Ingress with one path.
fn path(path: &str) -> String {
    ingress(&format!("rules: [{{http: {{paths: [{{{path}}}]}}}}]"))
}

fn policy(spec: &str) -> String {
    refusal(
        Kind::NetworkPolicy,
        &format!("spec: {{podSelector: {{}}, {spec}}}"),
    )
}

/// A policy with one peer.
fn peer(peer: &str) -> String {
    policy(&format!("ingress: [{{from: [{peer}]}}]"))
}

/// A policy with one port.
fn port(port: &str) -> String {
    policy(&format!("egress: [{{}}, {{ports: [{port}]}}]"))
}

#[test]
fn types() {
    assert_eq!(
        service("ports: [{port: eighty}]"),
        "spec.ports[0].port: invalid type: string \"eighty\", expected i32"
    );
    assert_eq!(
        pod("spec: {containers: [], nodeSelector: {version: 1}}"),
        "spec.nodeSelector.version: invalid type: integer `1`, expected a string"
    );
    assert_eq!(
        ingress("rules: 5"),
        "spec.rules: invalid type: integer `5`, expected a sequence"
    );
}

#[test]
fn services() {
    assert_eq!(service(""), "spec.ports: must name at least one port");
    assert_eq!(
        service("ports: [{port: 0}]"),
        "spec.ports[0].port: must be 1 to 65535, is 0"
    );
    assert_eq!(
        service("ports: [{port: 70000}]"),
        "spec.ports[0].port: must be 1 to 65535, is 70000"
    );
    assert_eq!(
        service("ports: [{port: 1, targetPort: -1}]"),
        "spec.ports[0].targetPort: must be 1 to 65535, is -1"
    );
    assert_eq!(
        service("ports: [{port: 1, targetPort: Not_A_Name}]"),
        "spec.ports[0].targetPort: \"Not_A_Name\" is neither a number nor a port's name"
    );
    assert_eq!(
        service("ports: [{port: 1, protocol: tcp}]"),
        "spec.ports[0].protocol: \"tcp\" is none of TCP, UDP, SCTP"
    );
    assert_eq!(
        service("ports: [{port: 1, name: a}, {port: 2}]"),
        "spec.ports[1].name: must be given where a Service has several ports"
    );
    assert_eq!(
        service("ports: [{port: 1, name: a}, {port: 2, name: a}]"),
        "spec.ports[1].name: \"a\" is the name of an earlier port"
    );
    assert_eq!(
        service("ports: [{port: 1, name: a}, {port: 1, name: b}]"),
        "spec.ports[1].port: 1 is an earlier port of that protocol"
    );
    assert_eq!(
        service("type: Loadbalancer, ports: [{port: 1}]"),
        "spec.type: \"Loadbalancer\" is none of ClusterIP, NodePort, LoadBalancer, ExternalName"
    );
    assert_eq!(
        service("sessionAffinity: Cookie, ports: [{port: 1}]"),
        "spec.sessionAffinity: \"Cookie\" is none of None, ClientIP"
    );
    assert_eq!(
        service(
            "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}, ports: [{port: 1}]"
        ),
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: must be 1 to 86400, is 0"
    );
}

#[test]
fn addresses_of_services() {
    assert_eq!(
        service("externalIPs: [192.0.2.1, 192.0.2.300], ports: [{port: 1}]"),
        "spec.externalIPs[1]: \"192.0.2.300\" is not an IP address"
    );
    assert_eq!(
        service("externalIPs: [127.0.0.1], ports: [{port: 1}]"),
        "spec.externalIPs[0]: 127.0.0.1 must not be unspecified, loopback, link-local or multicast"
    );
    assert_eq!(
        service("type: LoadBalancer, loadBalancerIP: 'fe80::1', ports: [{port: 1}]"),
        "spec.loadBalancerIP: fe80::1 must not be unspecified, loopback, link-local or multicast"
    );
    assert_eq!(
        refusal(
            Kind::Service,
            "spec: {type: LoadBalancer, ports: [{port: 1}]}\nstatus: {loadBalancer: {ingress: [{}, {ip: x}]}}"
        ),
        "status.loadBalancer.ingress[1].ip: \"x\" is not an IP address"
    );
}

#[test]
fn pods() {
    assert_eq!(
        pod("status: {podIP: ten}"),
        "status.podIP: \"ten\" is not an IP address"
    );
    assert_eq!(
        pod("status: {podIPs: [{ip: ''}]}"),
        "status.podIPs[0].ip: \"\" is not an IP address"
    );
    assert_eq!(
        pod("spec: {containers: [{name: c}, {name: d, ports: [{name: p, containerPort: 0}]}]}"),
        "spec.containers[1].ports[0].containerPort: must be 1 to 65535, is 0"
    );
}

#[test]
fn nodes() {
    let node = |addresses: &str| format!("status: {{addresses: [{addresses}]}}");
    assert_eq!(
        refusal(
            Kind::Node,
            &node("{type: Hostname, address: a}, {type: InternalIP, address: a}")
        ),
        "status.addresses[1].address: \"a\" is not an IP address"
    );
    let mut store = Store::default();
    let addresses = "{type: InternalIP, address: 192.0.2.1}, {type: Hostname, address: 192.0.2.2}, \
                     {type: ExternalIP, address: '2001:db8::1'}, {type: InternalDNS, address: a.example}";
    let text = format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: edge-1, labels: {{role: edge}}}}\n{}\n",
        node(addresses)
    );
    put(&mut store, &[("f.yaml", &text)]);
    assert_eq!(lines(&store), Vec::<String>::new());
    let (name, node) = store.model().nodes().next().expect("a node");
    assert_eq!(
        (
            name.to_string().as_str(),
            node.labels.get("role").map(String::as_str)
        ),
        ("edge-1", Some("edge"))
    );
    let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.1", "2001:db8::1"]);
}

#[test]
fn slices() {
    assert_eq!(
        slice("addressType: ipv4\nendpoints: []"),
        "addressType: \"ipv4\" is none of IPv4, IPv6, FQDN"
    );
    assert_eq!(
        slice("addressType: IPv4\nendpoints: [{addresses: []}]"),
        "endpoints[0].addresses: must hold at least one address"
    );
    assert_eq!(
        slice("addressType: IPv4\nendpoints: [{addresses: ['::1']}]"),
        "endpoints[0].addresses[0]: \"::1\" is not of the slice's addressType"
    );
    assert_eq!(
        slice("addressType: IPv4\nports: [{port: 0}]\nendpoints: []"),
        "ports[0].port: must be 1 to 65535, is 0"
    );
}

#[test]
fn ingresses() {
    assert_eq!(ingress(""), "spec: must have rules or a defaultBackend");
    assert_eq!(
        ingress("rules: [{host: 'www.*.com'}]"),
        "spec.rules[0].host: \"www.*.com\" is not a host: a wildcard stands for the whole first label only, as in \"*.example.com\""
    );
    assert_eq!(
        ingress("rules: [{host: 'a_b.com'}]"),
        "spec.rules[0].host: \"a_b.com\" is not a host: it must consist of letters, digits, hyphens and dots, as in \"www.example.com\""
    );
    assert_eq!(
        ingress("rules: [{host: 192.0.2.1}]"),
        "spec.rules[0].host: \"192.0.2.1\" is an IP address; a host must be a DNS name"
    );
    assert_eq!(
        ingress("rules: [{host: a}], tls: [{hosts: [b, '']}]"),
        "spec.tls[0].hosts[1]: \"\" is not a host: it must consist of letters, digits, hyphens and dots, as in \"www.example.com\""
    );
    assert_eq!(
        path("path: /"),
        "spec.rules[0].http.paths[0].pathType: is missing: use Exact, Prefix or ImplementationSpecific"
    );
    let backend = "backend: {service: {name: s, port: {number: 1}}}";
    assert_eq!(
        path(&format!("path: /, pathType: prefix, {backend}")),
        "spec.rules[0].http.paths[0].pathType: \"prefix\" is none of Exact, Prefix, ImplementationSpecific"
    );
    for (bad, reason) in [
        ("a", "must begin with \"/\""),
        ("''", "must begin with \"/\""),
        ("/a//b", "must not contain \"//\""),
        ("/a/../b", "must not contain \"/../\""),
        ("/a%2fb", "must not contain \"%2f\""),
        ("/a/..", "must not end with \"/..\""),
        ("/a/.", "must not end with \"/.\""),
    ] {
        assert_eq!(
            path(&format!("path: {bad}, pathType: Prefix, {backend}")),
            format!(
                "spec.rules[0].http.paths[0].path: \"{}\" {reason}",
                bad.trim_matches('\'')
            )
        );
    }
}

#[test]
fn what_the_dataplane_would_refuse_is_refused_here() {
    let backend = "backend: {service: {name: s, port: {number: 1}}}";
    for kind in ["Exact", "Prefix", "ImplementationSpecific"] {
        assert_eq!(
            path(&format!("path: \"/a\\tb\", pathType: {kind}, {backend}")),
            "spec.rules[0].http.paths[0].path: \"/a\\tb\" must not contain control characters"
        );
    }
    let long = format!("*.{}a", "a.".repeat(125));
    assert_eq!(host(&long).as_deref(), Ok(long.as_str()));
    assert!(host(&format!("{long}b")).is_err(), "254 characters");
    for text in [
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::",
        "ff02::1",
        "::ffff:224.0.0.1",
    ] {
        assert!(super::address::address("ip", text).is_err(), "{text}");
        assert!(super::address::public_address("ip", text).is_err(), "{text}");
    }
    assert!(super::address::address("ip", "127.0.0.1").is_ok());
}

#[test]
fn backends() {
    let backend = |backend: &str| ingress(&format!("defaultBackend: {{{backend}}}"));
    let field = "spec.defaultBackend";
    assert_eq!(
        backend(""),
        format!("{field}.service: is missing: a backend must be a service")
    );
    assert_eq!(
        backend("resource: {kind: Bucket, name: b}"),
        format!("{field}.resource: is not supported: a backend must be a service")
    );
    assert_eq!(
        backend("service: {name: s}"),
        format!("{field}.service.port: must have either a number or a name")
    );
    assert_eq!(
        backend("service: {name: s, port: {number: 1, name: a}}"),
        format!("{field}.service.port: must have either a number or a name")
    );
    assert_eq!(
        backend("service: {name: s, port: {number: 99999}}"),
        format!("{field}.service.port.number: must be 1 to 65535, is 99999")
    );
    assert_eq!(
        backend("service: {name: s/t, port: {number: 1}}"),
        format!("{field}.service.name: \"s/t\" is not a Service's name")
    );
}

#[test]
fn network_policies() {
    assert_eq!(
        policy("policyTypes: [ingress]"),
        "spec.policyTypes[0]: \"ingress\" is none of Ingress, Egress"
    );
    let from = "spec.ingress[0].from[0]";
    assert_eq!(
        peer("{}"),
        format!("{from}: must have one of ipBlock, podSelector, namespaceSelector; an empty peer is no peer")
    );
    assert_eq!(
        peer("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}"),
        format!("{from}.ipBlock: must not stand beside podSelector or namespaceSelector in one peer")
    );
    assert_eq!(
        peer("{ipBlock: {cidr: 10.0.0.1}}"),
        format!("{from}.ipBlock.cidr: \"10.0.0.1\" is not a network in CIDR notation, as in \"10.0.0.0/8\"")
    );
    assert_eq!(
        peer("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16]}}"),
        format!("{from}.ipBlock.except[1]: \"11.0.0.0/16\" does not lie inside cidr \"10.0.0.0/8\"")
    );
    assert_eq!(
        peer("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}"),
        format!("{from}.ipBlock.except[0]: \"10.0.0.0/8\" does not lie inside cidr \"10.0.0.0/8\"")
    );
    assert_eq!(
        peer("{ipBlock: {cidr: 10.0.0.0/8, except: ['2001:db8::/64']}}"),
        format!("{from}.ipBlock.except[0]: \"2001:db8::/64\" does not lie inside cidr \"10.0.0.0/8\"")
    );
    assert_eq!(
        peer("{podSelector: {matchExpressions: [{key: a, operator: In}]}}"),
        format!("{from}.podSelector.matchExpressions[0].values: must not be empty with operator In")
    );
    assert_eq!(
        peer("{namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}"),
        format!("{from}.namespaceSelector.matchExpressions[0].values: must be empty with operator Exists")
    );
    assert_eq!(
        peer("{podSelector: {matchExpressions: [{key: a, operator: Is}]}}"),
        format!(
            "{from}.podSelector.matchExpressions[0].operator: \"Is\" is none of In, NotIn, Exists, DoesNotExist"
        )
    );
}

#[test]
fn ports_of_network_policies() {
    let field = "spec.egress[1].ports[0]";
    assert_eq!(
        port("{endPort: 80}"),
        format!("{field}.endPort: must not be given without port")
    );
    assert_eq!(
        port("{port: http, endPort: 80}"),
        format!("{field}.endPort: must not be given with a port that is a name")
    );
    assert_eq!(
        port("{port: 80, endPort: 79}"),
        format!("{field}.endPort: must not be below port 80, is 79")
    );
    assert_eq!(
        port("{port: 80, endPort: 70000}"),
        format!("{field}.endPort: must be 1 to 65535, is 70000")
    );
    assert_eq!(
        port("{port: 0}"),
        format!("{field}.port: must be 1 to 65535, is 0")
    );
    assert_eq!(
        port("{port: ''}"),
        format!("{field}.port: \"\" is neither a number nor a port's name")
    );
    assert_eq!(
        port("{port: 80, protocol: ICMP}"),
        format!("{field}.protocol: \"ICMP\" is none of TCP, UDP, SCTP")
    );
}

#[test]
fn of_config_maps_those_are_kept_that_are_wanted() {
    use super::config_map::WantedConfigMaps;
    use super::parse::parse_keeping;
    use super::{Id, Object, ObjectName};
    let name = ObjectName::new("shop", "pages");
    let kept = |wanted: &WantedConfigMaps| {
        let mut value = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pages", "namespace": "shop"},
            "data": {"404": "not here"}, "binaryData": {"logo": "AAE="},
        });
        let parsed = parse_keeping(&Id::new(Kind::ConfigMap, name.clone()), &mut value, wanted);
        match parsed.object {
            Ok(Object::ConfigMap(map)) => map,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kept(&WantedConfigMaps::default()), None);
    assert_eq!(
        kept(&[ObjectName::new("blog", "pages")].into_iter().collect()),
        None
    );
    let map = kept(&[name.clone()].into_iter().collect()).expect("it is wanted");
    assert_eq!(map.data["404"], "not here");
    assert_eq!(map.binary_data["logo"], [0, 1]);
}

#[test]
fn annotations_of_ingresses_are_kept() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: x\n  annotations: {b: '1', kubernetes.io/ingress.class: \
                nginx, a: ''}\nspec: {defaultBackend: {service: {name: s, port: {number: 1}}}}\n";
    let mut store = Store::default();
    put(&mut store, &[("f.yaml", text)]);
    let (_, ingress) = store.model().ingresses().next().expect("an Ingress");
    let annotations: Vec<_> = ingress
        .annotations
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        annotations,
        [("a", ""), ("b", "1"), ("kubernetes.io/ingress.class", "nginx")]
    );
    assert_eq!(
        ingress.class,
        Some(super::ingress::ClassName::Annotation("nginx".to_owned()))
    );
}
