//! What a Secret is read as, by who asks for it.

use aws_lc_rs::encoding::AsDer;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::typed::Notes;
use super::Secret;
use crate::testing::{pem, pem_valid};

/// A Secret, and what was noted about it.
fn read(mut value: Value) -> (Secret, Vec<String>) {
    value["apiVersion"] = json!("v1");
    value["kind"] = json!("Secret");
    value["metadata"] = json!({"name": "x"});
    let mut notes = Notes::default();
    let secret = Secret::parse(&mut value, &mut notes).expect("a Secret");
    assert!(
        value["data"].is_null() && value["stringData"].is_null(),
        "nothing stays behind"
    );
    (secret, notes.left_out.iter().map(ToString::to_string).collect())
}

fn text(value: &str) -> Value {
    json!({"stringData": {"auth": value}})
}

#[test]
fn base64_as_go_reads_it() {
    let ca = |data: Value| {
        let (secret, lines) = read(json!({"data": {"k": data}}));
        let bytes = secret.entry("k").map(<[u8]>::to_vec).map_err(|e| e.to_string());
        (bytes, lines)
    };
    let good = |data: Value, bytes: &[u8]| assert_eq!(ca(data), (Ok(bytes.to_vec()), vec![]));
    good(json!("aGVsbG8="), b"hello");
    good(json!("aGVs\r\nbG8=\n"), b"hello");
    good(json!("aGVsbG8\n=\n\n"), b"hello");
    // The two last bits do not count.
    good(json!("aGVsbG9="), b"hello");
    good(json!(""), b"");
    good(json!(null), b"");
    let line = "data[k]: must be text in base64".to_owned();
    for bad in [
        json!("aGVsbG8"),
        json!("aGVs bG8="),
        json!("aGVs\tbG8="),
        json!("aGVsbG8=="),
        json!("_-=="),
        json!(5),
        json!(["aGVsbG8="]),
    ] {
        assert_eq!(ca(bad), (Err(line.clone()), vec![line.clone()]));
    }
}

#[test]
fn one_odd_key_costs_itself() {
    let (secret, lines) =
        read(json!({"data": {"auth": "YTpi", "other": "not base64"}, "stringData": {"third": 5}}));
    assert_eq!(secret.htpasswd().map(|users| users.len()), Ok(1));
    assert_eq!(
        lines,
        ["data[other]: must be text in base64", "data[third]: must be text"]
    );
}

#[test]
fn users_of_a_file() {
    let (secret, _) = read(text(
        "# who\nalice:$apr1$x$y\n\nbob:{SHA}abc=:a comment\r\nalice:again\n",
    ));
    let users = secret.htpasswd().unwrap();
    assert_eq!(users.len(), 2);
    assert_eq!(users.hash("alice"), Some("$apr1$x$y"));
    assert_eq!(users.hash("bob"), Some("{SHA}abc="));
    assert_eq!(users.hash("carol"), None);
    assert_eq!(
        format!("{users:?} {secret:?}"),
        "Credentials(2 users) Secret(\"\", keys [\"auth\"])"
    );
    let error = |value: Value| read(value).0.htpasswd().unwrap_err().to_string();
    assert_eq!(
        error(text("alice:x\nbob\n")),
        "data[auth]: line 2 is not USER:HASH"
    );
    assert_eq!(error(text(":x")), "data[auth]: line 1 is not USER:HASH");
    assert_eq!(error(json!({})), "data[auth]: is missing");
    assert_eq!(
        error(json!({"data": {"auth": "/w=="}})),
        "data[auth]: is not UTF-8 text"
    );
}

#[test]
fn users_by_keys() {
    let (secret, _) = read(json!({"stringData": {"alice": "$2y$1", "bob": "x\n"}}));
    let users = secret.htpasswd_map().unwrap();
    assert_eq!(
        (users.hash("alice"), users.hash("bob")),
        (Some("$2y$1"), Some("x"))
    );
    let (secret, _) = read(json!({"stringData": {"alice": "x", "bob": ""}}));
    assert_eq!(
        secret.htpasswd_map().unwrap_err().to_string(),
        "data[bob]: is no hash of a password"
    );
    let (secret, _) = read(json!({"data": {"alice": "?"}}));
    assert_eq!(
        secret.htpasswd_map().unwrap_err().to_string(),
        "data[alice]: must be text in base64"
    );
}

