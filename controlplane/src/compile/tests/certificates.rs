use headgate_ring::message::{Certificate, Key, Object};

use crate::compile::Settings;
use crate::model::ObjectName;
use crate::source::{Contents, store::Store};
use crate::testing::{compiled, compiled_store, lines, no_key, pem, pem_valid, put, secret, settings};

/// An Ingress in `shop` for a.h.test and b.h.test with this `spec.tls`.
fn ingress(name: &str, tls: &str) -> String {
    let rule = |host: &str| {
        format!(
            "{{host: {host}, http: {{paths: [{{path: /{name}, pathType: Prefix, backend: {{service: {{name: s, port: {{number: 80}}}}}}}}]}}}}"
        )
    };
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s, namespace: shop}}\nspec: {{ports: [{{port: 80}}]}}\n\
         ---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{ingressClassName: headgate, rules: [{}, {}], tls: {tls}}}\n",
        rule("a.h.test"),
        rule("b.h.test")
    )
}

#[test]
fn a_secret_serves_the_hosts_that_name_it() {
    let (crt, key) = pem(&["a.h.test", "b.h.test"]);
    let text = ingress(
        "i",
        "[{hosts: [B.H.test], secretName: cert}, {hosts: [a.h.test], secretName: cert}]",
    );
    let result = compiled(&(text + &secret("cert", &crt, &key)));
    assert_eq!(
        result.certificates(),
        [("shop/cert", vec!["a.h.test", "b.h.test"])]
    );
    assert_eq!(result.lines, Vec::<String>::new());
}

#[test]
fn without_hosts_those_of_the_rules_that_the_certificate_names() {
    let (crt, key) = pem(&["*.h.test"]);
    let result = compiled(&(ingress("i", "[{secretName: cert}]") + &secret("cert", &crt, &key)));
    assert_eq!(
        result.certificates(),
        [("shop/cert", vec!["a.h.test", "b.h.test"])]
    );
    let (crt, key) = pem(&["b.h.test"]);
    let result = compiled(&(ingress("i", "[{secretName: cert}]") + &secret("cert", &crt, &key)));
    assert_eq!(result.certificates(), [("shop/cert", vec!["b.h.test"])]);
}

#[test]
fn a_wildcard_host_and_a_wildcard_certificate() {
    let (crt, key) = pem(&["*.h.test"]);
    let text = ingress("i", "[{hosts: ['*.h.test'], secretName: cert}]") + &secret("cert", &crt, &key);
    let result = compiled(&text);
    assert_eq!(result.certificates(), [("shop/cert", vec!["*.h.test"])]);
    assert_eq!(result.lines, Vec::<String>::new());
}

#[test]
fn the_first_secret_has_the_host() {
    let (crt, key) = pem(&["a.h.test"]);
    let text = ingress("i", "[{hosts: [a.h.test], secretName: one}]")
        + &ingress("j", "[{hosts: [a.h.test], secretName: two}]").replacen("name: s,", "name: t,", 1)
        + &secret("one", &crt, &key)
        + &secret("two", &crt, &key);
    let result = compiled(&text);
    assert_eq!(result.certificates(), [("shop/one", vec!["a.h.test"])]);
    assert_eq!(
        result.lines,
        [
            "Ingress shop/j: spec.tls[0].secretName: \"a.h.test\" has the certificate of Secret shop/one by Ingress shop/i already"
        ]
    );
}

