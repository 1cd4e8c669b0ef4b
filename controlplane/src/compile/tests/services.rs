use std::collections::BTreeSet;

use headgate_ring::message::UpstreamProtocol;

use super::routes::{ingress, services};
use crate::compile::{Compiler, LoadBalancerSelection, Settings, State, apply};
use crate::model::{Id, Kind, ObjectName};
use crate::source::store::Store;
use crate::testing::{NOW, compiled, compiled_store, put, settings};

/// A dual-stack Service with a named target port, and three pods: two with the port under different numbers, one
/// that is not ready.
pub(super) const WEB: &str = r"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  selector: {app: web}
  externalIPs: ['2001:db8:f::10']
  ports: [{port: 80, targetPort: http}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.10}, {hostname: web.example.com}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web, tier: front}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.244.1.1, podIPs: [{ip: 10.244.1.1}, {ip: 'fd00:10:244:1::1'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 9090}]}]}
status: {phase: Running, podIP: 10.244.1.2, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-3, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.244.1.3, conditions: [{type: Ready, status: 'False'}]}
";

/// A Service at 198.51.100.1:80/TCP with further fields of the spec.
fn service(spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec:\n  externalIPs: [198.51.100.1]\n  \
         selector: {{app: s}}\n  ports: [{{port: 80}}]\n{spec}\n"
    )
}

/// A pod of that Service.
fn pod(name: &str, status: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: s}}}}\nstatus: {status}\n"
    )
}

fn backends(text: &str) -> Vec<String> {
    let result = compiled(text);
    assert_eq!(result.lines, Vec::<String>::new());
    result.services()[0]
        .backends
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn each_pod_resolves_a_named_port_and_each_frontend_has_its_family() {
    let result = compiled(WEB);
    assert_eq!(
        result.balanced(),
        [
            "Tcp 198.51.100.10:80 shop/web -> 10.244.1.1:8080 10.244.1.2:9090",
            "Tcp [2001:db8:f::10]:80 shop/web -> [fd00:10:244:1::1]:8080"
        ]
    );
    assert_eq!(result.lines, Vec::<String>::new());
}

#[test]
fn readiness() {
    let ready = |status: &str| backends(&(service("") + &pod("p", status))) == ["10.0.0.1:80"];
    assert!(
        ready("{podIP: 10.0.0.1}"),
        "a manifest without conditions or phase"
    );
    assert!(ready("{podIP: 10.0.0.1, phase: Running}"));
    assert!(ready(
        "{podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: 'True'}]}"
    ));
    assert!(!ready("{podIP: 10.0.0.1, phase: Pending}"));
    assert!(!ready("{podIP: 10.0.0.1, phase: Succeeded}"));
    assert!(!ready(
        "{podIP: 10.0.0.1, phase: Failed, conditions: [{type: Ready, status: 'True'}]}"
    ));
    assert!(!ready(
        "{podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: 'False'}]}"
    ));
    assert!(!ready(
        "{podIP: 10.0.0.1, phase: Running, conditions: [{type: PodScheduled, status: 'True'}]}"
    ));
    assert!(!ready("{phase: Running}"), "no address");
}

#[test]
fn pods_that_are_not_ready_can_be_asked_for() {
    let text = service("  publishNotReadyAddresses: true") + &pod("p", "{podIP: 10.0.0.1, phase: Pending}");
    assert_eq!(backends(&text), ["10.0.0.1:80"]);
}

#[test]
fn terminating_pods_serve_only_where_nobody_else_does() {
    let leaving = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: leaving, labels: {app: s}, \
                   deletionTimestamp: '2026-01-01T00:00:00Z'}\nstatus: {podIP: 10.0.0.9}\n";
    assert_eq!(backends(&(service("") + leaving)), ["10.0.0.9:80"]);
    assert_eq!(
        backends(&(service("") + leaving + &pod("p", "{podIP: 10.0.0.1}"))),
        ["10.0.0.1:80"]
    );
}

#[test]
fn only_pods_of_the_services_namespace_count() {
    let elsewhere = pod("p", "{podIP: 10.0.0.1}").replace("{name: p,", "{name: p, namespace: other,");
    assert_eq!(backends(&(service("") + &elsewhere)), Vec::<String>::new());
}

