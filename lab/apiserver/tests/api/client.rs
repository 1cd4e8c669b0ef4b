//! A small client: JSON over HTTP/1.1 or HTTP/2, and watches line by line.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headgate_apiserver::{ApiServer, Settings};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const JSON: &str = "application/json";

/// A client of one server, with a runtime of its own.
pub(crate) struct Client {
    runtime: Runtime,
    address: std::net::SocketAddr,
    tls: TlsConnector,
    http2: bool,
    pub(crate) token: Option<String>,
    pub(crate) accept: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The object of an answer that must be a success.
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status < 300, "{}: {}", self.status, self.text);
        self.json()
    }

    /// The `Status` of an answer that must be a failure.
    pub(crate) fn failed(&self, code: u16, reason: &str) -> Value {
        let status = self.json();
        assert_eq!(
            (self.status, &status["code"], &status["reason"]),
            (code, &json!(code), &json!(reason)),
            "{status}"
        );
        assert_eq!(
            (&status["kind"], &status["status"]),
            (&json!("Status"), &json!("Failure"))
        );
        status
    }
}

impl Client {
    /// A client with the administrator's token.
    pub(crate) fn new(server: &ApiServer) -> Self {
        Self::with(server, false)
    }

    pub(crate) fn with(server: &ApiServer, http2: bool) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).expect("PEM"))
            .expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS");
        let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![if http2 {
            b"h2".to_vec()
        } else {
            b"http/1.1".to_vec()
        }];
        Client {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            address: server.address(),
            tls: TlsConnector::from(Arc::new(tls)),
            http2,
            token: Some("admin-token".into()),
            accept: JSON.into(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "", Bytes::new())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, JSON, body.to_string().into())
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, JSON, body.to_string().into())
    }

    pub(crate) fn patch(&self, path: &str, content_type: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, content_type, body.to_string().into())
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "", Bytes::new())
    }

    pub(crate) fn send(&self, method: Method, path: &str, content_type: &str, body: Bytes) -> Answer {
        self.try_send(method, path, content_type, body)
            .expect("an answer")
    }

    /// An answer, or why there is none.
    pub(crate) fn try_send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Answer, String> {
        let request = self.request(method, path, content_type, body);
        self.runtime.block_on(async {
            let response = tokio::time::timeout(PATIENCE, self.exchange(request))
                .await
                .map_err(|error| error.to_string())??;
            let (head, body) = response.into_parts();
            let read = tokio::time::timeout(PATIENCE, body.collect())
                .await
                .map_err(|error| error.to_string())?;
            let bytes = read.map_err(|error| error.to_string())?.to_bytes();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })
        })
    }

    /// Begins a watch.
    pub(crate) fn watch(&self, path: &str) -> Watch<'_> {
        let request = self.request(Method::GET, path, "", Bytes::new());
        let response = self.runtime.block_on(self.exchange(request)).expect("an answer");
        assert_eq!(response.status(), 200);
        Watch {
            client: self,
            body: response.into_body(),
            rest: String::new(),
            events: VecDeque::new(),
        }
    }

    fn request(&self, method: Method, path: &str, content_type: &str, body: Bytes) -> Request<Full<Bytes>> {
        let host = if self.http2 {
            format!("https://{}", self.address)
        } else {
            String::new()
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{host}{path}"))
            .header("accept", &self.accept);
        request = request
            .header("user-agent", "client-test/1.0")
            .header("host", self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        request.body(Full::new(body)).expect("a request")
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let stream = tokio::net::TcpStream::connect(self.address)
            .await
            .map_err(|error| error.to_string())?;
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TokioIo::new(
            self.tls
                .connect(name, stream)
                .await
                .map_err(|error| error.to_string())?,
        );
        if self.http2 {
            let (mut send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .map_err(|e| e.to_string())?;
            tokio::spawn(connection);
            return send
                .send_request(request)
                .await
                .map_err(|error| error.to_string());
        }
        let (mut send, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        send.send_request(request)
            .await
            .map_err(|error| error.to_string())
    }
}

/// A watch that runs.
pub(crate) struct Watch<'a> {
    client: &'a Client,
    body: Incoming,
    rest: String,
    events: VecDeque<Value>,
}

impl Watch<'_> {
    /// The next event; None at the end of the watch.
    pub(crate) fn next(&mut self) -> Option<Value> {
        self.within(PATIENCE).expect("an event in time")
    }

    /// The next event as "TYPE NAME".
    pub(crate) fn told(&mut self) -> String {
        let event = self.next().expect("an event");
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or("-");
        format!("{} {name}", event["type"].as_str().unwrap_or_default())
    }

    /// The next event if one comes in time, None at the end.
    pub(crate) fn within(&mut self, time: Duration) -> Result<Option<Value>, tokio::time::error::Elapsed> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let frame = self
                .client
                .runtime
                .block_on(async { tokio::time::timeout(time, self.body.frame()).await })?;
            let Some(Ok(frame)) = frame else { return Ok(None) };
            self.rest += &String::from_utf8_lossy(&frame.into_data().unwrap_or_default());
            while let Some((line, rest)) = self.rest.split_once('\n') {
                self.events
                    .push_back(serde_json::from_str(line).expect("an event"));
                self.rest = rest.to_owned();
            }
        }
    }
}

pub(crate) fn server() -> ApiServer {
    ApiServer::start(Settings::default()).expect("a server")
}

pub(crate) fn config_map(name: &str, data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": data}}, "data": {"a": data}})
}

pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub(crate) fn ingress(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
        "spec": {"ingressClassName": "headgate", "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
    })
}

pub(crate) const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
