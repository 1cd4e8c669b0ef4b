//! A server's certificate with its key, and the authority that has signed it and nothing else: its key is forgotten at
//! once, so that nobody can find it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A clock that is this far behind sees a valid certificate still.
const SKEW: Duration = Duration::from_secs(3600);

/// Both in PEM. Not to be shown: nothing of it implements `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct CertificatePair {
    pub(super) chain: String,
    pub(super) key: String,
}

/// Makes a certificate for a host, and an authority for it, in PEM.
pub(super) fn issue(
    host: &str,
    now: SystemTime,
    lifetime: Duration,
) -> Result<(CertificatePair, String), rcgen::Error> {
    let valid = |params: &mut CertificateParams| {
        params.not_before = (now - SKEW).into();
        params.not_after = (now + lifetime).into();
    };
    let mut authority = CertificateParams::default();
    valid(&mut authority);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let made = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    authority
        .distinguished_name
        .push(DnType::CommonName, format!("Headgate admission webhook {made}"));
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let mut server = CertificateParams::new(vec![host.to_owned()])?;
    valid(&mut server);
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A common name has 64 characters at most; names are looked for elsewhere.
    server.distinguished_name.push(DnType::CommonName, "headgate");
    let key = KeyPair::generate()?;
    let pair = CertificatePair {
        chain: server.signed_by(&key, &authority)?.pem(),
        key: key.serialize_pem(),
    };
    Ok((pair, authority.pem()))
}

impl CertificatePair {
    /// For a server.
    pub(super) fn certified(&self) -> Result<CertifiedKey, String> {
        let chain = certificates(&self.chain).map_err(|error| format!("the certificate: {error}"))?;
        if chain.is_empty() {
            return Err("the certificate: there is none".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| format!("the key: {error}"))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        CertifiedKey::from_der(chain, key, &provider).map_err(|error| error.to_string())
    }

    /// Whether a client that trusts these authorities takes it for the host's.
    pub(super) fn is_trusted(&self, authorities: &str, host: &str, now: SystemTime) -> bool {
        self.verify(authorities, host, now).is_some() && self.certified().is_ok()
    }

    fn verify(&self, authorities: &str, host: &str, now: SystemTime) -> Option<()> {
        let mut roots = RootCertStore::empty();
        for authority in certificates(authorities).ok()? {
            roots.add(authority).ok()?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().ok()?;
        let chain = certificates(&self.chain).ok()?;
        let (server, between) = chain.split_first()?;
        let name = ServerName::try_from(host).ok()?;
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).ok()?);
        let verified = verifier.verify_server_cert(server, between, &name, &[], now);
        verified.ok().map(|_| ())
    }

    /// When it ends to be valid.
    pub(super) fn ends(&self) -> Option<SystemTime> {
        ends(&self.chain)
    }
}

/// When the first certificate of several ends to be valid.
pub(super) fn ends(chain: &str) -> Option<SystemTime> {
    let chain = certificates(chain).ok()?;
    let (_, parsed) = X509Certificate::from_der(chain.first()?).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, rustls_pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(text.as_bytes()).collect()
}
