//! Decisions on new connections: Headgate's tables next to nftables, DPDK's ACL library and a linear list, on the same
//! clusters and connections; and what a change of the cluster costs.
//!
//! Every verdict of the others is compared with Headgate's; one that differs fails the bench.
#![allow(clippy::print_stdout, reason = "printing is what a bench is for")]

mod changes;
mod cluster;
mod comparison;
mod contender;
mod dpdk;
mod expand;
mod footprint;
mod linear;
mod live;
mod lookups;
mod nft;
mod random;
#[cfg(test)]
mod tests;
mod updates;

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result, ensure};

use self::{
    cluster::{BIG, Cluster, SMALL, Scale},
    comparison::Comparison,
    dpdk::Program,
};
use crate::bed::GATEWAY_CORE;

/// Between the two: about as much of the big cluster as DPDK's ACL library takes when it is told the rules as 5-tuples.
const PART: Scale = Scale {
    pods: BIG.pods / 50,
    policies: BIG.policies / 50,
    cidrs: BIG.cidrs / 50,
};

/// Options of the policy measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PolicyOptions {
    /// Rounds of each way to decide, interleaved
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Changes of each kind to the big cluster
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Measure these clusters only
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Size::Small, Size::Part, Size::Big])]
    clusters: Vec<Size>,
    /// Leave these out
    #[arg(long, value_enum, value_delimiter = ',')]
    without: Vec<Peer>,
    /// Megabytes of memory that DPDK's ACL library may take for building
    #[arg(long, default_value_t = 13_000)]
    acl_megabytes: u64,
    /// Seconds that it may take
    #[arg(long, default_value_t = 300)]
    acl_seconds: u64,
    /// This process has a network namespace of its own
    #[arg(long, hide = true)]
    in_namespace: bool,
    /// Compile the big cluster, print what it takes, and end
    #[arg(long, hide = true)]
    footprint: Option<footprint::Family>,
}

/// Which cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Size {
    /// 10 policies
    Small,
    /// 200 policies
    Part,
    /// 10,000 policies; and how it is compiled and changed
    Big,
}

impl Size {
    fn scale(self) -> Scale {
        match self {
            Self::Small => SMALL,
            Self::Part => PART,
            Self::Big => BIG,
        }
    }
}

/// What Headgate is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    /// nftables sets, in the kernel
    Nftables,
    /// DPDK's ACL library
    Dpdk,
    /// Every policy, one after another
    Linear,
}

/// Measures, and prints tables.
///
/// # Errors
///
/// When one of the others does not say what Headgate says, or something does not run that should.
pub(crate) fn run(options: &PolicyOptions) -> Result<()> {
    if let Some(family) = options.footprint {
        return footprint::print(family);
    }
    if !options.in_namespace && rustix::process::geteuid().is_root() {
        return Err(enter_namespace()).context("unshare: install the package util-linux");
    }
    let core = core_affinity::CoreId { id: GATEWAY_CORE };
    ensure!(
        core_affinity::set_for_current(core),
        "cannot run on core {GATEWAY_CORE}"
    );
    let program = options.has(Peer::Dpdk).then(Program::build);
    let program = program.and_then(|program| program.map_err(|e| left_out("DPDK ACL", &e)).ok());
    for size in &options.clusters {
        for v6 in [false, true] {
            Comparison::new(size.scale(), v6)?.run(options, program.as_ref())?;
        }
    }
    if options.clusters.contains(&Size::Big) {
        footprint::report()?;
        for v6 in [false, true] {
            updates::report(Cluster::new(BIG, v6), options.changes)?;
        }
    }
    Ok(())
}

impl PolicyOptions {
    fn has(&self, peer: Peer) -> bool {
        !self.without.contains(&peer)
    }
}

/// Goes on as the same program in a network namespace of its own, where nftables harms nobody. Comes back only when
/// that fails.
fn enter_namespace() -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut command = Command::new("unshare");
    command
        .arg("--net")
        .arg(program)
        .args(std::env::args_os().skip(1));
    command.arg("--in-namespace").exec()
}

fn left_out(what: &str, reason: &anyhow::Error) {
    println!("{what}: left out: {reason:#}\n");
}
