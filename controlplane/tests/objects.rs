//! Objects as people write them, from the bytes of a file to the state of the dataplane.

use std::path::Path;
use std::sync::Arc;

use headgate_controlplane::compile::{Compiled, Settings, compile};
use headgate_controlplane::source::decode::{Syntax, decode};
use headgate_controlplane::source::store::{Contents, Store};
use headgate_ring::message::Object;

/// 2026-11-22T00:00:00Z.
const NOW: i64 = 1_795_305_600;

/// What comes of some files.
struct Outcome {
    state: Vec<Object>,
    lines: Vec<String>,
}

fn outcome(files: &[(&str, &[u8])]) -> Outcome {
    let mut store = Store::default();
    store.update(files.iter().map(|(name, bytes)| {
        let path = Path::new(name);
        let contents = match decode(bytes, Syntax::of(path).expect("a manifest")) {
            Ok(documents) => Contents::Documents(documents),
            Err(unreadable) => Contents::Unreadable(unreadable),
        };
        (Arc::from(path), contents)
    }));
    let settings = Settings {
        addresses: vec!["203.0.113.1".parse().expect("an address")],
        http_port: 80,
        https_port: 443,
        class: "headgate".to_owned(),
        default_certificate: None,
        fallback_certificate: None,
    };
    let Compiled { state, problems } = compile(store.model(), &settings, NOW);
    let all = store.problems().into_iter().chain(problems);
    Outcome {
        state: state.into_values().collect(),
        lines: all.map(|problem| problem.to_string()).collect(),
    }
}

impl Outcome {
    /// Names of the policies that are in force.
    fn policies(&self) -> Vec<&str> {
        self.pick(|object| match object {
            Object::Policy(policy) => Some(policy.name.as_str()),
            _ => None,
        })
    }

    /// The hosts that are served.
    fn hosts(&self) -> Vec<&str> {
        self.pick(|object| match object {
            Object::VirtualHost(host) => Some(host.host.as_str()),
            _ => None,
        })
    }

    fn pick<'a, T>(&'a self, pick: impl Fn(&'a Object) -> Option<T>) -> Vec<T> {
        self.state.iter().filter_map(pick).collect()
    }
}

const SHOP: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{port: 80}]}\n---\n\
                    apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: shop}\nspec:\n  ingressClassName: headgate\n  \
                    rules:\n  - host: shop.example.com\n    http:\n      paths:\n      - path: /\n        pathType: Prefix\n        \
                    backend: {service: {name: shop, port: {number: 80}}}\n";

#[test]
fn a_policy_whose_name_is_one_label_of_more_than_63() {
    let name = "deny".repeat(16);
    let policy = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: pay}}\nspec: {{podSelector: {{}}}}\n"
    );
    let outcome = outcome(&[("policy.yaml", policy.as_bytes())]);
    assert_eq!(outcome.lines, Vec::<String>::new());
    assert_eq!(outcome.policies(), [format!("pay/{name}")]);
}

#[test]
fn json_behind_a_byte_order_mark() {
    let json = "{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicy\", \
                \"metadata\": {\"name\": \"closed\", \"namespace\": \"a\"}, \"spec\": {\"podSelector\": {}}}";
    let utf8 = format!("\u{feff}{json}").into_bytes();
    let utf16: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(json.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    for bytes in [utf8, utf16] {
        let outcome = outcome(&[("policy.json", &bytes)]);
        assert_eq!(outcome.lines, Vec::<String>::new());
        assert_eq!(outcome.policies(), ["a/closed"]);
    }
}

#[test]
fn an_address_among_the_hosts_of_tls() {
    let ingress = format!("{SHOP}  tls: [{{hosts: [192.0.2.5, shop.example.com], secretName: shop-tls}}]\n");
    let outcome = outcome(&[("shop.yaml", ingress.as_bytes())]);
    assert_eq!(outcome.hosts(), ["shop.example.com"]);
    assert_eq!(
        outcome.lines,
        [
            "shop.yaml:6: Ingress default/shop: spec.tls[0].hosts[0]: \"192.0.2.5\" is an IP address, for which clients cannot ask in TLS: \
             it names no certificate; the entry is left out",
            "Ingress default/shop: spec.tls[0].secretName: Secret default/shop-tls does not exist or has never been good; the default \
             certificate serves",
        ]
    );
}

#[test]
fn hosts_and_names_as_long_as_kubernetes_takes_them() {
    let label = "x".repeat(100);
    let long = SHOP.replace("shop.example.com", &format!("{label}.example.com"));
    let outcome = outcome(&[("shop.yaml", long.as_bytes())]);
    assert_eq!(outcome.hosts(), [format!("{label}.example.com")]);
    assert_eq!(outcome.lines, Vec::<String>::new());
}
