//! The server, as tests hold it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::access::{Authority, Rule, User};
use crate::faults::Faults;
use crate::journal::Journal;
use crate::kubeconfig::{Credentials, kubeconfig};
use crate::server::{Command, reserve, serve};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::store::Store;

/// The token of the user who may do everything.
const ADMIN_TOKEN: &str = "admin-token";

/// A server that runs, on a thread of its own, until it is dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    authority: Authority,
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
    /// Holds the port while connections are refused.
    _reserved: TcpSocket,
}

impl ApiServer {
    /// Starts a server: its namespaces are there, and it answers when this returns. Where the calling thread is in a network
    /// namespace, the server is in it, too.
    ///
    /// # Errors
    ///
    /// When the address cannot be had, or no certificate made.
    pub fn start(settings: Settings) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("making a runtime")?;
        let (reserved, address) = {
            let _inside = runtime.enter();
            reserve(SocketAddr::new(settings.address, settings.port))?
        };
        let authority = Authority::new()?;
        let tls = tls(&authority, &settings)?;
        let shared = Arc::new(Shared::new(settings));
        shared.users.grant(ADMIN_TOKEN, User::admin(), None);
        let (commands, inbox) = unbounded_channel();
        let served = serve(Arc::clone(&shared), address, tls, inbox);
        let thread = std::thread::Builder::new()
            .name("apiserver".into())
            .spawn(move || runtime.block_on(served));
        let thread = Some(thread.context("starting a thread")?);
        let server = ApiServer {
            shared,
            address,
            authority,
            commands: Some(commands),
            thread,
            _reserved: reserved,
        };
        for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            server
                .store()
                .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))?;
        }
        server.tell(Command::Listen)?;
        Ok(server)
    }

    /// "https://127.0.0.1:PORT".
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its authority, as PEM.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// A kubeconfig of the user who may do everything.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_with(ADMIN_TOKEN)
    }

    /// A kubeconfig with a bearer token.
    pub fn kubeconfig_with(&self, token: &str) -> String {
        kubeconfig(&self.url(), &self.ca_pem(), &Credentials::Token(token))
    }

    /// A kubeconfig with a certificate that names a user and its groups.
    ///
    /// # Errors
    ///
    /// When no certificate can be made.
    pub fn kubeconfig_with_certificate(&self, user: &User) -> Result<String> {
        let groups: Vec<String> = user
            .groups
            .iter()
            .filter(|group| *group != "system:authenticated")
            .cloned()
            .collect();
        let issued = self.authority.client(&user.name, &groups)?;
        let credentials = Credentials::Certificate {
            certificate: &issued.certificate,
            key: &issued.key,
        };
        Ok(kubeconfig(&self.url(), &self.ca_pem(), &credentials))
    }

    /// Lets a token stand for a user, for a time or for good.
    pub fn grant(&self, token: &str, user: User, lifetime: Option<Duration>) {
        self.shared.users.grant(token, user, lifetime);
    }

    /// Lets a token stand for nobody any more.
    pub fn revoke(&self, token: &str) {
        self.shared.users.revoke(token);
    }

    /// Refuses what a rule names, with 403, whatever roles say.
    pub fn deny(&self, rule: Rule) {
        self.shared.denials.add(rule);
    }

    /// Takes all such refusals back.
    pub fn allow_again(&self) {
        self.shared.denials.clear();
    }

    /// Tells where the Service of an admission webhook is.
    pub fn webhook_service(&self, namespace: &str, name: &str, address: SocketAddr) {
        self.shared.services.add(namespace, name, address);
    }

    /// The objects.
    pub fn store(&self) -> Store {
        Store::new(Arc::clone(&self.shared))
    }

    /// Faults to switch on and off.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// What was asked.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Ends all watches, as a server does at their time.
    pub fn close_watches(&self) {
        self.shared.watches_closed.send_modify(|n| *n += 1);
    }

    /// Ends all connections at once, without a word.
    pub fn drop_connections(&self) {
        let _ = self.tell(Command::Drop);
    }

    /// Refuses new connections; those that there are live on. The port stays its own.
    pub fn refuse_connections(&self) {
        let _ = self.tell(Command::Refuse);
    }

    /// Takes connections again.
    ///
    /// # Errors
    ///
    /// When the port cannot be had.
    pub fn accept_connections(&self) -> Result<()> {
        self.tell(Command::Listen)
    }

    /// Stands still as a stopped process does, until the guard is dropped: connections are taken by the kernel, and nothing is
    /// answered, neither to TLS nor to HTTP.
    ///
    /// # Errors
    ///
    /// When the server has ended.
    pub fn freeze(&self) -> Result<Frozen> {
        let (guard, thawed) = mpsc::channel();
        self.tell(|done| Command::Freeze(done, thawed))?;
        Ok(Frozen { _guard: guard })
    }

    /// Goes away as a server does that is told to: no new connections, watches end, the other requests are answered first, and
    /// connections of HTTP/2 are told (GOAWAY). Returns when all are gone, at the latest after a minute.
    pub fn shut_down(&self) {
        let _ = self.tell(Command::Drain);
    }

    /// Goes away as a killed server does: connections end, new ones are refused. The objects stay.
    pub fn stop(&self) {
        self.refuse_connections();
        self.drop_connections();
    }

    /// Goes away and comes back, at the same port with the same objects.
    ///
    /// # Errors
    ///
    /// When the port cannot be had.
    pub fn restart(&self) -> Result<()> {
        self.stop();
        self.accept_connections()
    }

    /// Replaces authority and certificate: who trusts the old one alone cannot connect any more. Connections live on.
    ///
    /// # Errors
    ///
    /// When no certificate can be made.
    pub fn rotate_authority(&mut self) -> Result<()> {
        let authority = Authority::new()?;
        let tls = tls(&authority, &self.shared.settings)?;
        self.authority = authority;
        self.tell(|done| Command::Certificate(tls, done))
    }

    fn tell(&self, command: impl FnOnce(mpsc::Sender<io::Result<()>>) -> Command) -> Result<()> {
        let (done, answer) = mpsc::channel();
        let commands = self.commands.as_ref().context("the server has ended")?;
        commands
            .send(command(done))
            .map_err(|_| anyhow!("the server has ended"))?;
        answer
            .recv()
            .context("the server has ended")?
            .context("listening")
    }
}

/// A server that stands still while this lives.
#[derive(Debug)]
pub struct Frozen {
    _guard: mpsc::Sender<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.commands = None;
        self.shared.faults.clear();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// TLS with the server's certificate, certificates of clients, and both versions of HTTP.
fn tls(authority: &Authority, settings: &Settings) -> Result<Arc<ServerConfig>> {
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default.svc",
        "127.0.0.1",
        "::1",
    ]
    .map(str::to_owned);
    let hosts: Vec<String> = names
        .into_iter()
        .chain([settings.address.to_string()])
        .chain(settings.names.iter().cloned())
        .collect();
    let issued = authority.server(&hosts)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .context("trusting clients")?;
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?;
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}
