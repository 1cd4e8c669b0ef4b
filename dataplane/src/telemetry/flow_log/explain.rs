//! From addresses to names, labels and rules.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use headgate_ring::message::{Endpoint, PolicyRule};

use super::line::{End, Flow, Labels, Layer, Occasion, Place, Reason, Side, Verdict, Word};
use super::{Event, Record};
use crate::config::Tables;
use headgate_net::policy::{self, Compiled};

/// Answers that are kept for connections alike.
const KEPT: usize = 8_192;
/// States that are kept for records of theirs that are still to come.
const STATES: usize = 4;

/// The states that records may be of.
#[derive(Debug, Default)]
pub(super) struct States(VecDeque<Arc<Tables>>);

impl States {
    /// Takes note of the state in force.
    pub(super) fn see(&mut self, tables: &Arc<Tables>) {
        if self.newest().is_none_or(|t| t.publication < tables.publication) {
            self.0.push_back(Arc::clone(tables));
        }
        if self.0.len() > STATES {
            self.0.pop_front();
        }
    }

    pub(super) fn newest(&self) -> Option<&Arc<Tables>> {
        self.0.back()
    }

    /// No record of an older state than the newest will come any more.
    pub(super) fn forget_old(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
    }

    /// The state of a publication, or the newest, and whether its policies are those of that publication.
    fn of(&self, publication: u64) -> Option<(&Arc<Tables>, bool)> {
        let newest = self.newest()?;
        let after = self.0.partition_point(|t| t.publication < publication);
        let Some(at) = self.0.get(after) else {
            return Some((newest, false));
        };
        let before = after.checked_sub(1).and_then(|before| self.0.get(before));
        let same =
            at.publication == publication || before.is_some_and(|b| Arc::ptr_eq(&b.policy, &at.policy));
        Some(if same { (at, true) } else { (newest, false) })
    }
}

/// Says who and why. Keeps what it has found out for as long as the policies stay.
#[derive(Debug, Default)]
pub(super) struct Explainer {
    policy: Option<Arc<Compiled>>,
    found: HashMap<Connection, Arc<Found>>,
    ends: HashMap<IpAddr, Arc<Who>>,
}

/// What policies tell connections apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Connection {
    source: IpAddr,
    pod: SocketAddr,
    protocol: u8,
}

#[derive(Debug)]
struct Found {
    allowed: bool,
    egress: Option<Word>,
    ingress: Option<Word>,
}

#[derive(Debug, Default)]
struct Who {
    namespace: Option<String>,
    pod: Option<String>,
    node: Option<String>,
    others: usize,
    labels: Labels,
}

impl Explainer {
    /// The line for a record; `None` before the first state. `time` is RFC 3339.
    pub(super) fn explain(
        &mut self,
        record: &Record,
        states: &States,
        time: String,
        worker: u8,
        sample: u32,
    ) -> Option<Flow> {
        let (tables, exact) = states.of(record.publication)?;
        self.keep_to(&tables.policy);
        let found = self.find(record, &tables.policy);
        let allowed = record.event.is_allowed();
        // What is said about another state must at least agree with what was decided.
        let agrees = exact || found.allowed == allowed;
        let told = |word: &Option<Word>| word.clone().filter(|_| agrees);
        let (egress, ingress) = (told(&found.egress), told(&found.ingress));
        let (denied_by, reason) = conclusion(allowed, agrees, egress.as_ref(), ingress.as_ref());
        let mut policies: Vec<String> = [egress.as_ref(), ingress.as_ref()]
            .into_iter()
            .flatten()
            .filter(|word| word.allowed == allowed)
            .map(|word| word.policy.clone())
            .collect();
        policies.dedup();
        let (layer, event) = kind(record.event);
        Some(Flow {
            time,
            verdict: if allowed {
                Verdict::Allowed
            } else {
                Verdict::Denied
            },
            event,
            layer,
            protocol: protocol(record.protocol),
            source: self.end(record.client, &tables.policy),
            frontend: Place {
                address: record.frontend.ip(),
                port: record.frontend.port(),
            },
            destination: self.end(record.pod, &tables.policy),
            denied_by,
            policies,
            reason,
            egress,
            ingress,
            policies_changed: !exact,
            publication: record.publication,
            worker,
            count: 1,
            sample,
        })
    }