#[test]
fn what_does_not_fit_is_told_and_served() {
    let (crt, key) = pem_valid(&["b.h.test"], (2020, 2025));
    let text = ingress("i", "[{hosts: [a.h.test], secretName: cert}]") + &secret("cert", &crt, &key);
    let result = compiled(&text);
    assert_eq!(result.certificates(), [("shop/cert", vec!["a.h.test"])]);
    assert_eq!(
        result.lines,
        [
            "Ingress shop/i: spec.tls[0].hosts[0]: the certificate of Secret shop/cert does not name \"a.h.test\"",
            "Secret shop/cert: data[tls.crt]: the certificate expired 690 days ago, at 2025-01-01T00:00:00Z; clients will refuse it",
        ]
    );
    let (crt, key) = pem_valid(&["a.h.test"], (2030, 2031));
    let text = ingress("i", "[{hosts: [a.h.test], secretName: cert}]") + &secret("cert", &crt, &key);
    assert_eq!(
        compiled(&text).lines,
        [
            "Secret shop/cert: data[tls.crt]: the certificate is not valid before 2030-01-01T00:00:00Z, in 1136 days; clients will refuse it"
        ]
    );
}

#[test]
fn a_missing_secret_and_one_of_another_type() {
    let text = ingress("i", "[{hosts: [a.h.test], secretName: cert}]");
    let result = compiled(&text);
    assert_eq!(result.certificates(), []);
    assert_eq!(
        result.lines,
        [
            "Ingress shop/i: spec.tls[0].secretName: Secret shop/cert does not exist or has never been good; the default certificate serves"
        ]
    );
    let opaque = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: cert, namespace: shop}\ntype: Opaque\n";
    assert_eq!(
        compiled(&(text + opaque)).lines,
        [
            "Ingress shop/i: spec.tls[0].secretName: Secret shop/cert has no certificate that can be used: data[tls.crt]: is missing; the default certificate serves"
        ]
    );
}

#[test]
fn a_removed_secret_serves_as_long_as_it_is_asked_for() {
    let (crt, key) = pem(&["a.h.test"]);
    let mut store = Store::default();
    let ingress = ingress("i", "[{hosts: [a.h.test], secretName: cert}]");
    put(
        &mut store,
        &[("i.yaml", &ingress), ("s.yaml", &secret("cert", &crt, &key))],
    );
    store.update([(
        std::sync::Arc::from(std::path::Path::new("s.yaml")),
        Contents::Gone,
    )]);
    let result = compiled_store(&store, &settings());
    assert_eq!(result.certificates(), [("shop/cert", vec!["a.h.test"])]);
    assert_eq!(
        result.lines,
        [
            "Ingress shop/i: spec.tls[0].secretName: Secret shop/cert is gone; its last good certificate stays in force"
        ]
    );
    put(&mut store, &[("i.yaml", "")]);
    put(&mut store, &[("i.yaml", &ingress)]);
    assert_eq!(
        compiled_store(&store, &settings()).certificates(),
        [],
        "it was forgotten meanwhile"
    );
}

#[test]
fn an_opaque_secret_that_is_no_longer_good_leaves_its_last_certificate() {
    let (crt, key) = pem(&["a.h.test"]);
    let ingress = ingress("i", "[{hosts: [a.h.test], secretName: cert}]");
    let opaque = |key: &str| secret("cert", &crt, key).replace("kubernetes.io/tls", "Opaque");
    let state = |store: &Store| {
        let result = compiled_store(store, &settings());
        let certificates = result.certificates().len();
        (certificates, result.lines)
    };
    let line = |consequence: &str| {
        vec![format!(
            "Ingress shop/i: spec.tls[0].secretName: Secret shop/cert has no certificate that can be used: \
             data[tls.key]: is not a private key in PEM; {consequence}"
        )]
    };
    let (kept, lost) = (
        line("its last good certificate stays in force"),
        line("the default certificate serves"),
    );
    let mut store = Store::default();
    put(&mut store, &[("i.yaml", &ingress), ("s.yaml", &opaque("x"))]);
    assert_eq!(state(&store), (0, lost.clone()));
    put(&mut store, &[("s.yaml", &opaque(&key))]);
    assert_eq!(state(&store), (1, vec![]));
    put(&mut store, &[("s.yaml", &opaque("x"))]);
    assert_eq!(state(&store), (1, kept.clone()));
    put(&mut store, &[("s.yaml", &opaque("y"))]);
    assert_eq!(state(&store), (1, kept), "it is not lost by a second mistake");
    put(&mut store, &[("i.yaml", "")]);
    put(&mut store, &[("i.yaml", &ingress)]);
    assert_eq!(state(&store), (0, lost), "it was forgotten meanwhile");
}

