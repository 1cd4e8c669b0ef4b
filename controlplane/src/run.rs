//! The control plane's process.

use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use headgate_ring::message::{Certificate, PrivateKey};
use rcgen::{CertificateParams, KeyPair};
use zeroize::Zeroizing;

use crate::compile::{Compiler, Settings};
use crate::model::address::is_unicast;
use crate::model::name::is_subdomain;
use crate::options::Options;
use crate::privileges;
use crate::problem::Reporter;
use crate::publish::link::{Publisher, socket};
use crate::source::directory::{Directory, DirectoryError, Event};
use crate::source::store::Store;

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The directory of manifests.
    #[error("--manifests: {0}")]
    Directory(#[from] DirectoryError),
    /// A flag.
    #[error("--{flag}: {reason}")]
    Flag {
        /// Its name.
        flag: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that every process may do was refused.
    #[error("cannot {what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The self-signed certificate.
    #[error("cannot make the default certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Follows the manifests and keeps the dataplane up to date, until SIGTERM or SIGINT. Call it on the process's main
/// thread before others are started: it drops the capabilities of its thread.
///
/// # Errors
///
/// What makes it impossible to start. Once it runs, it goes on whatever happens to the manifests and the dataplane.
pub fn run(options: Options) -> Result<(), RunError> {
    let system = |what| move |source| RunError::System { what, source };
    privileges::drop_all().map_err(system("drop capabilities"))?;
    let (manifests, socket) = (options.manifests.clone(), socket(&options.run_dir));
    let settings = settings(options)?;
    let (sender, events) = channel();
    let directory = Directory::open(&manifests, sender.clone(), events)?;
    stop_on_signals(sender).map_err(system("wait for signals"))?;
    let publisher = Publisher::start(socket).map_err(system("start a thread"))?;
    follow(directory, settings, &publisher);
    tracing::info!("stopping; the dataplane goes on with what it has");
    Ok(())
}

/// The loop: changes of files, the model, the state, the dataplane.
fn follow(mut directory: Directory, settings: Settings, publisher: &Publisher) {
    let mut store = Store::default();
    let mut compiler = Compiler::new(settings);
    let mut reporter = Reporter::default();
    while let Some(changes) = directory.changes() {
        let (start, files) = (Instant::now(), changes.len());
        let changed = store.update(changes);
        publisher.publish(compiler.update(store.model(), &changed, now()));
        tracing::debug!(
            "{files} files changed, {} objects with it, compiled in {:.1?}",
            changed.len(),
            start.elapsed()
        );
        let mut all = store.problems();
        all.extend(compiler.problems().into_iter().map(|mut problem| {
            problem.origin = problem.object.as_ref().and_then(|id| store.origin(id));
            problem
        }));
        reporter.update(all).log();
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64)
}

fn settings(options: Options) -> Result<Settings, RunError> {
    let flag = |flag, reason: String| RunError::Flag { flag, reason };
    if options.ingress_addresses.is_empty() {
        tracing::info!("no --ingress-address is given: Ingresses are not served");
    }
    let unusable = |a: &&IpAddr| !is_unicast(**a) || a.to_canonical() != **a;
    if let Some(address) = options.ingress_addresses.iter().find(unusable) {
        let reason = format!("{address} is not an address that clients can connect to");
        return Err(flag("ingress-address", reason));
    }
    if options.http_port == options.https_port && options.http_port != 0 {
        return Err(flag(
            "https-port",
            format!("{} is the port of HTTP", options.https_port),
        ));
    }
    if !is_subdomain(&options.ingress_class) {
        return Err(flag(
            "ingress-class",
            format!("\"{}\" is not an IngressClass's name", options.ingress_class),
        ));
    }
    Ok(Settings {
        addresses: options.ingress_addresses,
        http_port: options.http_port,
        https_port: options.https_port,
        class: options.ingress_class,
        default_certificate: options.default_certificate,
        fallback_certificate: Some(self_signed()?),
    })
}

/// A certificate that nobody trusts, so that a client of an unknown host gets an answer and not a failed handshake.
fn self_signed() -> Result<Certificate, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["headgate.invalid".to_owned()])?;
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Headgate default certificate");
    let certificate = params.self_signed(&key)?;
    Ok(Certificate {
        // No Secret can have this name: the namespace is empty.
        name: "/self-signed".to_owned(),
        hosts: vec![String::new()],
        chain: vec![certificate.der().to_vec()],
        key: PrivateKey(Zeroizing::new(key.serialize_der())),
    })
}

/// A thread that turns the first SIGTERM or SIGINT into [`Event::Stop`].
fn stop_on_signals(sender: Sender<Event>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let wait = move || {
        runtime.block_on(async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        });
        // When the source has ended already there is nobody left to tell.
        let _ = sender.send(Event::Stop);
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)?;
    Ok(())
}
