//! Kubeconfig files (`k8s.io/client-go/tools/clientcmd/api/v1.Config`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// How a client says who it is.
pub(crate) enum Credentials<'a> {
    Token(&'a str),
    /// As PEM.
    Certificate {
        certificate: &'a str,
        key: &'a str,
    },
}

/// The text of a file: JSON, which is YAML.
pub(crate) fn kubeconfig(url: &str, ca: &str, credentials: &Credentials<'_>) -> String {
    let user = match credentials {
        Credentials::Token(token) => json!({"token": token}),
        Credentials::Certificate { certificate, key } => json!({
            "client-certificate-data": STANDARD.encode(certificate), "client-key-data": STANDARD.encode(key),
        }),
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "stand-in",
        "clusters": [{"name": "stand-in", "cluster": {"server": url, "certificate-authority-data": STANDARD.encode(ca)}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "user", "namespace": "default"}}],
    });
    format!("{config:#}\n")
}
