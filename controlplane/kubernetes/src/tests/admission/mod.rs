//! The admission webhook, asked by an API server and by others.

mod asked;
mod hostile;
mod rotated;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headgate_apiserver::ApiServer;
use headgate_controlplane::harness::settings;
use headgate_controlplane::model::ObjectName;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::bed::{Bed, Followed, QUICK, free_address, namespace, server};
use super::writing::until;
use crate::{Access, Admission, Rotation, ServerCertificate, WritingOptions};

const NAME: &str = "headgate-admission";
pub(super) const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses";

/// Whoever looks often sees soon.
const OFTEN: Rotation = Rotation {
    lifetime: Duration::from_secs(90 * 86_400),
    ahead: Duration::from_secs(30 * 86_400),
    overlap: Duration::from_millis(200),
    look: Duration::from_millis(50),
};

fn admission(address: SocketAddr, rotation: Rotation) -> Admission {
    Admission {
        address,
        certificate: ServerCertificate::Kept {
            service: ObjectName::new("default", NAME),
            configuration: NAME.to_owned(),
            rotation,
        },
        settings: Arc::new(settings()),
    }
}

fn writing(identity: &str) -> WritingOptions {
    WritingOptions {
        publish: None,
        ..super::writing::options(identity)
    }
}

/// A server with a webhook's configuration, as the chart has it but for what it does without an answer.
fn asking(address: SocketAddr, failure_policy: &str) -> ApiServer {
    let server = server();
    server.webhook_service("default", NAME, address);
    let rule = |group: &str, version: &str, resource: &str| json!({"operations": ["CREATE", "UPDATE"], "apiGroups": [group], "apiVersions": [version], "resources": [resource]});
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [{
            "name": "validate.headgate.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": failure_policy, "timeoutSeconds": 5,
            "clientConfig": {"service": {"namespace": "default", "name": NAME}},
            "rules": [rule("networking.k8s.io", "v1", "ingresses"), rule("", "v1", "services")],
        }],
    });
    for object in [namespace("shop"), namespace("default"), configuration] {
        server.store().apply(&object).expect("an object");
    }
    server
}

/// The `caBundle` that API servers are told of.
fn bundle(server: &ApiServer) -> Option<String> {
    let configuration = server.store().get("ValidatingWebhookConfiguration", "", NAME)?;
    let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
        .as_str()?
        .to_owned();
    String::from_utf8(STANDARD.decode(bundle).ok()?).ok()
}

/// A key of the Secret of the certificate.
fn kept(server: &ApiServer, key: &str) -> Option<String> {
    let secret = server.store().get("Secret", "default", NAME)?;
    String::from_utf8(STANDARD.decode(secret["data"][key].as_str()?).ok()?).ok()
}

/// A gateway that answers a server, which trusts it.
fn answered(failure_policy: &str, rotation: Rotation) -> (Followed, SocketAddr) {
    let address = free_address();
    let bed = Bed::with(asking(address, failure_policy), QUICK, |options| {
        options.admission = Some(admission(address, rotation));
        options.writing = Some(writing("a"));
    });
    let followed = bed.follow();
    until("a bundle", &followed.server, |server| bundle(server).is_some());
    (followed, address)
}

/// Whoever writes objects by the API.
struct User {
    runtime: Runtime,
    client: kube::Client,
}

/// What they are told.
#[derive(Debug)]
struct Told {
    status: u16,
    message: String,
    warnings: Vec<String>,
}

impl User {
    fn new(kubeconfig: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let access = Access::Kubeconfig {
            path: kubeconfig.to_owned(),
            context: None,
        };
        let client = runtime.block_on(access.connect()).expect("a client");
        Self { runtime, client }
    }

    fn send(&self, method: Method, path: &str, body: &Value) -> Told {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string().into_bytes()))
            .expect("a request");
        self.runtime.block_on(async {
            let response = self.client.send(request).await.expect("an answer");
            let status = response.status().as_u16();
            let warnings = response.headers().get_all(header::WARNING).iter();
            let warnings = warnings
                .map(|text| text.to_str().expect("text").to_owned())
                .collect();
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let message = body["message"].as_str().unwrap_or_default().to_owned();
            Told {
                status,
                message,
                warnings,
            }
        })
    }

    fn create(&self, path: &str, body: &Value) -> Told {
        self.send(Method::POST, path, body)
    }
}

impl Told {
    /// It was taken, without a word.
    fn silently(&self) {
        assert!(
            (200..300).contains(&self.status) && self.warnings.is_empty(),
            "{self:?}"
        );
    }

    fn warned(&self, of: &str) {
        assert!((200..300).contains(&self.status), "{self:?}");
        assert!(
            self.warnings.iter().any(|warning| warning.contains(of)),
            "{self:?}"
        );
    }

    fn denied(&self, because: &str) {
        assert_eq!(self.status, 400, "{self:?}");
        let by = "admission webhook \"validate.headgate.dev\" denied the request: ";
        assert!(
            self.message.starts_with(by) && self.message.contains(because),
            "{self:?}"
        );
    }
}
