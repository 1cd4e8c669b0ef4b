//! What is to be told of a dataplane on packets.

use std::sync::{Arc, Mutex, PoisonError};

use headgate_xsk::{Probe, Umem};

use super::cores::Cores;
use super::kernel_path::TapPath;
use super::ports::OpenPort;
use super::routes::Watched;
use crate::start::report::Reports;
use crate::steering::Steerer;
use crate::telemetry::{
    FlowList, FlowQuery, FrameStatus, HeldFrames, LinkState, PortStatus, QueueStatus, StageStatus, Status,
    WorkerStatus,
};
use crate::worker::{Shared, StageHandle};
use headgate_net::record::{QueueCount, Snapshot, WorkerRecord};

/// Reads what all of them have written down.
pub(super) struct Reporter {
    shared: Arc<Shared>,
    steerer: Arc<Mutex<Steerer>>,
    umem: &'static Umem,
    kernel_path: Arc<TapPath>,
    watched: Arc<Mutex<Watched>>,
    ports: Vec<PortStatus>,
    queues: Vec<WatchedQueue>,
    cores: Cores,
}

/// An AF_XDP socket of a worker's.
struct WatchedQueue {
    port: u8,
    number: u32,
    worker: u8,
    probe: Probe,
}

impl Reporter {
    pub(super) fn new(
        shared: &Arc<Shared>,
        steerer: &Arc<Mutex<Steerer>>,
        umem: &'static Umem,
        kernel_path: &Arc<TapPath>,
        ports: &[OpenPort],
        cores: Cores,
    ) -> std::io::Result<Self> {
        let port = |port: &OpenPort| PortStatus {
            name: port.name.clone(),
            mode: port.mode.to_string(),
            ..PortStatus::default()
        };
        let mut queues = Vec::new();
        for (port, open) in (0..).zip(ports) {
            for (number, queue) in &open.queues {
                queues.push(WatchedQueue {
                    port,
                    number: *number,
                    worker: super::workers::owner(*number, shared.peers.len()),
                    probe: queue.probe()?,
                });
            }
        }
        Ok(Self {
            shared: Arc::clone(shared),
            steerer: Arc::clone(steerer),
            umem,
            kernel_path: Arc::clone(kernel_path),
            watched: Arc::default(),
            ports: ports.iter().map(port).collect(),
            queues,
            cores,
        })
    }

    /// Where the keeper of routes tells how it fares.
    pub(super) fn watched(&self) -> Arc<Mutex<Watched>> {
        Arc::clone(&self.watched)
    }

    fn workers(&self) -> Vec<WorkerStatus> {
        let workers = (0..).zip(&self.shared.records).zip(&self.cores.workers);
        workers
            .map(|((number, record), core)| self.worker(number, record, *core))
            .collect()
    }

    fn stages(&self) -> Vec<StageStatus> {
        let stages = self.shared.stages.iter().zip(&self.cores.stages);
        let stage = |(handle, core): (&StageHandle, &usize)| {
            let status = StageStatus::of(self.shared.stage_record(handle.id));
            StageStatus {
                stage: handle.id.0,
                core: Some(*core),
                held: HeldFrames {
                    inbox: handle.waiting(),
                    ..status.held
                },
                ..status
            }
        };
        stages.map(stage).collect()
    }

    fn worker(&self, number: u8, record: &WorkerRecord, core: Option<usize>) -> WorkerStatus {
        let status = WorkerStatus::of(record);
        let queues = self.queues.iter().filter(|queue| queue.worker == number);
        WorkerStatus {
            worker: number,
            core,
            held: HeldFrames {
                inbox: self.shared.peers[usize::from(number)].waiting(),
                ..status.held
            },
            queues: queues.map(WatchedQueue::status).collect(),
            ..status
        }
    }

    fn add_links(&self, status: &mut Status) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        status.routes = watched.routes;
        for (port, link) in status.ports.iter_mut().zip(&watched.links) {
            port.link = *link;
        }
    }

    fn add_steering(&self, status: &mut Status) {
        let steerer = self.steerer.lock().unwrap_or_else(PoisonError::into_inner);
        status.owned_addresses = steerer.owned().collect();
        for (port, counts) in status.ports.iter_mut().zip(steerer.counts()) {
            port.steering = counts;
        }
    }
}

impl Reports for Reporter {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn report(&self, status: &mut Status) {
        status.ports.clone_from(&self.ports);
        status.frames = FrameStatus {
            total: self.umem.frames(),
            free: self.umem.free_frames(),
            kernel: self.umem.kernel_frames(),
            ..FrameStatus::default()
        };
        status.kernel_path = self.kernel_path.status();
        self.add_links(status);
        self.add_steering(status);
        status.stages = self.stages();
        status.set_workers(self.workers());
    }

    /// Packets can pass every interface.
    fn ready(&self) -> Result<(), String> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = self.ports.iter().zip(&watched.links);
        let mut down = ports.filter(|(_, link)| **link != LinkState::Up);
        match down.next() {
            Some((port, link)) => Err(format!("port {} is {link}", port.name)),
            None => Ok(()),
        }
    }

    fn flows(&self, query: &FlowQuery) -> Result<FlowList, String> {
        let tables = self.shared.tables.load_full();
        Ok(FlowList::pick(&tables.services, query, |patience, each| {
            self.shared.each_flow(patience, each)
        }))
    }
}

impl WatchedQueue {
    fn status(&self) -> QueueStatus {
        let own = self.probe.statistics().unwrap_or_default();
        let kernel = own.kernel;
        let counts = Snapshot::of(|count| match count {
            QueueCount::Received => own.received,
            QueueCount::Transmitted => own.transmitted,
            QueueCount::Completed => own.completed,
            QueueCount::Kicks => own.kicks,
            QueueCount::KicksBusy => own.busy,
            QueueCount::KicksAgain => own.again,
            QueueCount::KicksNoBuffers => own.no_buffers,
            QueueCount::KickErrors => own.kick_errors,
            QueueCount::BadDescriptors => own.bad_descriptors,
            QueueCount::Oversized => own.oversized,
            QueueCount::Foreign => own.foreign,
            QueueCount::Filling => own.filling,
            QueueCount::Sending => own.sending,
            QueueCount::KernelRxDropped => kernel.rx_dropped,
            QueueCount::KernelRxInvalidDescriptors => kernel.rx_invalid_descriptors,
            QueueCount::KernelTxInvalidDescriptors => kernel.tx_invalid_descriptors,
            QueueCount::KernelRxRingFull => kernel.rx_ring_full,
            QueueCount::KernelFillRingEmpty => kernel.fill_ring_empty,
            QueueCount::KernelTxRingEmpty => kernel.tx_ring_empty,
        });
        QueueStatus {
            port: self.port,
            queue: self.number,
            worker: self.worker,
            zero_copy: self.probe.zero_copy(),
            counts,
        }
    }
}
