//! The control plane's process.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headgate_ring::message::{Certificate, PrivateKey};
use rcgen::{CertificateParams, KeyPair};
use zeroize::Zeroizing;

use crate::compile::{PortMaps, Settings};
use crate::follow::{Follower, Readiness};
use crate::model::address::is_unicast;
use crate::options::Options;
use crate::privileges;
use crate::publish::link::{Publisher, socket};
use crate::source::Source;
use crate::source::directory::{Directory, DirectoryError};

/// How often a control plane that does not serve yet says why.
const REMINDER: Duration = Duration::from_secs(30);

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The directory of manifests.
    #[error("--manifests: {0}")]
    Directory(#[from] DirectoryError),
    /// A source that is not known here.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
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
    /// Nothing more will come, and nobody has asked for that.
    #[error("the source of objects has ended")]
    SourceEnded,
    /// The self-signed certificate.
    #[error("cannot make the default certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Follows the directory of manifests and keeps the dataplane up to date; otherwise as [`run_source`].
///
/// # Errors
///
/// As there.
pub fn run_directory(options: Options) -> Result<(), RunError> {
    let manifests = options.manifests.clone();
    run_source(options, |_| match manifests {
        Some(manifests) => Ok(Directory::open(&manifests)?),
        None => Err(RunError::Flag {
            flag: "manifests",
            reason: "is missing".to_owned(),
        }),
    })
}

/// Follows what `open` gives, which is told of the settings that flags make, and keeps the dataplane up to date, until SIGTERM or SIGINT. Call it on the process's main
/// thread before others are started: it drops the capabilities of its thread.
///
/// # Errors
///
/// What makes it impossible to start. Once it runs, it goes on whatever happens to the objects and the dataplane.
pub fn run_source<S: Source + 'static>(
    options: Options,
    open: impl FnOnce(&Settings) -> Result<S, RunError>,
) -> Result<(), RunError> {
    let system = |what| move |source| RunError::System { what, source };
    privileges::drop_all().map_err(system("drop capabilities"))?;
    let (wake, woken) = channel();
    let (socket, strict, wait) = (
        socket(&options.run_dir),
        options.strict_manifests,
        options.wait_for_dataplane,
    );
    let settings = settings(options)?;
    let source = open(&settings)?;
    stop_on_signals(wake.clone(), wait).map_err(system("wait for signals"))?;
    drive(source, Follower::new(settings, strict), socket, (wake, woken))
}

/// What the process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// It was asked to end.
    Stop,
    /// It was asked to end once the dataplane has, and no later than in this time.
    Leave(Duration),
    /// There is no session with the dataplane any more: comes by [`drive`] itself, after [`Self::Leave`].
    Alone,
    /// The source has ended.
    SourceEnded,
}

/// Drives any source, on a thread of its own, until [`Wake::Stop`] comes; then it ends, whatever the source, the compiler
/// and the publisher are at. After [`Wake::Leave`] it goes on as long as the dataplane does.
///
/// # Errors
///
/// The kernel has no thread or descriptor left, or the source has ended by itself.
pub fn drive(
    mut source: impl Source + 'static,
    mut follower: Follower,
    socket: PathBuf,
    (wake, woken): (Sender<Wake>, Receiver<Wake>),
) -> Result<(), RunError> {
    let system = |source| RunError::System {
        what: "start a thread",
        source,
    };
    let publisher = Arc::new(Publisher::start(socket, source.feedback()).map_err(system)?);
    let (stop, leaving) = (source.stopper(), source.leaving());
    let (farewell, progress) = (source.farewell(), follower.progress());
    let (publishing, alone) = (publisher.clone(), wake.clone());
    let follow = move || {
        // Also where it panics.
        let _ended = OnDrop(wake);
        while let Some(batch) = source.next() {
            follower.take(batch, &publishing, now());
        }
    };
    std::thread::Builder::new()
        .name("follow".to_owned())
        .spawn(follow)
        .map_err(system)?;
    let leave = || {
        leaving();
        let alone = alone.clone();
        publisher.when_alone(move || {
            // Where nobody waits any more, the process ends.
            let _ = alone.send(Wake::Alone);
        });
    };
    let ended = wait_for_the_end(&woken, leave, || match progress.now() {
        Readiness::Serving => {}
        waits => tracing::warn!("{waits}"),
    });
    stop();
    publisher.stop();
    match ended {
        Wake::SourceEnded => return Err(RunError::SourceEnded),
        Wake::Alone => tracing::info!("stopping: the dataplane has ended"),
        Wake::Stop | Wake::Leave(_) => tracing::info!("stopping; the dataplane goes on with what it has"),
    }
    // It ends at once, or with the process.
    let end = Instant::now() + farewell;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if matches!(woken.recv_timeout(left), Ok(Wake::SourceEnded) | Err(_)) {
            break;
        }
    }
    Ok(())
}

