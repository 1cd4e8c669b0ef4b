//! `--tcp-services-configmap` and `--udp-services-configmap`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::compile::{Compilation, PortMaps, Settings};
use crate::model::ObjectName;
use crate::source::Contents;
use crate::source::store::Store;
use crate::testing::{NOW, Result, compiled_store, contents, lines, put, settings};

/// A DNS server over TCP and UDP, and a database whose port has a name.
const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: infra}
spec:
  selector: {app: dns}
  ports: [{name: tcp, port: 53, targetPort: 5353}, {name: udp, port: 53, targetPort: 5353, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: infra}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: sql, port: 5432, targetPort: sql}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: infra}
spec: {type: ExternalName, externalName: db.example.com}
---
apiVersion: v1
kind: Service
metadata: {name: few, namespace: infra}
spec: {type: LoadBalancer, loadBalancerSourceRanges: [192.0.2.0/24], ports: [{port: 53}]}
---
apiVersion: v1
kind: Pod
metadata: {name: dns-1, namespace: infra, labels: {app: dns}}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db-1, namespace: infra, labels: {app: db}}
spec: {containers: [{name: c, ports: [{name: sql, containerPort: 15432}]}]}
status: {podIP: 10.0.0.2}
";

fn maps() -> PortMaps {
    let map = |name| Some(ObjectName::new("edge", name));
    PortMaps {
        tcp: map("tcp"),
        udp: map("udp"),
    }
}

fn with_maps() -> Settings {
    Settings {
        port_maps: maps(),
        reserved_ports: vec![(9711, "--healthz-port")],
        ..settings()
    }
}

fn store(text: &str) -> Store {
    let mut store = Store::keeping(maps().each().map(|(_, map)| map.clone()).collect());
    put(&mut store, &[("test.yaml", text)]);
    assert_eq!(lines(&store), Vec::<String>::new());
    store
}

fn map(name: &str, data: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: edge}}\ndata: {{{data}}}\n"
    )
}

/// With these data of TCP, and none of UDP.
fn compiled(data: &str) -> Result {
    compiled_store(
        &store(&format!("{SERVICES}{}{}", map("tcp", data), map("udp", ""))),
        &with_maps(),
    )
}

#[test]
fn ports_of_the_ingress_addresses_go_to_services() {
    let tcp = map(
        "tcp",
        "'53': infra/dns:53, '5432': 'infra/db:sql', '9000': 'infra/dns:tcp::'",
    );
    let udp = map("udp", "'53': infra/dns:udp");
    let result = compiled_store(&store(&format!("{SERVICES}{tcp}{udp}")), &with_maps());
    assert_eq!(result.lines, Vec::<String>::new());
    assert_eq!(
        result.balanced(),
        [
            "Tcp 203.0.113.1:53 infra/dns -> 10.0.0.1:5353",
            "Tcp 203.0.113.1:5432 infra/db -> 10.0.0.2:15432",
            "Tcp 203.0.113.1:9000 infra/dns -> 10.0.0.1:5353",
            "Udp 203.0.113.1:53 infra/dns -> 10.0.0.1:5353",
        ]
    );
}

/// What is refused, and with which words.
const REFUSED: [(&str, &str); 14] = [
    ("http: infra/dns:53", "data[http]: is not a port, 1 to 65535"),
    ("'65536': infra/dns:53", "data[65536]: is not a port, 1 to 65535"),
    (
        "'001': infra/dns:53",
        "data[1]: is the same port as an earlier key",
    ),
    ("'2': dns:53", "data[2]: \"dns:53\" is not NAMESPACE/NAME:PORT"),
    (
        "'2': infra/dns",
        "data[2]: \"infra/dns\" is not NAMESPACE/NAME:PORT",
    ),
    (
        "'2': infra/DNS:53",
        "data[2]: \"infra/DNS:53\" is not NAMESPACE/NAME:PORT",
    ),
    (
        "'2': infra/nothing:53",
        "data[2]: Service infra/nothing does not exist",
    ),
    (
        "'2': infra/dns:udp",
        "data[2]: Service infra/dns has no port udp of TCP",
    ),
    (
        "'2': infra/dns:54",
        "data[2]: Service infra/dns has no port 54 of TCP",
    ),
    (
        "'2': infra/elsewhere:53",
        "data[2]: Service infra/elsewhere is an ExternalName, which has no endpoints",
    ),
    (
        "'2': 'infra/dns:53:PROXY'",
        "data[2]: \"infra/dns:53:PROXY\": the PROXY protocol is not supported",
    ),
    (
        "'2': 'infra/dns:53::proxy'",
        "data[2]: \"infra/dns:53::proxy\": the PROXY protocol is not supported",
    ),
    (
        "'2': infra/few:53",
        "data[2]: Service infra/few has loadBalancerSourceRanges, which are not supported",
    ),
    (
        "'9711': infra/dns:53",
        "data[9711]: 9711 is the port of --healthz-port",
    ),
];