#[test]
fn the_default_certificate() {
    let fallback = Certificate {
        name: "/self-signed".to_owned(),
        hosts: vec![],
        chain: vec![],
        key: no_key(),
    };
    let chosen = Settings {
        default_certificate: Some(ObjectName::new("shop", "cert")),
        fallback_certificate: Some(fallback),
        ..settings()
    };
    let mut store = Store::default();
    let result = compiled_store(&store, &chosen);
    assert_eq!(result.certificates(), [("/self-signed", vec![""])]);
    assert_eq!(
        result.lines,
        [
            "Secret shop/cert: --default-certificate: Secret shop/cert does not exist or has never been good; the default certificate serves"
        ]
    );
    let (crt, key) = pem(&["a.h.test"]);
    put(&mut store, &[("s.yaml", &secret("cert", &crt, &key))]);
    let result = compiled_store(&store, &chosen);
    assert_eq!(result.certificates(), [("shop/cert", vec![""])]);
    let text = ingress("i", "[{hosts: [a.h.test], secretName: cert}]");
    put(&mut store, &[("i.yaml", &text)]);
    assert_eq!(
        compiled_store(&store, &chosen).certificates(),
        [("shop/cert", vec!["", "a.h.test"])]
    );
}

#[test]
fn bad_secrets_are_told_without_their_data() {
    let (crt, key) = pem(&["a.h.test"]);
    let (_, other) = pem(&["a.h.test"]);
    let line = |text: &str| {
        let mut store = Store::default();
        put(&mut store, &[("s.yaml", text)]);
        lines(&store)
    };
    let error = |reason: &str| vec![format!("s.yaml:2: Secret shop/cert: {reason}; it is left out")];
    assert_eq!(
        line(&secret("cert", &crt, &other)),
        error("data[tls.key]: is not the key of the first certificate in tls.crt")
    );
    assert_eq!(
        line(&secret("cert", "x", &key)),
        error("data[tls.crt]: holds no certificate")
    );
    let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    assert_eq!(
        line(&secret("cert", &(crt.clone() + empty), &key)),
        error("data[tls.crt]: its certificate number 2 is empty")
    );
    assert_eq!(
        line(&secret("cert", &crt, "x")),
        error("data[tls.key]: is not a private key in PEM")
    );
    let text = secret("cert", &crt, &key);
    let (head, _) = text.split_once("  tls.key").unwrap();
    assert_eq!(line(head), error("data[tls.key]: is missing"));
    assert_eq!(
        line(&format!("{head}  tls.key: 's3cret!'\n")),
        error("data[tls.key]: must be text in base64")
    );
    assert_eq!(
        line(&format!("{head}  tls.key: 1234567\n")),
        error("data[tls.key]: must be text in base64")
    );
    let broken = crt.replace("MII", "AII");
    assert_eq!(
        line(&secret("cert", &broken, &key)),
        error("data[tls.crt]: its first certificate is not an X.509 certificate")
    );
}

#[test]
fn string_data_is_read_and_debug_shows_no_key() {
    let (crt, key) = pem(&["a.h.test"]);
    let indent = |text: &str| text.replace('\n', "\n    ");
    let text = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: shop}}\ntype: kubernetes.io/tls\n\
         stringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indent(&crt),
        indent(&key)
    );
    let result = compiled(&(ingress("i", "[{hosts: [a.h.test], secretName: cert}]") + &text));
    let Some(Object::Certificate(certificate)) = result.state.get(&Key::Certificate("shop/cert".to_owned()))
    else {
        panic!("no certificate: {:?}", result.lines);
    };
    assert_eq!(certificate.chain.len(), 1);
    assert!(format!("{certificate:?}").contains(&format!("PrivateKey({} bytes)", certificate.key.0.len())));
}
