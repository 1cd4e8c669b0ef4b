//! Rule by rule of the API server, what is taken and what is refused for its form.

use super::super::address::{parse_cidr, parse_ip};
use super::super::name::{host, is_label, is_label_key, is_label_value, is_port_name, is_subdomain};
use crate::source::store::Store;
use crate::testing::{lines, put};

/// What a rule should say to each of these.
fn table(rule: impl Fn(&str) -> bool, taken: &[&str], refused: &[&str]) {
    for text in taken {
        assert!(rule(text), "is refused: {text:?}");
    }
    for text in refused {
        assert!(!rule(text), "is taken: {text:?}");
    }
}

fn repeated(text: &str, length: usize) -> String {
    text.repeat(length)
}

#[test]
fn labels_and_subdomains() {
    let (longest, longer) = (repeated("a", 63), repeated("a", 64));
    table(
        is_label,
        &["a", "0", "0-a", "a--b", "123", &longest],
        &["", "-a", "a-", "A", "a.b", "a_b", "é", "a b", &longer],
    );
    let whole = [longest.as_str(); 3].join(".") + "." + &repeated("b", 61);
    assert_eq!(whole.len(), 253);
    table(
        is_subdomain,
        &["a", "a.b-c.d", "1.2.3.4", &longer, &repeated("x", 253), &whole],
        &[
            "",
            ".",
            "a..b",
            ".a",
            "a.",
            "a.-b",
            "a-.b",
            "A.b",
            "a_b",
            &repeated("x", 254),
        ],
    );
}

#[test]
fn names_of_ports() {
    table(
        is_port_name,
        &["a", "http", "http-2", "0a", "8080-x", "a-b-c-d-e-f-g-h"],
        &["", "1234", "a--b", "-a", "a-", "HTTP", "a_b", "a-name-of-over-15"],
    );
}

#[test]
fn keys_and_values_of_labels() {
    let (longest, longer) = (repeated("k", 63), repeated("k", 64));
    let prefixed = repeated("p", 253) + "/" + &longest;
    table(
        is_label_key,
        &["a", "A", "a_b.C-9", "example.com/a", "p/A", &longest, &prefixed],
        &[
            "", "/a", "a/", "a/b/c", "-a", "a-", "_a", "a b", "P/a", "a..b/c", &longer,
        ],
    );
    table(
        is_label_value,
        &["", "a", "A_b.c-9", "1.2.3", &longest],
        &["-a", "a.", "a/b", "a b", "ä", &longer],
    );
}

#[test]
fn hosts_of_rules() {
    let taken = |text: &str| host(text).is_ok();
    let label = repeated("a", 64) + ".example.com";
    table(
        taken,
        &[
            "a",
            "www.example.com",
            "*.example.com",
            "*.com",
            "1.2.3",
            "1.2.3.256",
            &label,
        ],
        &[
            "",
            "*",
            "*.",
            "*a.com",
            "a.*.com",
            "*.*.com",
            "192.0.2.1",
            "192.0.2.001",
            "::1",
            "a_b.com",
            "a.com.",
        ],
    );
}

#[test]
fn addresses() {
    for (text, address) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.000.002.010", "192.0.2.10"),
        ("0192.0.2.00000001", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("::ffff:192.0.02.1", "192.0.2.1"),
        ("2001:DB8::01", "2001:db8::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("2001:00db8::1", "2001:db8::1"),
        ("::", "::"),
        ("0::0", "::"),
    ] {
        let parsed = parse_ip(text).map(|ip| ip.to_string());
        assert_eq!(parsed.as_deref(), Some(address), "{text}");
    }
    let refused = [
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.-4",
        "0x1.2.3.4",
        "1.2.3.4 ",
        "1..2.3",
        ":",
        ":::",
        "1::2::3",
        "::1%eth0",
        "12345::",
        "1:2:3:4:5:6:7:8:9",
        "[::1]",
        "a.b.c.d",
        "192.0.2.1/32",
        "1:2:3:4:5:6:7::8",
    ];
    table(|text| parse_ip(text).is_some(), &[], &refused);
}

#[test]
fn networks() {
    for (text, network) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("010.1.2.3/08", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.1/32", "192.0.2.1/32"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:10.0.0.0/95", "::fffe:0:0/95"),
    ] {
        let parsed = parse_cidr(text).map(|network| network.to_string());
        assert_eq!(parsed.as_deref(), Some(network), "{text}");
    }
    let refused = [
        "",
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/8/8",
        "10.0.0/8",
        "::/129",
        "/8",
        "10.0.0.0/8 ",
        "10.0.0.0/0x8",
        "::1%lo/128",
        "all",
    ];
    table(|text| parse_cidr(text).is_some(), &[], &refused);
}