    /// Forgets what was found out about other policies.
    pub(super) fn keep_to(&mut self, policy: &Arc<Compiled>) {
        let same = self.policy.as_ref().is_some_and(|old| Arc::ptr_eq(old, policy));
        if !same {
            self.policy = Some(Arc::clone(policy));
        }
        if !same || self.found.len() >= KEPT || self.ends.len() >= KEPT {
            self.found.clear();
            self.ends.clear();
        }
    }

    fn find(&mut self, record: &Record, policy: &Compiled) -> Arc<Found> {
        let connection = Connection {
            source: record.client.ip(),
            pod: record.pod,
            protocol: record.protocol,
        };
        let found = self.found.entry(connection).or_insert_with(|| {
            let Connection {
                source,
                pod,
                protocol,
            } = connection;
            let explanation = policy.explain(source, pod.ip(), protocol, pod.port());
            Arc::new(Found {
                allowed: explanation.is_allowed(),
                egress: word(&explanation.egress),
                ingress: word(&explanation.ingress),
            })
        });
        Arc::clone(found)
    }

    fn end(&mut self, socket: SocketAddr, policy: &Compiled) -> End {
        let address = socket.ip();
        let who = self
            .ends
            .entry(address)
            .or_insert_with(|| Arc::new(who(policy.endpoints_at(address))));
        End {
            address,
            port: socket.port(),
            namespace: who.namespace.clone(),
            pod: who.pod.clone(),
            node: who.node.clone(),
            others: who.others,
            labels: who.labels.clone(),
        }
    }
}

fn word(end: &policy::End) -> Option<Word> {
    let ruling = end.by.as_ref()?;
    let rule: Option<&PolicyRule> = ruling.rule.and_then(|place| ruling.policy.rules.get(place));
    Some(Word {
        allowed: end.allowed,
        policy: ruling.policy.name.clone(),
        tier: ruling.policy.tier,
        rule: rule.map(|rule| rule.number),
        rule_name: rule.map(|rule| rule.name.clone()).filter(|name| !name.is_empty()),
        reason: match (end.allowed, rule) {
            (true, _) => Reason::AcceptRule,
            (false, Some(_)) => Reason::DenyRule,
            (false, None) => Reason::NoRuleMatches,
        },
    })
}

fn conclusion(
    allowed: bool,
    agrees: bool,
    egress: Option<&Word>,
    ingress: Option<&Word>,
) -> (Option<Side>, Reason) {
    let denying = [(Side::Egress, egress), (Side::Ingress, ingress)]
        .into_iter()
        .find_map(|(side, word)| word.filter(|word| !word.allowed).map(|word| (side, word)));
    match (allowed, denying) {
        (false, Some((side, word))) => (Some(side), word.reason),
        _ if !agrees => (None, Reason::PoliciesChanged),
        _ if egress.or(ingress).is_some() => (None, Reason::AcceptRule),
        _ => (None, Reason::NoPolicy),
    }
}

/// Pods before nodes, then by name: which of several have an address is not for this log to decide.
fn who<'a>(endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> Who {
    let mut all: Vec<_> = endpoints.collect();
    all.sort_by_key(|endpoint| (!endpoint.name.contains('/'), endpoint.name.as_str()));
    let Some(first) = all.first() else {
        return Who::default();
    };
    let (namespace, pod, node) = match first.name.split_once('/') {
        Some((namespace, pod)) => (Some(namespace.to_owned()), Some(pod.to_owned()), None),
        None => (None, None, Some(first.name.clone())),
    };
    Who {
        namespace,
        pod,
        node,
        others: all.len() - 1,
        labels: Labels(first.labels.as_slice().into()),
    }
}

const fn kind(event: Event) -> (Layer, Occasion) {
    match event {
        Event::FlowAllowed | Event::FlowDenied => (Layer::L4, Occasion::New),
        Event::FlowCut => (Layer::L4, Occasion::Cut),
        Event::RequestAllowed | Event::RequestDenied => (Layer::L7, Occasion::New),
        Event::RequestCut => (Layer::L7, Occasion::Cut),
    }
}

fn protocol(number: u8) -> String {
    match number {
        6 => "TCP".into(),
        17 => "UDP".into(),
        132 => "SCTP".into(),
        other => other.to_string(),
    }
}
