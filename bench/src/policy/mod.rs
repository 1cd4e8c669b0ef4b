//! Decisions on new connections: Headgate's tables next to nftables, DPDK's ACL library and a linear list, on the same
//! clusters and connections; and what a change of the cluster costs.
//!
//! Every verdict of the others is compared with Headgate's; one that differs fails the bench.
#![allow(clippy::print_stdout, reason = "printing is what a bench is for")]

mod changes;
mod cluster;
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
    cluster::{BIG, Cluster, RULES, SMALL, Scale},
    contender::{BUSY, Contender, FLOOD, Pattern, Question},
    dpdk::{Limits, Program, Rules},
    expand::Expansion,
    linear::Linear,
    live::Live,
    lookups::{Headgate, List},
    nft::Nftables,
};
use crate::{
    bed::GATEWAY_CORE,
    report::{Row, table},
};

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
    /// Measure the small cluster only
    #[arg(long)]
    small: bool,
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
    let scales = [SMALL, PART, BIG];
    let scales = if options.small { &scales[..1] } else { &scales[..] };
    for scale in scales {
        for v6 in [false, true] {
            Comparison::new(*scale, v6)?.run(options, program.as_ref())?;
        }
    }
    if options.small {
        return Ok(());
    }
    footprint::report()?;
    for v6 in [false, true] {
        updates::report(Cluster::new(BIG, v6), options.changes)?;
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

/// One cluster, everybody's answers.
struct Comparison {
    scale: Scale,
    question: Question,
    expansion: Expansion,
    live: Live,
}

impl Comparison {
    fn new(scale: Scale, v6: bool) -> Result<Self> {
        let cluster = Cluster::new(scale, v6);
        let mut live = Live::start()?;
        live.publish(true, cluster.operations())?;
        let tables = live.tables();
        let connections = cluster.connections(FLOOD);
        let allowed = connections.iter().map(|c| {
            let decision = tables.policy.decide(c.src, c.dst, c.protocol, c.dst_port);
            decision.is_allowed()
        });
        Ok(Self {
            scale,
            expansion: Expansion::new(&cluster),
            question: Question {
                allowed: allowed.collect(),
                cluster,
                connections,
            },
            live,
        })
    }

    fn run(&self, options: &PolicyOptions, program: Option<&Program>) -> Result<()> {
        let title = self.title();
        println!("### {title}\n\n{}\n", self.size());
        let list = self.check_list()?;
        let tables = self.live.tables();
        let mut contenders: Vec<Box<dyn Contender + '_>> = vec![Box::new(Headgate(&tables.policy))];
        if options.has(Peer::Nftables) {
            contenders.extend(self.nftables()?);
        }
        if options.has(Peer::Linear) {
            contenders.push(Box::new(List(list)));
        }
        if let Some(program) = program {
            let limits = Limits {
                megabytes: options.acl_megabytes,
                seconds: options.acl_seconds,
            };
            for rules in [Rules::Guard, Rules::Tuple] {
                contenders.extend(self.acl(program, rules, limits));
            }
        }
        let [busy, flood] = self.measure(&mut contenders, options.rounds)?;
        let rounds = format!(
            "median of {} interleaved rounds on core {GATEWAY_CORE}",
            options.rounds
        );
        table(
            &format!("{BUSY} connections repeated in order, nanoseconds each, {rounds}"),
            &busy,
        );
        table(
            &format!("{FLOOD} random connections, nanoseconds each, {rounds}"),
            &flood,
        );
        Ok(())
    }

    fn title(&self) -> String {
        let Scale {
            pods,
            policies,
            cidrs,
        } = self.scale;
        let family = if self.expansion.v6 { "IPv6" } else { "IPv4" };
        format!(
            "{family}: {policies} policies, {} rules, {pods} pods, {cidrs} CIDRs",
            policies * RULES
        )
    }

    /// What the peers are told, and what becomes of the connections.
    fn size(&self) -> String {
        let allowed = self.question.allowed.iter().filter(|allowed| **allowed).count();
        let Expansion { egress, ingress, .. } = &self.expansion;
        let isolated = self
            .question
            .connections
            .iter()
            .filter(|c| ingress.pods.contains_key(&c.dst) || egress.pods.contains_key(&c.src));
        format!(
            "{} peers; without groups and overlaps, {} rules of {} kinds of pods. Of {FLOOD} connections {} have an end \
             that a policy guards; {allowed} are allowed.",
            self.question.cluster.peers(),
            self.expansion.rules(),
            egress.guards.len() + ingress.guards.len(),
            isolated.count(),
        )
    }

    /// The list answers all connections once, from the messages alone.
    fn check_list(&self) -> Result<Linear> {
        let list = Linear::new(&self.question.cluster);
        let answers = self.question.connections.iter().zip(&self.question.allowed);
        let wrong = answers
            .filter(|(c, allowed)| list.allows(**c) != **allowed)
            .count();
        ensure!(
            wrong == 0,
            "{wrong} of {FLOOD} verdicts of the linear list differ from Headgate's"
        );
        Ok(list)
    }

    fn nftables(&self) -> Result<Option<Box<dyn Contender + '_>>> {
        match Nftables::load(&self.expansion, &self.question) {
            Ok(mut nftables) => {
                nftables.check(&self.question)?;
                let seconds = nftables.loading.as_secs_f64();
                println!("nftables: rules loaded in {seconds:.1} s\n");
                Ok(Some(Box::new(nftables)))
            }
            Err(error) => {
                left_out("nftables", &error);
                Ok(None)
            }
        }
    }

    fn acl(&self, program: &Program, rules: Rules, limits: Limits) -> Option<Box<dyn Contender>> {
        match program.start(rules, limits, &self.expansion, &self.question) {
            Ok(acl) => {
                println!("{}: {}\n", rules.name(), acl.built);
                Some(Box::new(acl))
            }
            Err(error) => {
                left_out(rules.name(), &error);
                None
            }
        }
    }

    /// Rows of the busy set and of the flood.
    fn measure(&self, contenders: &mut [Box<dyn Contender + '_>], rounds: usize) -> Result<[Vec<Row>; 2]> {
        let patterns = [Pattern::Busy, Pattern::Flood];
        let ways: Vec<(usize, usize, String)> = contenders
            .iter()
            .enumerate()
            .flat_map(|(c, contender)| {
                let ways = contender.ways().into_iter().enumerate();
                ways.map(move |(way, name)| (c, way, name))
            })
            .collect();
        let mut rows = patterns.map(|_| ways.iter().map(|(_, _, name)| Row::new(name)).collect::<Vec<_>>());
        for _ in 0..rounds {
            for (row, (contender, way, _)) in ways.iter().enumerate() {
                for (pattern, rows) in patterns.iter().zip(&mut rows) {
                    let nanos = contenders[*contender].measure(*way, *pattern, &self.question)?;
                    rows[row].push(nanos);
                }
            }
        }
        Ok(rows)
    }
}
