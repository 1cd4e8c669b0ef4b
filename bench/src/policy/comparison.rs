//! Everybody's answers to the connections of one cluster.

use anyhow::{Result, ensure};

use super::{
    Peer, PolicyOptions,
    cluster::{Cluster, RULES, Scale},
    contender::{BUSY, Contender, FLOOD, Pattern, Question},
    dpdk::{Limits, Program, Rules},
    expand::Expansion,
    left_out,
    linear::Linear,
    live::Live,
    lookups::{Headgate, List},
    nft::Nftables,
};
use crate::{
    bed::GATEWAY_CORE,
    report::{Row, table},
};

/// One cluster, everybody's answers.
pub(super) struct Comparison {
    scale: Scale,
    question: Question,
    expansion: Expansion,
    live: Live,
}

impl Comparison {
    /// Sends the cluster to a dataplane, and has its verdicts.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub(super) fn new(scale: Scale, v6: bool) -> Result<Self> {
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

    /// Measures, and prints two tables.
    ///
    /// # Errors
    ///
    /// When a verdict differs.
    pub(super) fn run(&self, options: &PolicyOptions, program: Option<&Program>) -> Result<()> {
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
