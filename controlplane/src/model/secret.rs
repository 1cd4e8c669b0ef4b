//! Secrets of type `kubernetes.io/tls`: a certificate chain and its key.
//!
//! Nothing in here puts a byte of a Secret's data into an error.

use std::fmt;

use headgate_ring::message::PrivateKey;
use k8s_openapi::api::core::v1 as k8s;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

use super::invalid::Invalid;

/// `type` of the Secrets that are read.
pub const TLS_TYPE: &str = "kubernetes.io/tls";

/// A certificate chain and a key that belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsSecret {
    /// DER, the end entity first, at least one.
    pub chain: Vec<Vec<u8>>,
    /// DER: PKCS#8, PKCS#1 or SEC1.
    pub key: PrivateKey,
    /// The end entity's `notBefore` and `notAfter`, in seconds since 1970.
    pub validity: (i64, i64),
}

impl fmt::Debug for TlsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsSecret({} certificates, {:?})", self.chain.len(), self.key)
    }
}

impl TlsSecret {
    /// Reads the PEM of `tls.crt` and `tls.key`; `None` for a Secret of another type. Wipes the Secret's data.
    ///
    /// # Errors
    ///
    /// Missing or malformed data, a kind of key that TLS cannot use here, a key that is not the certificate's.
    pub fn parse(secret: &mut k8s::Secret) -> Result<Option<Self>, Invalid> {
        let result = if secret.type_.as_deref() == Some(TLS_TYPE) {
            read(secret).map(Some)
        } else {
            Ok(None)
        };
        secret
            .data
            .iter_mut()
            .flatten()
            .for_each(|(_, bytes)| bytes.0.zeroize());
        secret
            .string_data
            .iter_mut()
            .flatten()
            .for_each(|(_, text)| text.zeroize());
        result
    }

    /// Whether clients that ask for `host` (`*.name`: for a host below `name`) would accept the end entity's names.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        let probe = host
            .strip_prefix("*.")
            .map_or_else(|| host.to_owned(), |rest| format!("any-label.{rest}"));
        let der = CertificateDer::from(self.chain[0].as_slice());
        let Ok(name) = ServerName::try_from(probe) else {
            return false;
        };
        let Ok(certificate) = rustls::server::ParsedCertificate::try_from(&der) else {
            return false;
        };
        rustls::client::verify_server_name(&certificate, &name).is_ok()
    }
}

fn read(secret: &k8s::Secret) -> Result<TlsSecret, Invalid> {
    let chain = CertificateDer::pem_slice_iter(&entry(secret, "tls.crt")?).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| field("tls.crt", "is not PEM"))?;
    let Some(leaf) = chain.first() else {
        return Err(field("tls.crt", "holds no certificate"));
    };
    // The dataplane refuses such a chain, and with it the whole state.
    if let Some(place) = chain.iter().position(|certificate| certificate.is_empty()) {
        return Err(field(
            "tls.crt",
            &format!("its certificate number {} is empty", place + 1),
        ));
    }
    let (_, parsed) = X509Certificate::from_der(leaf)
        .map_err(|_| field("tls.crt", "its first certificate is not an X.509 certificate"))?;
    let validity = (
        parsed.validity().not_before.timestamp(),
        parsed.validity().not_after.timestamp(),
    );

    let mut key = PrivateKeyDer::from_pem_slice(&entry(secret, "tls.key")?)
        .map_err(|_| field("tls.key", "is not a private key in PEM"))?;
    let der = PrivateKey(Zeroizing::new(key.secret_der().to_vec()));
    let signing = any_supported_type(&key);
    key.zeroize();
    let signing =
        signing.map_err(|_| field("tls.key", "is not an RSA, ECDSA or Ed25519 key that TLS can use"))?;
    match CertifiedKey::new(chain.clone(), signing).keys_match() {
        // A key whose public half cannot be had cannot be compared; none of the supported kinds is such.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => {
            return Err(field(
                "tls.key",
                "is not the key of the first certificate in tls.crt",
            ));
        }
    }
    Ok(TlsSecret {
        chain: chain.into_iter().map(|c| c.to_vec()).collect(),
        key: der,
        validity,
    })
}

fn entry(secret: &k8s::Secret, name: &str) -> Result<Zeroizing<Vec<u8>>, Invalid> {
    // The API server lets stringData win over data.
    let text = secret
        .string_data
        .as_ref()
        .and_then(|d| d.get(name))
        .map(|s| s.as_bytes().to_vec());
    let bytes = text.or_else(|| secret.data.as_ref()?.get(name).map(|b| b.0.clone()));
    bytes.map(Zeroizing::new).ok_or_else(|| field(name, "is missing"))
}

fn field(name: &str, reason: &str) -> Invalid {
    Invalid::new(format!("data[{name}]"), reason)
}
