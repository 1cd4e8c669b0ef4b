//! A dataplane in this process: a worker without ports, the control plane's end of the ring, and nothing between them
//! but what is there in earnest.

use std::{
    io,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use headgate_dataplane::telemetry::flow_log::FlowLog;
use headgate_dataplane::{
    config::Tables,
    control::{Applier, Control},
    options::{EstablishedFlows, Idle, PortRange},
    pipeline::PipelineConfig,
    steering::Steerer,
    worker::{self, KernelPath, Limits, Shared, WorkerConfig},
};
use headgate_net::{
    clock::Clock,
    flow::{Ownership, SourcePorts, Termination, Timeouts},
    ids::WorkerId,
};
use headgate_ring::{ControlSession, Operation, Transaction, message::ToControl};
use headgate_xsk::Umem;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::bed::CLIENT_CORE;

/// How long a transaction may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running dataplane; ends when dropped.
pub(super) struct Live {
    session: ControlSession,
    control: Option<Control>,
    worker: Option<JoinHandle<io::Result<()>>>,
    shared: Arc<Shared>,
    generation: u64,
    _directory: TempDir,
}

/// There is no host to send to.
struct Nowhere;

impl KernelPath for Nowhere {
    fn send(&self, _frame: &mut [u8]) -> bool {
        true
    }
}

impl Live {
    /// Starts one, its worker on the other core.
    ///
    /// # Errors
    ///
    /// When there is no thread or descriptor to be had.
    pub(super) fn start() -> Result<Self> {
        let directory = TempDir::new()?;
        let socket = directory.path().join("control.sock");
        let (wanted, _) = mpsc::channel(1);
        let shared = Arc::new(Shared::new(1, wanted)?);
        let worker = worker::start(config()?, Arc::clone(&shared), Clock::start())?;
        let source_ports = PortRange {
            first: 61_000,
            last: 65_535,
        };
        let steerer = Arc::new(Mutex::new(Steerer::new(Vec::new(), source_ports)));
        let applier = Applier::new(Arc::clone(&shared), steerer, Box::new(|_| {}));
        let control = Control::start(&socket, applier)?;
        Ok(Self {
            session: headgate_ring::connect(&socket)?,
            control: Some(control),
            worker: Some(worker),
            shared,
            generation: 0,
            _directory: directory,
        })
    }

    /// Sends a transaction; returns how long it took until the acknowledgement, which means that every worker works by
    /// the new tables.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub(super) fn publish(&mut self, full: bool, operations: Vec<Operation>) -> Result<Duration> {
        self.generation += 1;
        let transaction = Transaction {
            generation: self.generation,
            full,
            operations,
        };
        let start = Instant::now();
        self.session.send_transaction(&transaction, Some(PATIENCE))?;
        match self
            .session
            .receive(Some(PATIENCE))?
            .context("no acknowledgement")?
        {
            ToControl::Ack { .. } => Ok(start.elapsed()),
            ToControl::Nack { reason, .. } => bail!("the dataplane refuses the cluster: {reason}"),
        }
    }

    /// What the worker works by.
    pub(super) fn tables(&self) -> Arc<Tables> {
        self.shared.tables.load_full()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.control = None;
        self.shared.stop();
        if let Some(worker) = self.worker.take() {
            // A worker that failed has said so at the last publication.
            let _ = worker.join();
        }
    }
}

fn config() -> Result<WorkerConfig> {
    Ok(WorkerConfig {
        core: Some(CLIENT_CORE),
        ports: Vec::new(),
        umem: Umem::heap(64),
        pipeline: PipelineConfig {
            worker: WorkerId(0),
            workers: 1,
            ownership: Ownership::Hash,
            termination: Termination::Inline,
            source_ports: SourcePorts::new(61_000, 65_535, 1).context("a wide range")?,
            flow_capacity: 1_024,
            timeouts: Timeouts::default(),
            seed: [7, 11],
            established: EstablishedFlows::default(),
            flow_log: Arc::new(FlowLog::off()),
        },
        l7_buffer: 65_536,
        l7_memory: 16 << 20,
        l7_limits: Limits::default(),
        l7_mtu: 1_500,
        kernel: Arc::new(Nowhere),
        idle: Idle::Sleep,
        neighbour_timeout: Duration::from_secs(1),
    })
}
