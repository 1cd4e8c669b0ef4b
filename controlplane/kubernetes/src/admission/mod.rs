//! A validating admission webhook: the API server asks before it takes an object, and its author hears at once what an
//! Event would say later.
//!
//! It has a thread and a runtime of its own, so that nothing that is asked delays the source: what others have to do with
//! an object is asked of the state with the changes, and not waited for longer than [`review`](reviewer) says. Where
//! there is no answer the object is let through: nobody shall be kept from mending a cluster by what looks after a part
//! of it.

mod files;
mod guests;
mod keeper;
mod pair;
mod review;
mod reviewer;
mod server;
mod stock;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use headgate_controlplane::compile::Settings;
use headgate_controlplane::model::ObjectName;
use headgate_controlplane::source::Inquiry;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::{mpsc, oneshot, watch};

use crate::access::ApiConnection;
use crate::health;
use keeper::{KeeperTask, keep};
use reviewer::Reviewer;

/// Inquiries that wait for the source at most.
const INQUIRIES: usize = 16;

/// How to answer the API server.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Where.
    pub address: SocketAddr,
    /// As whom.
    pub certificate: ServerCertificate,
    /// What the objects are checked with.
    pub settings: Arc<Settings>,
}

/// Where the server's certificate comes from.
#[derive(Clone, Debug)]
pub enum ServerCertificate {
    /// Files, read again when they change.
    Files {
        /// The chain, in PEM.
        certificate: PathBuf,
        /// The key, in PEM.
        key: PathBuf,
    },
    /// It is made, kept in a Secret, and made again.
    Kept {
        /// The Service that the API server connects to; the Secret has its name.
        service: ObjectName,
        /// The ValidatingWebhookConfiguration that is told whom to trust.
        configuration: String,
        /// When it is made again.
        rotation: Rotation,
    },
}

/// How long certificates last, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// From when a certificate is made to when it is no longer valid.
    pub lifetime: Duration,
    /// The next is made so long before.
    pub ahead: Duration,
    /// From when API servers are told of the next to when it is used.
    pub overlap: Duration,
    /// Between two looks at what the cluster has.
    pub look: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            lifetime: 90 * day,
            ahead: 30 * day,
            overlap: Duration::from_secs(600),
            look: Duration::from_secs(30),
        }
    }
}

/// The certificate as it is now; none before the first is there: handshakes fail so long.
#[derive(Debug, Default)]
struct Shown(ArcSwapOption<CertifiedKey>);

impl Shown {
    fn show(&self, certificate: CertifiedKey) {
        self.0.store(Some(Arc::new(certificate)));
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// A webhook that answers for as long as this lives.
pub(crate) struct Answering {
    /// What it wants to know.
    inquiries: mpsc::Receiver<Inquiry>,
    certificate: ServerCertificate,
    shown: Arc<Shown>,
    _alive: oneshot::Sender<()>,
}

impl Answering {
    /// Looks after the certificate, on the runtime of the source; `leads` says whether this gateway holds the Lease.
    pub(crate) fn attend(&self, connection: &ApiConnection, leads: watch::Receiver<bool>) {
        let shown = self.shown.clone();
        match self.certificate.clone() {
            ServerCertificate::Files { certificate, key } => {
                tokio::spawn(files::follow(certificate, key, files::LOOK, shown));
            }
            ServerCertificate::Kept {
                service,
                configuration,
                rotation,
            } => {
                tokio::spawn(keep(KeeperTask {
                    connection: connection.clone(),
                    service,
                    configuration,
                    rotation,
                    shown,
                    leads,
                }));
            }
        }
    }

    /// What the webhook wants to know; never anything where there is none.
    pub(crate) async fn inquiry(answering: &mut Option<Self>) -> Inquiry {
        if let Some(answering) = answering
            && let Some(inquiry) = answering.inquiries.recv().await
        {
            return inquiry;
        }
        pending().await
    }
}

/// Starts to answer, on a thread of its own.
pub(crate) fn answer(admission: &Admission) -> io::Result<Answering> {
    let listener = health::bind(admission.address)?;
    let (ask, inquiries) = mpsc::channel(INQUIRIES);
    let (alive, ended) = oneshot::channel::<()>();
    let shown = Arc::new(Shown::default());
    let tls = tls(shown.clone()).map_err(io::Error::other)?;
    let reviewer = Arc::new(Reviewer::new(ask, admission.settings.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(reviewer::AT_ONCE)
        .build()?;
    let thread = move || {
        runtime.block_on(async {
            tokio::select! {
                () = server::serve(listener, tls, reviewer) => {}
                _ = ended => {}
            }
        });
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name("admission".to_owned())
        .spawn(thread)?;
    Ok(Answering {
        inquiries,
        certificate: admission.certificate.clone(),
        shown,
        _alive: alive,
    })
}

fn tls(shown: Arc<Shown>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}
