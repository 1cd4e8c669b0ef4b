//! A certificate authority for tests and the demo.

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A certificate authority that lives as long as the process.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate that an [`Authority`] issued, and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, then the authority's.
    pub chain: String,
    /// PKCS#8.
    pub key: String,
}

impl Authority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("making the authority's key")?;
        let issuer =
            CertifiedIssuer::self_signed(params, key).context("signing the authority's certificate")?;
        Ok(Self { issuer })
    }

    /// The authority's own certificate as PEM, which clients trust.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for `hosts` (names, or `*.name`).
    ///
    /// # Errors
    ///
    /// When a host is no valid name.
    pub fn issue(&self, hosts: &[&str]) -> Result<Issued> {
        let hosts: Vec<String> = hosts.iter().map(|&h| h.to_owned()).collect();
        let mut params = CertificateParams::new(hosts.clone()).with_context(|| format!("hosts {hosts:?}"))?;
        if let Some(first) = hosts.first() {
            params.distinguished_name.push(DnType::CommonName, first);
        }
        let key = KeyPair::generate().context("making a key")?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .context("signing a certificate")?;
        Ok(Issued {
            chain: certificate.pem() + &self.issuer.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl Issued {
    /// A `kubernetes.io/tls` Secret as YAML.
    #[must_use]
    pub fn secret(&self, namespace: &str, name: &str) -> String {
        let (chain, key) = (STANDARD.encode(&self.chain), STANDARD.encode(&self.key));
        format!(
            "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\n\
             metadata:\n  namespace: {namespace}\n  name: {name}\n\
             data:\n  tls.crt: {chain}\n  tls.key: {key}\n"
        )
    }
}
