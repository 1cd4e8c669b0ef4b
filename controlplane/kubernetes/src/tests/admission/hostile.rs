//! Whoever else finds the port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};

use super::{OFTEN, answered, kept};

fn tls(authority: &str, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots
            .add(certificate.expect("a certificate"))
            .expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut tls = tls
        .expect("TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(tls)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("headgate-admission.default.svc").expect("a name")
}

/// Sends these bytes and gives all of the answer.
fn raw(address: SocketAddr, authority: &str, request: &[u8]) -> String {
    let session = ClientConnection::new(tls(authority, &[]), name()).expect("a session");
    let stream = TcpStream::connect(address).expect("a connection");
    let mut stream = StreamOwned::new(session, stream);
    stream.write_all(request).expect("a request");
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    // The end may come without a farewell.
    while let Ok(read @ 1..) = stream.read(&mut part) {
        text.extend_from_slice(&part[..read]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether there is a webhook of which this authority says that it is it.
pub(super) fn is_trusted(address: SocketAddr, authority: &str) -> bool {
    let mut session = ClientConnection::new(tls(authority, &[]), name()).expect("a session");
    let mut stream = TcpStream::connect(address).expect("a connection");
    session.complete_io(&mut stream).is_ok()
}

/// Posts a body; the answer with its head.
fn post(address: SocketAddr, authority: &str, kind: &str, body: &[u8]) -> String {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    raw(address, authority, &[head.as_bytes(), body].concat())
}

fn review(request: &Value) -> Vec<u8> {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        .to_string()
        .into_bytes()
}

#[test]
fn what_is_no_review_is_told_so() {
    let (mut followed, address) = answered("Fail", OFTEN);
    let authority = kept(&followed.server, "ca.crt").expect("an authority");
    let json = "application/json";
    let deep = "[".repeat(100_000);
    for (kind, body, status, text) in [
        (
            "text/plain",
            &b"{}"[..],
            "415",
            "the Content-Type must be application/json",
        ),
        (json, b"{", "400", "this is no JSON"),
        (json, deep.as_bytes(), "400", "this is no JSON"),
        (json, b"[]", "400", "this is no AdmissionReview"),
        (json, b"\"x\"", "400", "this is no AdmissionReview"),
        (
            json,
            b"{\"kind\": \"AdmissionReview\", \"apiVersion\": \"admission.k8s.io/v2\"}",
            "400",
            "of admission.k8s.io/v1",
        ),
        (json, &review(&json!(null)), "400", "request.uid: is missing"),
        (json, &review(&json!([1])), "400", "request.uid: is missing"),
        (json, &vec![b' '; (3 << 20) + 1], "413", "more than 3 MiB"),
    ] {
        let told = post(address, &authority, kind, body);
        assert!(
            told.starts_with(&format!("HTTP/1.1 {status} ")) && told.contains(text),
            "{told}"
        );
    }
    let get = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let told = raw(address, &authority, get);
    assert!(
        told.starts_with("HTTP/1.1 405 ") && told.to_lowercase().contains("allow: post"),
        "{told}"
    );
    // Of no length, and larger than is read.
    let mut endless =
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    endless.extend(format!("{:x}\r\n", (3 << 20) + 1).as_bytes());
    endless.resize(endless.len() + (3 << 20) + 1, b' ');
    endless.extend(b"\r\n0\r\n\r\n");
    let told = raw(address, &authority, &endless);
    assert!(told.starts_with("HTTP/1.1 413 "), "{told}");
    followed.end();
}

#[test]
fn what_cannot_be_understood_is_allowed() {
    let (mut followed, address) = answered("Fail", OFTEN);
    let authority = kept(&followed.server, "ca.crt").expect("an authority");
    let ask = |request: Value| {
        let told = post(
            address,
            &authority,
            "application/json; charset=utf-8",
            &review(&request),
        );
        let (_, body) = told.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str::<Value>(body).expect("JSON")["response"].clone()
    };
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "x"}, "spec": 1});
    for object in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"kind": "Ingress"}),
        json!({"metadata": 7}),
        ingress.clone(),
    ] {
        let answer = ask(json!({"uid": "u", "operation": "CREATE", "object": object}));
        assert_eq!(
            (&answer["uid"], &answer["allowed"]),
            (&json!("u"), &json!(true)),
            "{object} {answer}"
        );
    }
    // Of our class it is not; and what is being deleted may be finished.
    let mut ours = ingress;
    ours["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "headgate"});
    let denied = ask(json!({"uid": "u", "operation": "CREATE", "object": ours}));
    assert_eq!(denied["allowed"], false, "{denied}");
    ours["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let allowed = ask(json!({"uid": "u", "operation": "UPDATE", "object": ours}));
    assert_eq!(allowed["allowed"], true, "{allowed}");
    followed.end();
}

/// Whoever holds as many connections as there may be keeps nobody out, neither in silence nor after a handshake.
#[test]
fn silent_connections_make_place_for_who_asks() {
    let (mut followed, address) = answered("Fail", OFTEN);
    let authority = kept(&followed.server, "ca.crt").expect("an authority");
    let ask = || {
        let begun = Instant::now();
        let body = review(&json!({"uid": "u", "operation": "DELETE"}));
        let told = post(address, &authority, "application/json", &body);
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
        // They may be silent for 5 s.
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    };
    let open = || TcpStream::connect(address).expect("a connection");
    let mut silent: Vec<TcpStream> = (0..128).map(|_| open()).collect();
    ask();
    let mut first = silent.remove(0);
    first.set_read_timeout(Some(Duration::from_secs(4))).expect("set");
    let end = first.read(&mut [0]);
    assert!(matches!(end, Ok(0)), "the oldest has made place: {end:?}");
    let shaken = |_| {
        let mut session = ClientConnection::new(tls(&authority, &[]), name()).expect("a session");
        let mut stream = open();
        session.complete_io(&mut stream).expect("a handshake");
        stream
    };
    let shaken: Vec<TcpStream> = (0..128).map(shaken).collect();
    ask();
    drop((silent, shaken));
    followed.end();
}

#[test]
fn http_2_is_spoken_too() {
    let (mut followed, address) = answered("Fail", OFTEN);
    let authority = kept(&followed.server, "ca.crt").expect("an authority");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let connector = tokio_rustls::TlsConnector::from(tls(&authority, &[b"h2", b"http/1.1"]));
        let stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let stream = connector.connect(name(), stream).await.expect("a handshake");
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("HTTP/2");
        tokio::spawn(connection);
        let body = review(&json!({"uid": "u", "operation": "DELETE"}));
        let request = Request::post("https://headgate-admission.default.svc/")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let response = send.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let review: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(review["response"], json!({"uid": "u", "allowed": true}));
    });
    followed.end();
}
