//! A certificate chain and its key.

use std::fmt;

use headgate_ring::message::PrivateKey;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate, X509Version};
use zeroize::{Zeroize, Zeroizing};

use super::{Secret, wrong};
use crate::model::invalid::Invalid;

/// A certificate chain and a key that belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsSecret {
    /// DER, the end entity first, at least one.
    pub chain: Vec<Vec<u8>>,
    /// DER: PKCS#8, PKCS#1 or SEC1.
    pub key: PrivateKey,
    /// The end entity's `notBefore` and `notAfter`, in seconds since 1970.
    pub validity: (i64, i64),
    /// The end entity has no extensions, and so names no host, where its version is 1 (RFC 5280 section 4.1.2.1).
    pub version: u32,
}

impl fmt::Debug for TlsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsSecret({} certificates, {:?})", self.chain.len(), self.key)
    }
}

impl TlsSecret {
    pub(super) fn read(secret: &Secret) -> Result<Self, Invalid> {
        let chain = certificates("tls.crt", secret.entry("tls.crt")?)?;
        let (_, leaf) = X509Certificate::from_der(&chain[0])
            .map_err(|_| wrong("tls.crt", "its first certificate is not an X.509 certificate"))?;
        let validity = leaf.validity();
        let validity = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let X509Version(version) = leaf.version();

        let pem = secret.entry("tls.key")?;
        let mut key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| wrong("tls.key", no_key(pem)))?;
        let der = PrivateKey(Zeroizing::new(key.secret_der().to_vec()));
        let signing = any_supported_type(&key);
        key.zeroize();
        let signing =
            signing.map_err(|_| wrong("tls.key", "is not an RSA, ECDSA or Ed25519 key that TLS can use"))?;
        if !belong_together(&leaf, &*signing) {
            let reason = "is not the key of the first certificate in tls.crt";
            return Err(wrong("tls.key", reason));
        }
        Ok(Self {
            chain,
            key: der,
            validity,
            version: version + 1,
        })
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

/// The certificates of a list in PEM, in DER, at least one.
pub(super) fn certificates(key: &str, pem: &[u8]) -> Result<Vec<Vec<u8>>, Invalid> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| wrong(key, "is not PEM"))?;
    if chain.is_empty() {
        return Err(wrong(key, "holds no certificate"));
    }
    // The dataplane refuses such a chain, and with it the whole state.
    if let Some(place) = chain.iter().position(|certificate| certificate.is_empty()) {
        let reason = format!("its certificate number {} is empty", place + 1);
        return Err(wrong(key, reason));
    }
    Ok(chain
        .into_iter()
        .map(|certificate| certificate.to_vec())
        .collect())
}

/// Why a text holds no key that can be read.
fn no_key(pem: &[u8]) -> &'static str {
    let has = |label: &str| pem.windows(label.len()).any(|window| window == label.as_bytes());
    if has("ENCRYPTED") {
        "is encrypted; a key must be in PEM without a passphrase"
    } else if has("BEGIN DSA PRIVATE KEY") {
        "is a DSA key, which TLS no longer uses"
    } else if has("-----BEGIN CERTIFICATE-----") {
        "holds a certificate and no private key"
    } else {
        "is not a private key in PEM"
    }
}

/// Whether the certificate is for the key. Certificates of version 1 are no less for one; so this does not ask
/// rustls, which reads none of them.
fn belong_together(leaf: &X509Certificate<'_>, key: &dyn SigningKey) -> bool {
    // A key whose public half cannot be had cannot be compared; none of the supported kinds is such.
    let Some(public) = key.public_key() else {
        return true;
    };
    let Ok((_, public)) = SubjectPublicKeyInfo::from_der(&public) else {
        return true;
    };
    let certified = leaf.public_key();
    certified.algorithm.algorithm == public.algorithm.algorithm
        && certified.subject_public_key.data == public.subject_public_key.data
}
