//! Objects as people write them, from the bytes of a file to the state of the dataplane.

use std::path::Path;
use std::sync::Arc;

use headgate_controlplane::compile::{Compiled, Settings, compile};
use headgate_controlplane::source::decode::{Syntax, decode};
use headgate_controlplane::source::{Contents, store::Store};
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
        ..Settings::default()
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

    /// Secrets and the hosts that have their certificates.
    fn certificates(&self) -> Vec<String> {
        self.pick(|object| match object {
            Object::Certificate(c) => Some(format!("{} for {}", c.name, c.hosts.join(" "))),
            _ => None,
        })
    }

    /// Upstreams and their endpoints.
    fn upstreams(&self) -> Vec<String> {
        self.pick(|object| match object {
            Object::Upstream(upstream) => {
                let endpoints: Vec<_> = upstream.endpoints.iter().map(ToString::to_string).collect();
                Some(format!("{} -> {}", upstream.name, endpoints.join(" ")))
            }
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

/// A certificate of version 1 for shop.example.com, as `openssl x509 -req` and `openssl ca` make it without extensions.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBFDCBuwIBATAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdUZXN0IENBMB4XDTIw
MDEwMTAwMDAwMFoXDTQwMDEwMTAwMDAwMFowGzEZMBcGA1UEAwwQc2hvcC5leGFt
cGxlLmNvbTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKbujT//xfO7rLwBY4nV
heohHe919cL/Vv3xAgWGm6kBR3zDFkazGFukUg0rrnNxwkh1mrMsXMS56gzoQgpo
Co0wCgYIKoZIzj0EAwIDSAAwRQIhAPELtSsDf/6eG0xiLYF4o934FqPIFhxcVBqM
eHjsgi/0AiAfNBI9Jlhqnz45OKZKUHUjgu1AARqXlUAVjFIw7Ov5Ug==
-----END CERTIFICATE-----
";

/// Its key, which is used for nothing else.
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIN7nOPVHvVchv1HRaXE0aMZ7WoJ4F6NrwBLiCiNsPq0/oAoGCCqGSM49
AwEHoUQDQgAEpu6NP//F87usvAFjidWF6iEd73X1wv9W/fECBYabqQFHfMMWRrMY
W6RSDSuuc3HCSHWasyxcxLnqDOhCCmgKjQ==
-----END EC PRIVATE KEY-----
";

/// What a Secret of this type is to the Ingress of [`SHOP`].
fn with_secret(kind: &str, crt: &str, key: &str) -> Outcome {
    let ingress = format!("{SHOP}  tls: [{{hosts: [shop.example.com], secretName: shop-tls}}]\n");
    let indented = |text: &str| text.replace('\n', "\n    ");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: shop-tls}}\n{kind}data:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indented(crt),
        indented(key)
    );
    outcome(&[("shop.yaml", ingress.as_bytes()), ("tls.yaml", secret.as_bytes())])
}

/// Base64 in lines, as `base64` prints it.
fn wrapped(text: &str, line_end: &str) -> String {
    use base64::Engine;
    let line = base64::engine::general_purpose::STANDARD.encode(text);
    let lines = line
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line).into_owned() + line_end);
    lines.collect()
}

#[test]
fn a_certificate_of_version_1_is_served_with_a_warning() {
    let outcome = with_secret(
        "type: kubernetes.io/tls\n",
        &wrapped(VERSION_1, "\n"),
        &wrapped(KEY, "\n"),
    );
    assert_eq!(outcome.certificates(), ["default/shop-tls for shop.example.com"]);
    assert_eq!(
        outcome.lines,
        [
            "Ingress default/shop: spec.tls[0].hosts[0]: the certificate of Secret default/shop-tls does not name \"shop.example.com\"",
            "Secret default/shop-tls: data[tls.crt]: the certificate is an X.509 version 1 certificate: it names no host, and clients may \
             refuse it",
        ]
    );
}

#[test]
fn a_certificate_and_key_in_a_secret_of_no_special_type() {
    let (crt, key) = pair("shop.example.com");
    for kind in ["type: Opaque\n", "", "type: example.com/own\n"] {
        let outcome = with_secret(kind, &wrapped(&crt, ""), &wrapped(&key, ""));
        assert_eq!(
            outcome.certificates(),
            ["default/shop-tls for shop.example.com"],
            "{kind:?}"
        );
        assert_eq!(outcome.lines, Vec::<String>::new());
    }
    let foreign = with_secret(
        "type: kubernetes.io/dockerconfigjson\n",
        &wrapped(&crt, ""),
        &wrapped(&key, ""),
    );
    assert_eq!(foreign.certificates(), Vec::<String>::new());
    assert_eq!(
        foreign.lines,
        [
            "Ingress default/shop: spec.tls[0].secretName: Secret default/shop-tls has no certificate that can be used: type: is \
             kubernetes.io/dockerconfigjson, whose data is not read; the default certificate serves"
        ]
    );
}

#[test]
fn base64_in_lines() {
    let (crt, key) = pair("shop.example.com");
    for line_end in ["", "\n", "\r\n", "\n\n"] {
        let outcome = with_secret(
            "type: kubernetes.io/tls\n",
            &wrapped(&crt, line_end),
            &wrapped(&key, line_end),
        );
        assert_eq!(outcome.lines, Vec::<String>::new(), "{line_end:?}");
        assert_eq!(outcome.certificates(), ["default/shop-tls for shop.example.com"]);
    }
    let spaced = with_secret(
        "type: kubernetes.io/tls\n",
        &wrapped(&crt, " \n"),
        &wrapped(&key, "\n"),
    );
    assert_eq!(
        spaced.lines[0],
        "tls.yaml:1: Secret default/shop-tls: data[tls.crt]: must be text in base64; it is left out"
    );
}

fn pair(host: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new([host.to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn endpoints_of_a_service_without_selector() {
    let endpoints = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: shop}\nsubsets:\n\
                     - {addresses: [{ip: 192.0.2.7}, {ip: 192.0.2.08}], notReadyAddresses: [{ip: 192.0.2.9}], ports: [{port: 8080}]}\n\
                     - {addresses: [{ip: '2001:db8::7'}, {ip: shop.example.com}], ports: [{port: 8081}, {port: 0}]}\n";
    let outcome = outcome(&[
        ("shop.yaml", SHOP.as_bytes()),
        ("endpoints.yaml", endpoints.as_bytes()),
    ]);
    assert_eq!(
        outcome.upstreams(),
        ["default/shop:80 -> 192.0.2.7:8080 192.0.2.8:8080"],
        "of one family, those of the first"
    );
    assert_eq!(
        outcome.lines,
        [
            "endpoints.yaml:1: Endpoints default/shop: subsets[1].addresses[1].ip: \"shop.example.com\" is not an IP address; the entry is \
             left out",
            "endpoints.yaml:1: Endpoints default/shop: subsets[1].ports[1].port: must be 1 to 65535, is 0; the entry is left out",
        ]
    );
}