#[test]
fn slices_speak_for_a_service_where_there_are_any() {
    let slice = r"
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{port: 8080}, {name: other, port: 9999}, {protocol: UDP, port: 7777}, {name: all}]
endpoints:
- addresses: [10.1.0.1, 10.1.0.99]
- addresses: [10.1.0.2]
  conditions: {ready: true}
- addresses: [10.1.0.3]
  conditions: {ready: false, serving: true, terminating: true}
- addresses: [10.1.0.4]
  conditions: {ready: false}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-2, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{port: 8081}]
endpoints: [{addresses: [10.1.0.1]}]
";
    let with_pods = service("") + &pod("p", "{podIP: 10.0.0.1}") + slice;
    assert_eq!(
        backends(&with_pods),
        ["10.1.0.1:8080", "10.1.0.1:8081", "10.1.0.2:8080"]
    );
    let selectorless = with_pods.replace("  selector: {app: s}\n", "");
    assert_eq!(
        backends(&selectorless),
        ["10.1.0.1:8080", "10.1.0.1:8081", "10.1.0.2:8080"]
    );
}

#[test]
fn draining_endpoints_of_slices_serve_only_where_nobody_else_does() {
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {name: s-1, labels: {kubernetes.io/service-name: s}}\naddressType: IPv4\n\
                 ports: [{port: 80}]\nendpoints:\n\
                 - {addresses: [10.1.0.3], conditions: {ready: false, terminating: true}}\n\
                 - {addresses: [10.1.0.4], conditions: {ready: false, serving: false, terminating: true}}\n";
    assert_eq!(backends(&(service("") + slice)), ["10.1.0.3:80"]);
}

#[test]
fn without_selector_and_slices_there_is_nobody() {
    let text = service("").replace("  selector: {app: s}\n", "") + &pod("p", "{podIP: 10.0.0.1}");
    assert_eq!(backends(&text), Vec::<String>::new());
}

#[test]
fn affinity() {
    let seconds = |spec: &str| compiled(&service(spec)).services()[0].affinity_seconds;
    assert_eq!(seconds(""), None);
    assert_eq!(seconds("  sessionAffinity: None"), None);
    assert_eq!(seconds("  sessionAffinity: ClientIP"), Some(10_800));
    let config = "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}";
    assert_eq!(seconds(config), Some(60));
}

#[test]
fn load_balancer_addresses_need_the_type() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {loadBalancerIP: 198.51.100.1, \
                ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: 198.51.100.2}]}}\n";
    assert_eq!(compiled(text).balanced(), Vec::<String>::new());
    let text = text.replace("{loadBalancerIP", "{type: LoadBalancer, loadBalancerIP");
    assert_eq!(
        compiled(&text).balanced(),
        [
            "Tcp 198.51.100.1:80 default/s ->",
            "Tcp 198.51.100.2:80 default/s ->"
        ]
    );
}

#[test]
fn what_is_not_balanced_gets_a_line() {
    let refused = |spec: &str| {
        let result = compiled(&service(spec));
        assert_eq!(result.balanced(), Vec::<String>::new());
        result.lines
    };
    assert_eq!(
        refused("  type: ExternalName\n  externalName: example.com"),
        ["Service default/s: spec.type: an ExternalName has no endpoints; it is not balanced"]
    );
    assert_eq!(
        refused("  clusterIP: None"),
        ["Service default/s: spec.clusterIP: a headless Service is not balanced"]
    );
    assert_eq!(
        refused("  loadBalancerSourceRanges: [192.0.2.0/24]"),
        [
            "Service default/s: spec.loadBalancerSourceRanges: is not supported; the Service is not balanced. \
          Use a NetworkPolicy with ipBlock instead"
        ]
    );
}

#[test]
fn sctp_is_refused_and_the_other_ports_are_not() {
    let text = service("").replace(
        "[{port: 80}]",
        "[{name: a, port: 80, protocol: SCTP}, {name: b, port: 80, protocol: UDP}]",
    );
    let result = compiled(&text);
    assert_eq!(result.balanced(), ["Udp 198.51.100.1:80 default/s ->"]);
    assert_eq!(
        result.lines,
        ["Service default/s: spec.ports[0].protocol: SCTP is not balanced"]
    );
}