#[test]
fn authorities() {
    let (one, two) = (pem(&["a.test"]).0, pem(&["b.test"]).0);
    let (secret, _) = read(json!({"stringData": {"ca.crt": one + &two}}));
    assert_eq!(secret.authorities().map(|list| list.len()), Ok(2));
    let error = |value: Value| read(value).0.authorities().unwrap_err().to_string();
    assert_eq!(error(json!({})), "data[ca.crt]: is missing");
    assert_eq!(
        error(json!({"stringData": {"ca.crt": "x"}})),
        "data[ca.crt]: holds no certificate"
    );
}

/// Why a pair is none.
fn tls(crt: &str, key: &str) -> String {
    let (secret, lines) = read(json!({"stringData": {"tls.crt": crt, "tls.key": key}}));
    assert_eq!(lines, Vec::<String>::new(), "nobody has asked yet");
    secret.tls().unwrap_err().to_string()
}

#[test]
fn each_way_to_be_no_pair_has_its_reason() {
    let ((crt, key), (_, other)) = (pem(&["a.test"]), pem(&["a.test"]));
    assert_eq!(
        tls(&crt, &other),
        "data[tls.key]: is not the key of the first certificate in tls.crt"
    );
    assert_eq!(tls("", &key), "data[tls.crt]: holds no certificate");
    assert_eq!(tls(&key, &key), "data[tls.crt]: holds no certificate");
    assert_eq!(tls(&crt, ""), "data[tls.key]: is not a private key in PEM");
    assert_eq!(
        tls(&crt, &crt),
        "data[tls.key]: holds a certificate and no private key"
    );
    let labelled = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    assert_eq!(
        tls(&crt, &labelled("ENCRYPTED PRIVATE KEY")),
        "data[tls.key]: is encrypted; a key must be in PEM without a passphrase"
    );
    assert_eq!(
        tls(&crt, &labelled("DSA PRIVATE KEY")),
        "data[tls.key]: is a DSA key, which TLS no longer uses"
    );
    assert_eq!(
        tls(&crt, &labelled("PRIVATE KEY")),
        "data[tls.key]: is not an RSA, ECDSA or Ed25519 key that TLS can use"
    );
    assert_eq!(
        tls(&labelled("CERTIFICATE"), &key),
        "data[tls.crt]: its first certificate is not an X.509 certificate"
    );
    assert_eq!(
        tls(&crt.replace("-----END", "%\n-----END"), &key),
        "data[tls.crt]: is not PEM"
    );
}

#[test]
fn an_expired_pair_is_one() {
    let (crt, key) = pem_valid(&["a.test"], (2001, 2002));
    let (secret, _) =
        read(json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": crt, "tls.key": key}}));
    let pair = secret.tls().unwrap();
    assert!(pair.names("a.test") && !pair.names("b.test"));
    assert_eq!((pair.version, pair.chain.len()), (3, 1));
}

#[test]
fn keys_of_every_kind_belong_to_their_certificates() {
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let rsa: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().expect("a key in DER");
    let generated = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ]
    .map(|algorithm| rcgen::KeyPair::generate_for(algorithm).expect("a key"));
    let rsa = rcgen::KeyPair::try_from(rsa.as_ref()).expect("a key of RSA");
    for key in generated.into_iter().chain([rsa]) {
        let params = rcgen::CertificateParams::new(["a.test".to_owned()]).expect("a name");
        let crt = params.self_signed(&key).expect("a certificate").pem();
        let (secret, _) = read(json!({"stringData": {"tls.crt": crt, "tls.key": key.serialize_pem()}}));
        assert!(secret.tls().is_ok(), "{:?}", key.algorithm());
    }
}

#[test]
fn the_data_of_types_for_others_is_not_kept() {
    let (secret, _) =
        read(json!({"type": "kubernetes.io/service-account-token", "stringData": {"token": "s3cret"}}));
    assert_eq!(secret.data.keys().count(), 0);
    assert_eq!(
        secret
            .entry("token")
            .map(|bytes| Zeroizing::new(bytes.to_vec()))
            .unwrap_err()
            .to_string(),
        "type: is kubernetes.io/service-account-token, whose data is not read"
    );
}