/// Why it ends; calls `leave` where that is not to be at once, and `remind` now and then.
fn wait_for_the_end(woken: &Receiver<Wake>, leave: impl Fn(), remind: impl Fn()) -> Wake {
    let mut limit: Option<Instant> = None;
    loop {
        let left = limit.map_or(REMINDER, |limit| limit.saturating_duration_since(Instant::now()));
        match woken.recv_timeout(left.min(REMINDER)) {
            Ok(wake @ Wake::Leave(time)) if limit.is_none() && time.is_zero() => return wake,
            Ok(Wake::Leave(time)) if limit.is_none() => {
                tracing::info!("asked to end: going on until the dataplane has ended, for {time:?} at most");
                limit = Some(Instant::now() + time);
                leave();
            }
            // Whoever asks again has not forgotten the dataplane: it drains for as long as it was told to.
            Ok(Wake::Leave(_)) => {}
            Ok(wake) => return wake,
            Err(RecvTimeoutError::Disconnected) => return Wake::SourceEnded,
            Err(RecvTimeoutError::Timeout) if limit.is_some_and(|limit| limit <= Instant::now()) => {
                return Wake::Stop;
            }
            Err(RecvTimeoutError::Timeout) => remind(),
        }
    }
}

/// Says when the source's thread ends.
struct OnDrop(Sender<Wake>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        // Where nobody waits any more, the process ends.
        let _ = self.0.send(Wake::SourceEnded);
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
    // The unspecified address is that of all addresses of the host, which a dataplane without packets can serve.
    let unusable = |a: &&IpAddr| !(is_unicast(**a) || a.is_unspecified()) || a.to_canonical() != **a;
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
    let ingresses = options
        .ingresses
        .selection()
        .map_err(|reason| flag("ingress-class", reason))?;
    let load_balancers = options.services.load_balancers(options.loopback_endpoints);
    Ok(Settings {
        addresses: options.ingress_addresses,
        http_port: options.http_port,
        https_port: options.https_port,
        balancers: options.proxy_protocol_from,
        ingresses,
        ssl_redirect: options.ssl_redirect,
        default_certificate: options.default_certificate,
        fallback_certificate: Some(self_signed()?),
        loopback_endpoints: options.loopback_endpoints,
        default_backend: options.services.default_backend_service,
        port_maps: PortMaps {
            tcp: options.services.tcp_services_configmap,
            udp: options.services.udp_services_configmap,
        },
        load_balancers,
        reserved_ports: options.services.reserved_ports,
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

/// A thread that turns SIGTERM into [`Wake::Leave`], and SIGINT into [`Wake::Stop`].
fn stop_on_signals(sender: Sender<Wake>, wait: Duration) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let pass_on = move || {
        runtime.block_on(async {
            loop {
                let wake = tokio::select! {
                    _ = terminate.recv() => Wake::Leave(wait),
                    _ = interrupt.recv() => Wake::Stop,
                };
                // Where the process ends already there is nobody left to wake.
                if sender.send(wake).is_err() {
                    return;
                }
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(pass_on)?;
    Ok(())
}