#[test]
fn a_port_name_that_no_pod_has_gets_a_line() {
    let text = service("").replace("{port: 80}", "{port: 80, targetPort: nope}");
    assert_eq!(compiled(&text).lines, Vec::<String>::new(), "no pod is selected");
    let result = compiled(&(text + &pod("p", "{podIP: 10.0.0.1}")));
    assert_eq!(
        result.lines,
        ["Service default/s: spec.ports[0].targetPort: no selected pod has a port named \"nope\""]
    );
}

#[test]
fn the_oldest_has_the_frontend() {
    let one = |name: &str, created: &str| {
        service("").replace(
            "{name: s}",
            &format!("{{name: {name}, creationTimestamp: {created}}}"),
        )
    };
    let result = compiled(
        &(one("a", "null") + &one("b", "'2026-01-02T00:00:00Z'") + &one("c", "'2026-01-01T00:00:00Z'")),
    );
    assert_eq!(result.balanced(), ["Tcp 198.51.100.1:80 default/c ->"]);
    assert_eq!(
        result.lines,
        [
            "Service default/b: spec.ports[0].port: TCP 198.51.100.1:80 belongs to Service default/c, which is older",
            "Service default/a: spec.ports[0].port: TCP 198.51.100.1:80 belongs to Service default/c, which is older",
        ]
    );
    let result = compiled(&(one("b", "null") + &one("a", "null")));
    assert_eq!(result.balanced(), ["Tcp 198.51.100.1:80 default/a ->"]);
}

#[test]
fn a_listener_is_nobody_elses() {
    let result = compiled(&service("").replace("198.51.100.1", "203.0.113.1"));
    assert_eq!(result.balanced(), Vec::<String>::new());
    assert_eq!(
        result.lines,
        ["Service default/s: spec.ports[0].port: TCP 203.0.113.1:80 belongs to an ingress listener"]
    );
}

#[test]
fn endpoints_on_loopback_are_left_out_with_a_line_unless_sockets_reach_them() {
    let text = service("") + &pod("p", "{podIP: 127.0.0.2}") + &pod("q", "{podIP: 10.0.0.1}");
    let result = compiled(&text);
    assert_eq!(
        result.balanced(),
        ["Tcp 198.51.100.1:80 default/s -> 10.0.0.1:80"]
    );
    assert_eq!(result.lines.len(), 1, "{:?}", result.lines);
    let line = &result.lines[0];
    assert!(
        line.contains("Service default/s: spec.ports[0]: endpoints on loopback, as 127.0.0.2, are left out"),
        "{line}"
    );
    let sockets = Settings {
        loopback_endpoints: true,
        ..settings()
    };
    let mut store = Store::default();
    put(&mut store, &[("a.yaml", &text)]);
    let result = compiled_store(&store, &sockets);
    assert_eq!(
        result.balanced(),
        ["Tcp 198.51.100.1:80 default/s -> 10.0.0.1:80 127.0.0.2:80"]
    );
    assert_eq!(result.lines, Vec::<String>::new());
}

/// A Service of a class at port 5432, and what its status says.
fn balancer(name: &str, spec: &str, given: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: LoadBalancer, {spec} \
         ports: [{{port: 5432}}]}}\nstatus: {{loadBalancer: {{ingress: [{given}]}}}}\n"
    )
}

/// Where each is served, with flags; and what it says.
fn of_class(text: &str, addresses: &[&str], without_class: bool) -> (Vec<String>, Vec<String>) {
    let settings = Settings {
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        load_balancers: LoadBalancerSelection {
            class: Some("headgate.dev/load-balancer".to_owned()),
            without_class,
        },
        ..settings()
    };
    let mut store = Store::default();
    put(&mut store, &[("a.yaml", text)]);
    let result = compiled_store(&store, &settings);
    (result.balanced(), result.lines)
}

