//! The L7 configuration of one generation: built whole from ring objects, then only read.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use headgate_ring::message::{Certificate, Listener, Upstream, VirtualHost};

use super::route::Routes;
use super::tls::{CertificateFault, Certificates};

/// Everything the [`Stage`](super::Stage) needs to know to answer a request. Immutable; shared by all workers.
#[derive(Debug)]
pub struct Config {
    pub(super) routes: Routes,
    pub(super) upstreams: Vec<UpstreamEndpoints>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) tls: Arc<rustls::ServerConfig>,
    pub(super) listeners: HashMap<SocketAddr, ListenerKind>,
}

/// What a client speaks to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 in TLS.
    Https,
}

/// The ready endpoints of an upstream, by its place in [`Config`].
#[derive(Debug)]
pub(super) struct UpstreamEndpoints {
    pub(super) name: Arc<str>,
    pub(super) endpoints: Arc<[SocketAddr]>,
}

/// Why a set of objects is no configuration. Each names the object at fault.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The path of a rule must begin with `/` and hold no control characters; blanks are compared with decoded ones.
    #[error(
        "host {host:?}, ingress {ingress}: the path {path:?} must begin with '/' and hold no control character"
    )]
    Path {
        /// The host of the rule.
        host: String,
        /// `namespace/name` of the Ingress.
        ingress: String,
        /// The path as it came.
        path: String,
    },
    /// A host is a name, `*.` and a name, or empty, in lower case.
    #[error("{object}: {host:?} is not a host: give a lower-case name, '*.' and a name, or an empty string")]
    Host {
        /// What named the host.
        object: String,
        /// The host as it came.
        host: String,
    },
    /// Two objects with one key.
    #[error("{object} is there twice")]
    Duplicate {
        /// Which object.
        object: String,
    },
    /// The certificate, its key, or both together are of no use.
    #[error("certificate {name}: {fault}")]
    Certificate {
        /// `namespace/name` of the Secret.
        name: String,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// The cryptography library refused to start.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Config {
    /// Checks and compiles the objects of a generation.
    ///
    /// A rule whose upstream is not among `upstreams` is kept and answers 503, as one without ready endpoints does:
    /// a Service that is missing must not keep every other change from taking effect. `previous` lends the
    /// certificates that did not change, and the keys of the session tickets, so that clients resume their sessions
    /// across generations.
    ///
    /// # Errors
    /// The first object that is wrong, by name; nothing is applied then.
    pub fn build<'a>(
        hosts: impl IntoIterator<Item = &'a VirtualHost>,
        upstreams: impl IntoIterator<Item = &'a Upstream>,
        certificates: impl IntoIterator<Item = &'a Certificate>,
        listeners: impl IntoIterator<Item = &'a Listener>,
        previous: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        let upstreams = compile_upstreams(upstreams)?;
        let names = upstreams
            .iter()
            .enumerate()
            .map(|(i, u)| (&*u.name, i))
            .collect::<HashMap<_, _>>();
        let routes = Routes::build(hosts, |name| names.get(name).copied())?;
        let certificates = Arc::new(Certificates::build(
            certificates,
            previous.map(|p| &*p.certificates),
        )?);
        let tls = super::tls::server_config(&certificates, previous.map(|p| &*p.tls))?;
        Ok(Self {
            routes,
            upstreams,
            certificates,
            tls,
            listeners: compile_listeners(listeners)?,
        })
    }

    /// Where clients connect, and what they speak there.
    pub fn listeners(&self) -> impl Iterator<Item = (SocketAddr, ListenerKind)> + '_ {
        self.listeners.iter().map(|(address, kind)| (*address, *kind))
    }

    /// Every endpoint that a request may be sent to.
    #[must_use]
    pub fn endpoints(&self) -> HashSet<SocketAddr> {
        self.upstreams
            .iter()
            .flat_map(|u| u.endpoints.iter().copied())
            .collect()
    }
}

fn compile_upstreams<'a>(
    upstreams: impl IntoIterator<Item = &'a Upstream>,
) -> Result<Vec<UpstreamEndpoints>, ConfigError> {
    let mut seen = HashSet::new();
    upstreams
        .into_iter()
        .map(|u| {
            if !seen.insert(&u.name) {
                return Err(ConfigError::Duplicate {
                    object: format!("upstream {}", u.name),
                });
            }
            Ok(UpstreamEndpoints {
                name: u.name.as_str().into(),
                endpoints: u.endpoints.as_slice().into(),
            })
        })
        .collect()
}

fn compile_listeners<'a>(
    listeners: impl IntoIterator<Item = &'a Listener>,
) -> Result<HashMap<SocketAddr, ListenerKind>, ConfigError> {
    let mut compiled = HashMap::new();
    for listener in listeners {
        let kind = if listener.tls {
            ListenerKind::Https
        } else {
            ListenerKind::Http
        };
        if compiled.insert(listener.address, kind).is_some() {
            return Err(ConfigError::Duplicate {
                object: format!("listener {}", listener.address),
            });
        }
    }
    Ok(compiled)
}

/// Whether `host` is what the ring calls a host pattern: a lower-case name, `*.name`, or empty.
pub(super) fn is_host_pattern(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    (host.is_empty() || !name.is_empty())
        && name.bytes().all(byte)
        && !name.starts_with('.')
        && !name.ends_with('.')
}
