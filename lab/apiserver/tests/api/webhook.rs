//! Admission webhooks, answered by a small server of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headgate_apiserver::ApiServer;
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use crate::client::{Client, INGRESSES, ingress, server};

/// A webhook that answers what the test wants, and keeps what it was asked.
struct Webhook {
    address: SocketAddr,
    ca: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    fn start(answer: impl Fn(&Value) -> Value + Send + 'static) -> Self {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned(), "hook.gate.svc".to_owned()])
            .expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS");
        let tls = Arc::new(
            tls.with_no_client_auth()
                .with_single_cert(vec![issued.cert.der().clone()], key)
                .expect("a certificate"),
        );
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, asked) = (
            listener.local_addr().expect("an address"),
            Arc::new(Mutex::new(Vec::new())),
        );
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let session = rustls::ServerConnection::new(Arc::clone(&tls)).expect("a session");
                let _ = serve(rustls::StreamOwned::new(session, stream), &answer, &seen);
            }
        });
        Webhook {
            address,
            ca: STANDARD.encode(issued.cert.pem()),
            asked,
        }
    }

    fn install(&self, server: &ApiServer, changes: &Value) {
        let mut webhook = json!({
            "name": "check.gate.test", "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 5,
            "clientConfig": {"caBundle": self.ca, "service": {"namespace": "gate", "name": "hook", "path": "/check"}},
            "rules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "resources": ["ingresses"]}],
        });
        for (key, value) in changes.as_object().into_iter().flatten() {
            webhook[key] = value.clone();
        }
        server.webhook_service("gate", "hook", self.address);
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "gate"},
            "webhooks": [webhook],
        });
        server.store().apply(&configuration).expect("stored");
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn serve(
    stream: impl Read + Write,
    answer: &impl Fn(&Value) -> Value,
    asked: &Mutex<Vec<Value>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while stream.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    asked.lock().expect("no panic").push(review["request"].clone());
    let mut response = answer(&review["request"]);
    response["uid"] = review["request"]["uid"].clone();
    let text = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
        .to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    stream.get_mut().write_all((head + &text).as_bytes())?;
    stream.get_mut().flush()
}

#[test]
fn a_webhook_refuses_and_warns() {
    let server = server();
    let client = Client::new(&server);
    let webhook = Webhook::start(|request| {
        let mine = request["object"]["spec"]["ingressClassName"] == "headgate";
        json!({"allowed": mine, "warnings": ["look \"here\""], "status": {"code": 422, "reason": "Invalid", "message": "not ours"}})
    });
    webhook.install(&server, &json!({}));
    let allowed = client.post(INGRESSES, &ingress("a"));
    assert_eq!(allowed.headers["warning"], "299 - \"look \\\"here\\\"\"");
    let made = allowed.ok();
    let mut changed = made.clone();
    changed["spec"]["ingressClassName"] = "other".into();
    let status = client
        .put(&format!("{INGRESSES}/a"), &changed)
        .failed(422, "Invalid");
    assert_eq!(
        status["message"],
        "admission webhook \"check.gate.test\" denied the request: not ours"
    );
    let asked = webhook.asked();
    let seen: Vec<&Value> = asked.iter().map(|request| &request["operation"]).collect();
    assert_eq!(seen, ["CREATE", "UPDATE"]);
    assert_eq!(
        (
            &asked[0]["object"]["kind"],
            &asked[0]["oldObject"],
            &asked[0]["namespace"]
        ),
        (&json!("Ingress"), &json!(null), &json!("default"))
    );
    assert_eq!(
        (
            &asked[1]["oldObject"]["metadata"]["uid"],
            &asked[1]["userInfo"]["username"]
        ),
        (&made["metadata"]["uid"], &json!("kubernetes-admin"))
    );
    // Neither the status, nor other kinds, nor deletions are what it asked for.
    client.put(&format!("{INGRESSES}/a/status"), &made).ok();
    client.delete(&format!("{INGRESSES}/a")).ok();
    assert_eq!(webhook.asked().len(), 2);
}

#[test]
fn a_dead_webhook_closes_or_opens_as_it_says() {
    let server = server();
    let client = Client::new(&server);
    let webhook = Webhook::start(|_| json!({"allowed": true}));
    webhook.install(&server, &json!({"failurePolicy": "Fail", "clientConfig": {"caBundle": webhook.ca, "url": "https://localhost:1/check"}}));
    let status = client.post(INGRESSES, &ingress("a")).failed(500, "InternalError");
    let said = status["message"].as_str().expect("a message");
    assert!(
        said.starts_with("Internal error occurred: failed calling webhook \"check.gate.test\""),
        "{said}"
    );
    webhook.install(&server, &json!({"failurePolicy": "Ignore", "clientConfig": {"caBundle": webhook.ca, "url": "https://localhost:1/check"}}));
    client.post(INGRESSES, &ingress("a")).ok();
    assert!(webhook.asked().is_empty());
}

#[test]
fn a_webhook_is_asked_where_its_selectors_fit() {
    let server = server();
    let client = Client::new(&server);
    let webhook = Webhook::start(|_| json!({"allowed": false}));
    webhook.install(&server, &json!({
        "namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}]},
        "sideEffects": "Some",
    }));
    client
        .post(
            "/apis/networking.k8s.io/v1/namespaces/kube-system/ingresses",
            &ingress("a"),
        )
        .ok();
    let status = client.post(INGRESSES, &ingress("a")).json();
    assert_eq!(
        (&status["code"], &status["message"]),
        (
            &json!(400),
            &json!("admission webhook \"check.gate.test\" denied the request without explanation")
        )
    );
    let status = client
        .post(&format!("{INGRESSES}?dryRun=All"), &ingress("a"))
        .failed(400, "BadRequest");
    assert!(
        status["message"]
            .as_str()
            .is_some_and(|said| said.ends_with("does not support dry run"))
    );
}