#[test]
fn load_balancers_of_our_class_are_served_at_the_ingress_addresses() {
    let ours = balancer(
        "ours",
        "loadBalancerClass: headgate.dev/load-balancer,",
        "{ip: 198.51.100.7}",
    );
    let two = ["203.0.113.1", "2001:db8::1"];
    assert_eq!(
        of_class(&ours, &two, false).0,
        [
            "Tcp 203.0.113.1:5432 default/ours ->",
            "Tcp [2001:db8::1]:5432 default/ours ->"
        ],
        "and not where its status says, which is what is written for all gateways"
    );
    let wish = "loadBalancerClass: headgate.dev/load-balancer, loadBalancerIP: 198.51.100.9,";
    let wishing = balancer("ours", wish, "{ip: 198.51.100.7}");
    assert_eq!(
        of_class(&wishing, &two, false).0,
        ["Tcp 198.51.100.9:5432 default/ours ->"]
    );
    // Somebody else gives these their addresses.
    for (spec, without_class) in [("loadBalancerClass: example.com/metal,", true), ("", false)] {
        let theirs = balancer("theirs", spec, "{ip: 198.51.100.7}");
        assert_eq!(
            of_class(&theirs, &two, without_class).0,
            ["Tcp 198.51.100.7:5432 default/theirs ->"]
        );
    }
    let classless = balancer("classless", "", "{ip: 198.51.100.7}");
    assert_eq!(
        of_class(&classless, &two[..1], true).0,
        ["Tcp 203.0.113.1:5432 default/classless ->"]
    );
    // A listener may stand for all addresses of the host; the dataplane would refuse such a frontend.
    assert_eq!(
        of_class(&ours, &["0.0.0.0", "::"], false),
        of_class(&ours, &[], false)
    );
    assert_eq!(
        of_class(&ours, &[], false),
        (
            Vec::new(),
            vec![
                "Service default/ours: spec.loadBalancerClass: without --ingress-address (0.0.0.0 and :: are none) \
                 there is no address where it could be served"
                    .to_owned()
            ]
        )
    );
}

/// A compiler that knows which load balancers clients reach.
#[test]
fn a_load_balancer_that_has_no_frontend_is_not_balanced() {
    let settings = Settings {
        load_balancers: LoadBalancerSelection {
            class: None,
            without_class: true,
        },
        ..settings()
    };
    let id = |name: &str| Id::new(Kind::Service, ObjectName::new("default", name));
    let (mut store, mut compiler, mut state) = (Store::default(), Compiler::new(settings), State::new());
    let mut update = |file: &str, text: &str| {
        let changed = put(&mut store, &[(file, text)]);
        let changes = compiler.update(&state, store.model(), &changed, NOW);
        apply(&mut state, changes);
        let reassigned = compiler.take_reassigned();
        (reassigned, ["a", "b"].map(|name| compiler.balances(&id(name))))
    };
    let b = balancer("b", "", "");
    assert_eq!(update("b.yaml", &b), (BTreeSet::from([id("b")]), [false, true]));
    // The first by name has the port.
    let reassigned = BTreeSet::from([id("a"), id("b")]);
    assert_eq!(
        update("a.yaml", &balancer("a", "", "")),
        (reassigned, [true, false])
    );
    let (reassigned, balanced) = update(
        "a.yaml",
        &balancer("a", "loadBalancerSourceRanges: [192.0.2.0/24],", ""),
    );
    assert_eq!((reassigned.contains(&id("b")), balanced), (true, [false, true]));
    assert_eq!(
        update("b.yaml", &b.replace("LoadBalancer", "ClusterIP")).1,
        [false, false]
    );
}

#[test]
fn what_pods_speak_is_what_the_port_says() {
    for (written, protocol, lines) in [
        ("", UpstreamProtocol::Http1, 0),
        ("http", UpstreamProtocol::Http1, 0),
        ("kubernetes.io/ws", UpstreamProtocol::Http1, 0),
        ("kubernetes.io/h2c", UpstreamProtocol::Http2, 0),
        ("h2c", UpstreamProtocol::Http2, 0),
        ("grpc", UpstreamProtocol::Http2, 0),
        ("GRPC", UpstreamProtocol::Http1, 0),
        ("https", UpstreamProtocol::Http1, 1),
        ("kubernetes.io/wss", UpstreamProtocol::Http1, 1),
    ] {
        let port = format!("{{port: 80, appProtocol: '{written}'}}");
        let rule = ingress("a", "", "a.test", "/", "");
        let result = compiled(&(rule + &services(&["a"]).replace("{port: 80}", &port)));
        let [upstream] = &result.upstreams()[..] else {
            panic!("one upstream for {written:?}");
        };
        assert_eq!(upstream.protocol, protocol, "{written:?}");
        assert_eq!(result.lines.len(), lines, "{written:?}: {:?}", result.lines);
        if let [line] = &result.lines[..] {
            assert!(
                line.contains("spec.ports[0].appProtocol: TLS is not spoken to pods"),
                "{line}"
            );
        }
    }
}
