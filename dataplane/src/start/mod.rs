//! Start and stop: what `headgate dataplane` does.
//!
//! Everything that is changed on the machine is put back by the drop of the value that changed it, so that an error half
//! way through the start leaves as little behind as a regular end. What cannot be put back because the process is
//! killed, the kernel removes itself (XDP programs, the TAP device) or the next start does (sockets, the lock).

mod drain;
mod error;
mod kernel;
#[cfg(target_os = "linux")]
mod packets;
#[cfg(not(target_os = "linux"))]
#[path = "no_packets.rs"]
mod packets;
mod report;

/// Timeouts and limits of HTTP.
fn limits(options: &Options) -> Limits {
    Limits {
        rate: u64::from(options.l7_min_rate),
        ..Limits::default()
    }
}

#[cfg(test)]
pub(crate) mod testing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use headgate_l7::Limits;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use drain::{Ask, Asks};
pub use error::RunError;

use crate::control::Control;
use crate::host::RunDir;
use crate::options::Options;
use crate::telemetry;
use crate::telemetry::flow_log::{self, FlowLog, Settings};
use crate::telemetry::metrics::{Detail, MetricsServer};
use crate::worker::Shared;
use headgate_net::clock::Clock;

/// How often the threads are looked after.
const CARE: Duration = Duration::from_millis(500);

/// Runs the dataplane until SIGTERM or SIGINT, and then until what is under way has ended or `--drain-time` is over; or until
/// SIGQUIT.
///
/// # Errors
/// When it cannot start, with what to do about it; or when one of its threads ends, which only a fault of this program
/// makes it do.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the process is the dataplane from here on: nobody needs them back"
)]
pub fn run(options: Options) -> Result<(), RunError> {
    // Tables are replaced with each change.
    headgate_memory::keep_large_apart();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(async {
        // Installed first: a signal that comes while starting ends in order, too.
        let mut signals = Signals::install().map_err(RunError::Runtime)?;
        let (ask, mut asks) = mpsc::unbounded_channel();
        tokio::spawn(async move { while ask.send(signals.next().await).is_ok() {} });
        run_until(&options, &mut asks).await
    })
}

/// Runs until the end is asked for and has come, and leaves the machine as it was. Where nobody is left to ask, it comes at
/// once.
async fn run_until(options: &Options, asks: &mut Asks) -> Result<(), RunError> {
    if options.drain_delay > options.drain_time {
        return Err(RunError::Drain {
            delay: options.drain_delay,
            time: options.drain_time,
        });
    }
    if options.on_sockets() {
        kernel::run_until(options, asks).await
    } else {
        packets::run_until(options, asks).await
    }
}

/// What ends the process in order.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Ask {
        tokio::select! {
            _ = self.terminate.recv() => Ask::Terminate,
            _ = self.interrupt.recv() => Ask::Interrupt,
            _ = self.quit.recv() => Ask::Quit,
        }
    }
}

/// Returns when a thread has ended that should not.
async fn thread_that_ended(threads: &[JoinHandle<std::io::Result<()>>], control: &Control) -> RunError {
    let mut care = tokio::time::interval(CARE);
    loop {
        care.tick().await;
        if let Some(thread) = threads.iter().find(|thread| thread.is_finished()) {
            return RunError::Ended(name(thread));
        }
        if control.has_ended() {
            return RunError::Ended("the control thread".into());
        }
    }
}

/// Waits for threads that were told to stop, and removes the sockets.
fn end(threads: &mut Vec<JoinHandle<std::io::Result<()>>>, run_dir: &RunDir) {
    for thread in threads.drain(..) {
        let name = name(&thread);
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("{name} had ended: {error}"),
            Err(_) => tracing::error!("{name} had panicked"),
        }
    }
    for socket in ["status.sock", "flows.sock"] {
        if let Err(error) = run_dir.clear(socket) {
            tracing::warn!("{error}");
        }
    }
}

/// As tools that list threads show it.
fn name<T>(thread: &JoinHandle<T>) -> String {
    format!("thread {}", thread.thread().name().unwrap_or("without a name"))
}

/// On the status socket, and as metrics where they are asked for.
fn serve_status(
    options: &Options,
    run_dir: &RunDir,
    answers: Arc<impl telemetry::Answers>,
) -> Result<(telemetry::Server, Option<MetricsServer>), RunError> {
    let path = run_dir.clear("status.sock")?;
    let server = telemetry::Server::start(&path, Arc::clone(&answers));
    let server = server.map_err(|error| RunError::Status { path, error })?;
    let metrics = options
        .metrics
        .map(|address| start_metrics(address, answers, options.metrics_without.clone()));
    Ok((server, metrics.transpose()?))
}

fn start_metrics(
    address: SocketAddr,
    answers: Arc<impl telemetry::Answers>,
    without: Vec<Detail>,
) -> Result<MetricsServer, RunError> {
    let server = MetricsServer::start(address, answers, without);
    let server = server.map_err(|error| RunError::Metrics { address, error })?;
    tracing::info!("metrics at http://{}/metrics", server.address());
    Ok(server)
}

/// The log that workers write to, by the flags.
fn flow_log(options: &Options, workers: u8, stages: u8) -> FlowLog {
    let settings = Settings {
        recorded: options.flow_log_verdicts.into(),
        sample: options.flow_log_sample,
        rate: options.flow_log_rate,
    };
    FlowLog::with_stages(settings, workers, stages)
}

fn start_flow_log(
    options: &Options,
    log: Arc<FlowLog>,
    shared: &Arc<Shared>,
    clock: Clock,
    run_dir: &RunDir,
) -> Result<flow_log::FlowLogService, RunError> {
    let seen = Arc::clone(shared);
    let sources = flow_log::Sources {
        tables: Arc::clone(&shared.tables),
        all_see: Box::new(move |publication| seen.all_see(publication)),
        clock,
    };
    let socket = run_dir.clear("flows.sock")?;
    Ok(flow_log::FlowLogService::start(
        log,
        sources,
        &socket,
        options.flow_log.clone(),
    )?)
}
