//! Certificates by server name, each with the TLS configuration of its connections.
//!
//! A connection holds its configuration to its end. That of one certificate is small; with one for all, a connection would
//! hold every certificate of its time.

use std::sync::Arc;

use headgate_net::fault::Fault;
use headgate_net::routes::Parts;
use headgate_ring::message::Certificate;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, CipherSuite, InconsistentKeys, ServerConfig, version};

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
    /// For clients that take the cipher suite that we like best.
    config: Arc<ServerConfig>,
    /// For those that get the one that they like best.
    theirs: Arc<ServerConfig>,
}

/// Whose order of cipher suites counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preference {
    /// AES-128 with SHA-256 before AES-256 with SHA-384, as Mozilla's recommendations, ingress-nginx and most browsers have it. No
    /// attack on either is known, and the key schedule of a handshake is some two hundred blocks of the hash.
    Ours,
    /// Of a client that likes ChaCha20 best: it has no instructions for AES.
    Theirs,
}

impl Preference {
    /// By what a client offers, in its order.
    pub(super) fn of(offered: &[CipherSuite]) -> Self {
        let first = offered.iter().find_map(|suite| rank(*suite));
        if first == Some(CHACHA20) {
            Self::Theirs
        } else {
            Self::Ours
        }
    }
}

const CHACHA20: u8 = 2;

/// The place of a suite in our order; `None` of those that we do not speak, like the values that keep servers tolerant (RFC 8701).
fn rank(suite: CipherSuite) -> Option<u8> {
    use CipherSuite as Suite;
    match suite {
        Suite::TLS13_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => Some(0),
        Suite::TLS13_AES_256_GCM_SHA384
        | Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Some(1),
        Suite::TLS13_CHACHA20_POLY1305_SHA256
        | Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Some(CHACHA20),
        _ => None,
    }
}

fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| rank(suite.suite()).unwrap_or(u8::MAX));
    provider
}

impl Tls {
    /// TLS 1.2 and 1.3, ALPN `h2` before `http/1.1`; no certificate yet.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let mut common = ServerConfig::builder_with_provider(Arc::new(provider()))
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
    pub(super) fn find(&self, name: Option<&str>, preference: Preference) -> Option<&Arc<ServerConfig>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let name = name.trim_end_matches('.');
            self.exact
                .get(name)
                .or_else(|| self.wildcard.get(name.split_once('.')?.1))
        });
        let loaded = named.or(self.default.as_ref())?;
        Some(match preference {
            Preference::Ours => &loaded.config,
            Preference::Theirs => &loaded.theirs,
        })
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
        let theirs = config.clone();
        config.ignore_client_order = true;
        Ok(Loaded {
            source: Arc::clone(source),
            config: Arc::new(config),
            theirs: Arc::new(theirs),
        })
    }
}
