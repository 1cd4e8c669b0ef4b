//! How a webhook is called: HTTPS by its URL, or by the Service that a test says where it is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where the Services of webhooks really are: there is no kube-proxy here.
#[derive(Debug, Default)]
pub(crate) struct Services(RwLock<HashMap<(String, String), SocketAddr>>);

impl Services {
    pub(crate) fn add(&self, namespace: &str, name: &str, address: SocketAddr) {
        let mut services = self.0.write().unwrap_or_else(PoisonError::into_inner);
        services.insert((namespace.to_owned(), name.to_owned()), address);
    }

    fn find(&self, namespace: &str, name: &str) -> Option<SocketAddr> {
        let services = self.0.read().unwrap_or_else(PoisonError::into_inner);
        services.get(&(namespace.to_owned(), name.to_owned())).copied()
    }
}

/// A webhook's place: whom to connect to, by what name, and what to ask for.
struct Place {
    address: String,
    name: String,
    path: String,
}

/// Sends a review and reads the answer; why there is none, as the real server words it.
pub(super) async fn post(services: &Services, config: &Value, review: &Value) -> Result<Value, String> {
    let place = place(services, config)?;
    let said =
        |error: &dyn std::fmt::Display| format!("Post \"https://{}{}\": {error}", place.name, place.path);
    let stream = TcpStream::connect(&place.address)
        .await
        .map_err(|error| said(&error))?;
    let name = ServerName::try_from(place.name.clone()).map_err(|error| said(&error))?;
    let tls = connector(config).map_err(|error| said(&error))?;
    let stream = tls.connect(name, stream).await.map_err(|error| said(&error))?;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| said(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::post(&place.path)
        .header("host", &place.name)
        .header("content-type", "application/json")
        .header("accept", "application/json, */*")
        .body(Full::new(Bytes::from(review.to_string())))
        .map_err(|error| said(&error))?;
    let response = send.send_request(request).await.map_err(|error| said(&error))?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| said(&error))?
        .to_bytes();
    connection.abort();
    if !status.is_success() {
        return Err(format!(
            "the server responded with the status code {} but did not return more information",
            status.as_u16()
        ));
    }
    serde_json::from_slice(&body).map_err(|error| format!("could not get REST client: {error}"))
}

fn place(services: &Services, config: &Value) -> Result<Place, String> {
    if let Some(url) = config["url"].as_str() {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?}: {error}"))?;
        let host = uri.host().unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        return Ok(Place {
            address: format!("{host}:{}", uri.port_u16().unwrap_or(443)),
            name: bare,
            path,
        });
    }
    let service = &config["service"];
    let text = |field: &str| service[field].as_str().unwrap_or_default();
    let (namespace, name) = (text("namespace"), text("name"));
    let address = services
        .find(namespace, name)
        .ok_or_else(|| format!("service {name:?} not found"))?;
    let path = if text("path").is_empty() {
        "/"
    } else {
        text("path")
    };
    Ok(Place {
        address: address.to_string(),
        name: format!("{name}.{namespace}.svc"),
        path: path.to_owned(),
    })
}

/// TLS that trusts the webhook's own authority alone.
fn connector(config: &Value) -> Result<TlsConnector, String> {
    let bundle = STANDARD
        .decode(config["caBundle"].as_str().unwrap_or_default())
        .map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bundle) {
        let certificate =
            certificate.map_err(|error| format!("unable to load root certificates: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("unable to load root certificates: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.map_err(|error| error.to_string())?;
    Ok(TlsConnector::from(Arc::new(
        tls.with_root_certificates(roots).with_no_client_auth(),
    )))
}
