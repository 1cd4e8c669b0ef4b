//! Certificates by server name, and the TLS configuration around them.

use std::collections::HashMap;
use std::sync::Arc;

use headgate_net::config::{ConfigError, Fault};
use headgate_ring::message::{Certificate, Key};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys, ServerConfig, version};

/// Certificates by the hosts that they serve.
#[derive(Debug)]
pub(super) struct Certificates {
    loaded: HashMap<String, Arc<Loaded>>,
    exact: HashMap<Box<str>, Arc<Loaded>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Arc<Loaded>>,
    default: Option<Arc<Loaded>>,
}

/// A certificate with its key, ready to sign, and the object that it was made from.
#[derive(Debug)]
struct Loaded {
    source: Certificate,
    key: Arc<CertifiedKey>,
}

impl Certificates {
    pub(super) fn build<'a>(
        certificates: impl IntoIterator<Item = &'a Certificate>,
        previous: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        let mut built = Self {
            loaded: HashMap::new(),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: None,
        };
        for source in certificates {
            let loaded = match previous
                .and_then(|p| p.loaded.get(&source.name))
                .filter(|l| l.source == *source)
            {
                Some(unchanged) => Arc::clone(unchanged),
                None => Arc::new(load(source).map_err(|fault| {
                    let key = Key::Certificate(source.name.clone());
                    ConfigError::new(&key, fault)
                })?),
            };
            for host in &source.hosts {
                built.serve(host, &loaded);
            }
            built.loaded.insert(source.name.clone(), loaded);
        }
        Ok(built)
    }

    fn serve(&mut self, host: &str, loaded: &Arc<Loaded>) {
        let loaded = Arc::clone(loaded);
        match host.strip_prefix("*.") {
            _ if host.is_empty() => self.default = Some(loaded),
            Some(parent) => drop(self.wildcard.insert(parent.into(), loaded)),
            None => drop(self.exact.insert(host.into(), loaded)),
        }
    }

    /// The certificate for a client that asks for `name`: of the name itself, of `*.` and the name without its first
    /// label, or the default one. `None` is answered with the alert `unrecognized_name` (RFC 6066 section 3).
    pub(super) fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let name = name.trim_end_matches('.');
            self.exact
                .get(name)
                .or_else(|| self.wildcard.get(name.split_once('.')?.1))
        });
        named
            .or(self.default.as_ref())
            .map(|loaded| Arc::clone(&loaded.key))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

/// Parses a certificate and its key, which must belong together.
fn load(source: &Certificate) -> Result<Loaded, Fault> {
    let chain = source
        .chain
        .iter()
        .map(|der| CertificateDer::from(der.clone()))
        .collect();
    let key = PrivateKeyDer::try_from(source.key.0.to_vec()).map_err(|e| {
        let reason = format!("is not a private key in PKCS#8, PKCS#1 or SEC1 form: {e}");
        Fault::new("key", reason)
    })?;
    let pair = |e| Fault::new("", format!("the chain and key are not a usable pair: {e}"));
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(pair)?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        // rustls reads no certificate of X.509 version 1, but sends it like any other: it is told as `Other`. Who has
        // put it has compared the key.
        Ok(())
        | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown))
        | Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) => {}
        Err(e) => return Err(pair(e)),
    }
    Ok(Loaded {
        source: source.clone(),
        key: Arc::new(key),
    })
}

/// TLS 1.2 and 1.3, ALPN `http/1.1`, sessions resumed by tickets whose keys outlive a generation.
pub(super) fn server_config(
    certificates: &Arc<Certificates>,
    previous: Option<&ServerConfig>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let ticketer = match previous {
        Some(previous) => Arc::clone(&previous.ticketer),
        None => aws_lc_rs::Ticketer::new()?,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificates) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = ticketer;
    // One ticket is enough: an HTTP/1.1 client that opens several connections gets one with each.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}
