//! Certificates by server name, each with the TLS configuration of its connections.
//!
//! A connection holds its configuration to its end. That of one certificate is small; with one for all, a connection would
//! hold every certificate of its time.

use std::sync::Arc;

use headgate_net::fault::Fault;
use headgate_net::routes::Parts;
use headgate_ring::message::Certificate;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, InconsistentKeys, ServerConfig, version};

/// Certificates by the hosts that they serve. A clone shares all but the parts in which one of the two changes.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// What all certificates have in common: versions, protocols, the store and the ticket keys of sessions, which
    /// outlive every publication.
    common: ServerConfig,
    by_name: Parts<Loaded>,
    exact: Parts<Loaded>,
    /// By what follows `*.`.
    wildcard: Parts<Loaded>,
    default: Option<Arc<Loaded>>,
}

/// A certificate with its key, ready to sign, and the object that it was made from.
#[derive(Debug)]
struct Loaded {
    source: Arc<Certificate>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// TLS 1.2 and 1.3, ALPN `h2` before `http/1.1`; no certificate yet.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let mut common = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        common.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        common.ticketer = aws_lc_rs::Ticketer::new()?;
        // One ticket is enough: an HTTP/1.1 client that opens several connections gets one with each.
        common.send_tls13_tickets = 1;
        Ok(Self {
            common,
            by_name: Parts::default(),
            exact: Parts::default(),
            wildcard: Parts::default(),
            default: None,
        })
    }

    /// Takes certificates away and adds others, by name.
    ///
    /// # Errors
    /// The name of the first that is of no use, and why.
    pub(super) fn change<'a>(
        &mut self,
        changes: &[(&'a str, Option<&'a Arc<Certificate>>)],
    ) -> Result<(), (&'a str, Fault)> {
        let changed = |known: &Loaded, now: Option<&Arc<Certificate>>| {
            now.is_none_or(|now| !Arc::ptr_eq(&known.source, now))
        };
        // All that go go first: a host may move from one certificate to another.
        for (name, now) in changes {
            if let Some(known) = self.by_name.get(name).filter(|known| changed(known, *now)) {
                let known = Arc::clone(known);
                known.source.hosts.iter().for_each(|host| self.forget(host));
                self.by_name.remove(name);
            }
        }
        for (name, now) in changes {
            let Some(source) = now.filter(|_| self.by_name.get(name).is_none()) else {
                continue;
            };
            let loaded = Arc::new(self.load(source).map_err(|fault| (*name, fault))?);
            source.hosts.iter().for_each(|host| self.serve(host, &loaded));
            self.by_name.insert(name, loaded);
        }
        Ok(())
    }

    fn serve(&mut self, host: &str, loaded: &Arc<Loaded>) {
        let loaded = Arc::clone(loaded);
        match host.strip_prefix("*.") {
            _ if host.is_empty() => self.default = Some(loaded),
            Some(parent) => self.wildcard.insert(parent, loaded),
            None => self.exact.insert(host, loaded),
        }
    }

    fn forget(&mut self, host: &str) {
        match host.strip_prefix("*.") {
            _ if host.is_empty() => self.default = None,
            Some(parent) => self.wildcard.remove(parent),
            None => self.exact.remove(host),
        }
    }

    /// What to speak to a client that asks for `name`: with the certificate of the name itself, of `*.` and the name
    /// without its first label, or the default one. `None` is answered with the alert `unrecognized_name` (RFC 6066
    /// section 3).
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Arc<ServerConfig>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let name = name.trim_end_matches('.');
            self.exact
                .get(name)
                .or_else(|| self.wildcard.get(name.split_once('.')?.1))
        });
        named.or(self.default.as_ref()).map(|loaded| &loaded.config)
    }

    /// Whether what was found is the certificate of this object.
    #[cfg(test)]
    pub(super) fn is_of(&self, found: &Arc<ServerConfig>, object: &Arc<Certificate>) -> bool {
        let known = self.by_name.get(&object.name);
        known.is_some_and(|known| *known.source == **object && Arc::ptr_eq(&known.config, found))
    }

    /// Parses a certificate and its key, which must belong together.
    fn load(&self, source: &Arc<Certificate>) -> Result<Loaded, Fault> {
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
        let mut config = self.common.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
        Ok(Loaded {
            source: Arc::clone(source),
            config: Arc::new(config),
        })
    }
}