#[test]
fn what_cannot_be_given_is_told_and_the_rest_is() {
    let refused = |data: &str| {
        let result = compiled(&format!("{data}, '1': infra/dns:53"));
        assert_eq!(
            result.balanced(),
            ["Tcp 203.0.113.1:1 infra/dns -> 10.0.0.1:5353"]
        );
        assert_eq!(result.lines.len(), 1, "{:?}", result.lines);
        result.lines[0].clone()
    };
    for (data, expected) in REFUSED {
        assert_eq!(
            refused(data),
            format!("ConfigMap edge/tcp: {expected}; the entry is left out")
        );
    }
    assert_eq!(
        refused("'443': infra/dns:53"),
        "ConfigMap edge/tcp: data[443]: TCP 203.0.113.1:443 belongs to an ingress listener"
    );
}

#[test]
fn a_configmap_that_is_missing_is_told_and_so_is_a_gateway_without_addresses() {
    let udp = map("udp", "'53': infra/dns:53");
    let nowhere = Settings {
        addresses: vec![std::net::Ipv4Addr::UNSPECIFIED.into()],
        ..with_maps()
    };
    let result = compiled_store(&store(&format!("{SERVICES}{udp}")), &nowhere);
    assert_eq!(
        result.lines,
        [
            "ConfigMap edge/tcp: --tcp-services-configmap: does not exist; it gives no port to any Service",
            "ConfigMap edge/udp: --udp-services-configmap: without --ingress-address (0.0.0.0 and :: are none) \
             there is no address of which it could give ports",
        ]
    );
}

/// Who runs the gateway goes before who owns a Service.
#[test]
fn a_service_does_not_take_what_a_configmap_gives() {
    let other = "---\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: a}\n\
                 spec: {externalIPs: [203.0.113.1], ports: [{port: 53}]}\n";
    let text = format!(
        "{SERVICES}{other}{}{}",
        map("tcp", "'53': infra/dns:53"),
        map("udp", "")
    );
    let result = compiled_store(&store(&text), &with_maps());
    assert_eq!(
        result.balanced(),
        ["Tcp 203.0.113.1:53 infra/dns -> 10.0.0.1:5353"]
    );
    assert_eq!(
        result.lines,
        [
            "Service a/a: spec.ports[0].port: TCP 203.0.113.1:53 belongs to Service infra/dns, to which ConfigMap edge/tcp \
             gives it"
        ]
    );
}

/// What comes and goes afterwards ends where a compile from nothing does.
#[test]
fn changes_of_maps_services_and_pods_are_followed() {
    let mut store = store("");
    let mut compilation = Compilation::new(with_maps());
    compilation.update(store.model(), &BTreeSet::new(), NOW);
    let tcp = map("tcp", "'53': infra/dns:53, '5432': infra/db:sql");
    let moved = map("tcp", "'53': infra/db:5432, '5433': infra/db:sql");
    let (dns, rest) = SERVICES.split_once("---\n").expect("several");
    let other = "---\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: a}\n\
                 spec: {externalIPs: [203.0.113.1], ports: [{port: 53}]}\n";
    for (file, text) in [
        ("map.yaml", tcp.as_str()),
        ("rest.yaml", rest),
        ("dns.yaml", dns),
        ("other.yaml", other),
        ("map.yaml", moved.as_str()),
        ("map.yaml", tcp.as_str()),
        ("dns.yaml", ""),
        ("dns.yaml", dns),
        ("map.yaml", ""),
        ("other.yaml", ""),
        ("dns.yaml", ""),
        ("rest.yaml", ""),
    ] {
        let contents = if text.is_empty() {
            Contents::Gone
        } else {
            contents(text)
        };
        let changed = store.update([(Arc::from(Path::new(file)), contents)]);
        compilation.update(store.model(), &changed, NOW);
        let fresh = compiled_store(&store, &with_maps());
        let kept = compilation
            .state()
            .iter()
            .map(|(key, object)| (key.clone(), object.object()));
        assert!(kept.eq(fresh.state), "after {file}");
        let problems: Vec<_> = compilation.problems().iter().map(ToString::to_string).collect();
        assert_eq!(problems, fresh.lines, "after {file}");
    }
    assert!(compilation.keeps_nothing());
}
