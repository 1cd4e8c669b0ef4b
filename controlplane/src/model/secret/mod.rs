//! Secrets: kept as they are, and read as what a reference to them asks for.
//!
//! Nothing in here puts a byte of a Secret's data into an error, and all of it is wiped when it is dropped.

mod data;
mod htpasswd;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::sync::OnceLock;

use k8s_openapi::api::core::v1 as k8s;
use serde_json::Value;

use super::invalid::Invalid;
use super::sieve::Sieve;
use super::typed::{Notes, sifted};
use data::Data;
pub use htpasswd::Credentials;
pub use tls::TlsSecret;

/// `type` of Secrets that must hold a certificate and its key.
const TLS_TYPE: &str = "kubernetes.io/tls";

/// Types of Secrets that are for others: nothing that Headgate reads can name them, so their data is not kept.
const FOREIGN_TYPES: [&str; 6] = [
    "kubernetes.io/service-account-token",
    "kubernetes.io/dockercfg",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/ssh-auth",
    "bootstrap.kubernetes.io/token",
    "helm.sh/release.v1",
];

/// A Secret's data, and what it has been read as.
#[derive(Clone)]
pub struct Secret {
    /// `type`; empty where it is missing.
    kind: String,
    data: Data,
    /// Read when first asked for: most Secrets never are.
    tls: OnceLock<Result<TlsSecret, Invalid>>,
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, &self.data) == (&other.kind, &other.data)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Secret({:?}, keys {:?})",
            self.kind,
            self.data.keys().collect::<Vec<_>>()
        )
    }
}

impl Secret {
    /// Reads a Secret and wipes the data in its value. What is not base64 is left out and noted.
    ///
    /// # Errors
    ///
    /// Where it is of type `kubernetes.io/tls`, what keeps it from being one.
    pub(super) fn parse(value: &mut Value, notes: &mut Notes) -> Result<Self, Invalid> {
        let data = Data::take(value);
        let kind = |secret: &k8s::Secret, _: &mut Sieve| Ok(secret.type_.clone().unwrap_or_default());
        let kind = sifted(value, notes, kind)?;
        let mut data = data?;
        if FOREIGN_TYPES.contains(&kind.as_str()) {
            data = Data::default();
        }
        let secret = Self {
            kind,
            data,
            tls: OnceLock::new(),
        };
        if secret.kind == TLS_TYPE {
            secret.tls().map_err(Invalid::clone)?;
        }
        notes.left_out.extend(secret.data.broken());
        Ok(secret)
    }

    /// The certificate chain `tls.crt` and its key `tls.key`, whatever the Secret's type.
    ///
    /// # Errors
    ///
    /// Names the key that is missing or wrong.
    pub fn tls(&self) -> Result<&TlsSecret, &Invalid> {
        self.tls.get_or_init(|| TlsSecret::read(self)).as_ref()
    }

    /// The certificates of `ca.crt` in DER, at least one.
    ///
    /// # Errors
    ///
    /// Where it is missing, or no such list in PEM.
    pub fn authorities(&self) -> Result<Vec<Vec<u8>>, Invalid> {
        tls::certificates("ca.crt", self.entry("ca.crt")?)
    }

    /// Users and the hashes of their passwords from the file `auth`, as `htpasswd` writes it.
    ///
    /// # Errors
    ///
    /// Where it is missing, or the first line that is none of it.
    pub fn htpasswd(&self) -> Result<Credentials, Invalid> {
        Credentials::of_file("auth", self.entry("auth")?)
    }

    /// Users and the hashes of their passwords where each key is a user.
    ///
    /// # Errors
    ///
    /// The first key whose value is no hash.
    pub fn htpasswd_map(&self) -> Result<Credentials, Invalid> {
        let entries = self.data.keys().map(|key| Ok((key, self.entry(key)?)));
        Credentials::of_map(entries.collect::<Result<Vec<_>, Invalid>>()?)
    }

    fn entry(&self, key: &str) -> Result<&[u8], Invalid> {
        if FOREIGN_TYPES.contains(&self.kind.as_str()) {
            let reason = format!("is {}, whose data is not read", self.kind);
            return Err(Invalid::new("type", reason));
        }
        self.data.get(key)
    }
}

/// What is wrong with the value of a key.
fn wrong(key: &str, reason: impl Into<String>) -> Invalid {
    Invalid::new(format!("data[{key}]"), reason)
}
