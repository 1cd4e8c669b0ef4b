//! Who does what: workers, stages, queues, frames.

use std::sync::Arc;

use headgate_xsk::{FRAME_CAPACITY, Umem};

use super::cores::{self, Cores};
use super::kernel_path::TapPath;
use super::ports::{self, OpenPort};
use crate::mirror::Device;
use crate::options::{Options, OwnershipChoice};
use crate::pipeline::PipelineConfig;
use crate::port::{Port, XdpPort};
use crate::start::{RunError, limits};
use crate::telemetry::flow_log::FlowLog;
use crate::worker::{KernelPath, StageThreadConfig, WorkerConfig};
use headgate_net::flow::{Ownership, SourcePorts, Termination, Timeouts};
use headgate_net::ids::{StageId, WorkerId};
use headgate_net::wire::ethernet::HEADER;

/// What follows from the flags and the machine.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) workers: u8,
    pub(super) frames: u32,
    pub(super) cores: Cores,
    pub(super) termination: Termination,
    ownership: Ownership,
    pub(super) source_ports: SourcePorts,
    pub(super) mtu: usize,
}

/// Makes the plan, or says which flag contradicts the machine.
pub(super) fn plan(options: &Options, devices: &[Device]) -> Result<Plan, RunError> {
    let queues: Vec<u32> = devices.iter().map(ports::queues).collect();
    let (fewest, port) = queues
        .iter()
        .zip(devices)
        .min_by_key(|(queues, _)| **queues)
        .expect("clap asks for a port");
    let cores = cores::share(options, &cores::usable(), (&port.name, *fewest))?;
    // There are at most 64 of each.
    let [workers, stages] = [cores.workers.len(), cores.stages.len()].map(|count| count.to_le_bytes()[0]);
    let termination = match stages {
        0 => Termination::Inline,
        stages => Termination::Apart(stages),
    };
    let all = queues.iter().sum::<u32>();
    let need = all.saturating_mul(options.ring_size).saturating_mul(2);
    let frames = options.frames_for(all as usize);
    if frames < need {
        return Err(RunError::Frames {
            wanted: frames,
            queues: all,
            need,
        });
    }
    let mtu = devices
        .iter()
        .map(|device| device.link.mtu as usize)
        .min()
        .unwrap_or(1500);
    Ok(Plan {
        workers,
        frames,
        cores,
        termination,
        ownership: ownership(options.ownership, devices),
        source_ports: SourcePorts::cut(
            options.source_ports.first,
            options.source_ports.last,
            workers,
            termination.stages(workers),
        )?
        // As long as the process.
        .with_addresses(Vec::leak(options.source_addresses.clone())),
        mtu: mtu.min(FRAME_CAPACITY - HEADER),
    })
}

/// A veth hands a flow's packets to the queue that its sender happens to use.
fn ownership(choice: OwnershipChoice, devices: &[Device]) -> Ownership {
    match choice {
        OwnershipChoice::Hash => Ownership::Hash,
        OwnershipChoice::Queue => Ownership::Queue,
        OwnershipChoice::Auto if devices.iter().any(|device| device.veth) => Ownership::Hash,
        OwnershipChoice::Auto => Ownership::Queue,
    }
}

/// The worker that serves a queue of any port.
pub(super) fn owner(queue: u32, workers: usize) -> u8 {
    // There are at most 64 workers.
    (queue as usize % workers.max(1)).to_le_bytes()[0]
}

/// What the threads are made of.
pub(super) struct Configs {
    pub(super) workers: Vec<WorkerConfig>,
    /// None where each worker has its own.
    pub(super) stages: Vec<StageThreadConfig>,
}

/// What follows for each thread from the flags and the plan.
pub(super) fn configs(
    options: &Options,
    plan: &Plan,
    ports: Vec<OpenPort>,
    umem: &'static Umem,
    kernel: &Arc<TapPath>,
    flow_log: &Arc<FlowLog>,
) -> Result<Configs, RunError> {
    let seed = [random()?, random()?];
    let config = |(id, ports): (u8, Vec<Box<dyn Port>>)| WorkerConfig {
        core: plan.cores.workers[usize::from(id)],
        ports,
        umem,
        pipeline: PipelineConfig {
            worker: WorkerId(id),
            workers: plan.workers,
            ownership: plan.ownership,
            termination: plan.termination,
            source_ports: plan.source_ports,
            flow_capacity: options.flow_capacity as usize,
            timeouts: timeouts(options),
            established: options.established_flows,
            flow_log: Arc::clone(flow_log),
            seed,
        },
        l7_buffer: options.l7_buffers as usize,
        l7_memory: options.l7_memory as usize,
        l7_limits: limits(options),
        l7_mtu: plan.mtu,
        kernel: Arc::clone(kernel) as Arc<dyn KernelPath>,
        idle: options.idle,
        neighbour_timeout: options.neighbour_timeout,
    };
    let stage = |(id, core): (u8, &usize)| StageThreadConfig {
        id: StageId(id),
        core: Some(*core),
        umem,
        source_ports: plan.source_ports,
        established: options.established_flows,
        flow_log: Arc::clone(flow_log),
        seed,
        buffer: options.l7_buffers as usize,
        memory: options.l7_memory as usize,
        limits: limits(options),
        mtu: plan.mtu,
        kernel: Arc::clone(kernel) as Arc<dyn KernelPath>,
        idle: options.idle,
        neighbour_timeout: options.neighbour_timeout,
    };
    Ok(Configs {
        stages: (0..).zip(&plan.cores.stages).map(stage).collect(),
        workers: (0..).zip(shares(ports, plan.workers)).map(config).collect(),
    })
}

/// Shares the ports' queues out by worker: queue `q` of every port goes to worker `q % workers`.
fn shares(ports: Vec<OpenPort>, workers: u8) -> Vec<Vec<Box<dyn Port>>> {
    let mut shares: Vec<Vec<Box<dyn Port>>> = (0..workers).map(|_| Vec::new()).collect();
    for port in ports {
        let mut queues: Vec<Vec<_>> = shares.iter().map(|_| Vec::new()).collect();
        for (number, queue) in port.queues {
            queues[usize::from(owner(number, shares.len()))].push(queue);
        }
        for (share, queues) in shares.iter_mut().zip(queues) {
            share.push(Box::new(XdpPort::new(queues)));
        }
    }
    shares
}

fn timeouts(options: &Options) -> Timeouts {
    Timeouts {
        tcp_established: options.tcp_timeout,
        udp_replied: options.udp_timeout,
        ..Timeouts::default()
    }
}

fn random() -> Result<u64, RunError> {
    getrandom::u64().map_err(|error| RunError::Runtime(std::io::Error::other(error)))
}