/// The lines for one document.
fn told(document: &str) -> Vec<String> {
    let mut store = Store::default();
    put(&mut store, &[("f.yaml", document)]);
    lines(&store)
}

#[test]
fn names_of_objects() {
    let long = repeated("x", 64);
    let line = |kind: &str, version: &str, name: &str, spec: &str| {
        let lines = told(&format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\n{spec}\n"
        ));
        lines.into_iter().next().unwrap_or_default()
    };
    for (kind, version, spec) in [
        ("Pod", "v1", ""),
        ("Node", "v1", ""),
        ("Secret", "v1", ""),
        (
            "EndpointSlice",
            "discovery.k8s.io/v1",
            "addressType: IPv4\nendpoints: []",
        ),
        ("IngressClass", "networking.k8s.io/v1", ""),
        ("NetworkPolicy", "networking.k8s.io/v1", "spec: {podSelector: {}}"),
        (
            "Ingress",
            "networking.k8s.io/v1",
            "spec: {defaultBackend: {service: {name: s, port: {number: 1}}}}",
        ),
        (
            "ClusterNetworkPolicy",
            "policy.networking.k8s.io/v1alpha2",
            "spec: {tier: Admin, priority: 1, subject: {namespaces: {}}}",
        ),
    ] {
        for name in [&*long, "a.b", "0"] {
            assert_eq!(
                line(kind, version, &format!("'{name}'"), spec),
                "",
                "{kind} {name}"
            );
        }
        assert_eq!(
            line(kind, version, "a_b", spec),
            "f.yaml:1: metadata.name: \"a_b\" is not an RFC 1123 subdomain; the document is left out"
        );
    }
    for (kind, spec) in [("Namespace", ""), ("Service", "spec: {ports: [{port: 1}]}")] {
        assert_eq!(line(kind, "v1", "'0'", spec), "", "{kind}");
        for name in [&*long, "a.b"] {
            assert_eq!(
                line(kind, "v1", name, spec),
                format!(
                    "f.yaml:1: metadata.name: \"{name}\" is not an RFC 1123 label; the document is left out"
                )
            );
        }
    }
}

#[test]
fn selectors_of_network_policies() {
    let line = |selector: &str| {
        let lines = told(&format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {{podSelector: {selector}}}\n"
        ));
        lines
            .first()
            .and_then(|line| line.split("; ").next())
            .unwrap_or_default()
            .to_owned()
    };
    for taken in [
        "{matchLabels: {example.com/App: Web_1.0}}",
        "{matchLabels: {a: ''}}",
        "{matchExpressions: [{key: a, operator: In, values: ['not a value of a label']}]}",
    ] {
        assert_eq!(line(taken), "", "{taken}");
    }
    let at = "f.yaml:1: NetworkPolicy default/p: spec.podSelector";
    assert_eq!(
        line("{matchLabels: {a b: c}}"),
        format!("{at}.matchLabels: \"a b\" is not a label's key")
    );
    assert_eq!(
        line("{matchLabels: {a: b c}}"),
        format!("{at}.matchLabels: \"b c\" of a is not a label's value")
    );
    assert_eq!(
        line("{matchExpressions: [{key: a/b/c, operator: Exists}]}"),
        format!("{at}.matchExpressions[0].key: \"a/b/c\" is not a label's key")
    );
}

#[test]
fn quantities_are_numbers_or_text() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  overhead: {cpu: 1}\n  containers:\n  - name: c\n    \
               resources: {limits: {cpu: 2, memory: 1Gi}, requests: {cpu: 0.5}}\n  volumes: [{name: v, emptyDir: {sizeLimit: 5}}]\n";
    assert_eq!(told(pod), Vec::<String>::new());
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: node-1}\nstatus: {capacity: {pods: 110}, allocatable: {cpu: 4}}\n";
    assert_eq!(told(node), Vec::<String>::new());
}
