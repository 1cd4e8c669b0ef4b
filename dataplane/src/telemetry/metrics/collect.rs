//! The status as families of metrics. What is counted is described in [`table`](headgate_net::record::table); here is how
//! those lists are labelled.

use std::collections::BTreeMap;

use headgate_net::record::{Id, L7Status, Loop, PacketCount, QueueCount, Snapshot, WorkerGauge};
use headgate_net::verdict::{Answer, Kernel, Reason};

use super::family::{Buckets, Family, FamilyKind, LabelText, Value};
use super::listed::{each, listed};
use super::{Detail, objects, process};
use crate::telemetry::{HeldFrames, LinkState, StageStatus, Status, WorkerStatus};

/// Every family, those without samples included; of `without` none.
#[must_use]
pub fn families(status: &Status, without: &[Detail]) -> Vec<Family> {
    let mut all = process::families(status);
    all.extend(threads(status));
    all.extend(drops(status));
    all.extend(http(&status.l7()));
    all.extend(ports(status));
    all.push(denials(status));
    all.extend(objects::families(status, without));
    all
}

/// A list of which there is one.
fn whole<I: Id>(kind: FamilyKind, by: Option<&'static str>, snapshot: &Snapshot<I>) -> Vec<Family> {
    listed(kind, &[], by, &[(LabelText::new([]), snapshot)])
}

/// What a worker counts, or an L7 stage with a core of its own: such a one is a worker without flows and queues.
struct Thread<'a> {
    events: &'a Snapshot<PacketCount>,
    turns: &'a Snapshot<Loop>,
    flows: usize,
    held: HeldFrames,
}

impl<'a> Thread<'a> {
    fn of_worker(worker: &'a WorkerStatus) -> (LabelText, Self) {
        let thread = Self {
            events: &worker.counts.events,
            turns: &worker.turns,
            flows: worker.flows,
            held: worker.held,
        };
        (
            LabelText::new([("worker", worker.worker.to_string().as_str())]),
            thread,
        )
    }

    fn of_stage(stage: &'a StageStatus) -> (LabelText, Self) {
        let thread = Self {
            events: &stage.counts.events,
            turns: &stage.turns,
            flows: 0,
            held: stage.held,
        };
        let name = format!("l7-{}", stage.stage);
        (LabelText::new([("worker", name.as_str())]), thread)
    }

    /// In the order of [`WorkerGauge`], and the inbox.
    fn gauges(&self) -> [u64; 4] {
        let held = self.held;
        [self.flows, held.parked, held.unsent, held.inbox].map(|count| count as u64)
    }
}

fn threads(status: &Status) -> Vec<Family> {
    let workers = status.workers.iter().map(Thread::of_worker);
    let stages = status.stages.iter().map(Thread::of_stage);
    let all: Vec<_> = workers.chain(stages).collect();
    let labelled: Vec<_> = all
        .iter()
        .map(|(labels, thread)| (labels.clone(), thread))
        .collect();
    let events: Vec<_> = each(&labelled, |thread| thread.events);
    let turns: Vec<_> = each(&labelled, |thread| thread.turns);
    let mut families = listed(FamilyKind::Counter, &["worker"], None, &events);
    families.extend(listed(FamilyKind::Counter, &["worker"], None, &turns));
    let listed = WorkerGauge::all().iter().map(|id| (id.metric(), id.help()));
    let inbox = "Frames that other threads have given to the worker and that it has not taken yet";
    let now = listed.chain([("worker_frames_inbox", inbox.to_owned())]);
    for (place, (name, help)) in now.enumerate() {
        let mut family = Family::new(name, FamilyKind::Gauge, help, &["worker"]);
        for (labels, thread) in &all {
            family.push(labels, None, Value::Integer(thread.gauges()[place]));
        }
        families.push(family);
    }
    families
}

fn drops(status: &Status) -> [Family; 3] {
    let totals = &status.totals;
    [
        reasons::<Reason>(
            "packets_dropped",
            "Packets dropped, by reason",
            "reason",
            &totals.drops,
        ),
        reasons::<Kernel>(
            "packets_to_kernel",
            "Packets for the kernel's own stack, by cause",
            "cause",
            &totals.kernel,
        ),
        reasons::<Answer>(
            "packets_answered",
            "Packets answered, by answer",
            "answer",
            &totals.answers,
        ),
    ]
}

/// A counter by a list of reasons, of which the status has those that occurred.
fn reasons<I: Id>(name: &str, help: &str, label: &'static str, counts: &BTreeMap<String, u64>) -> Family {
    let mut family = Family::new(name, FamilyKind::Counter, help, &[label]);
    for id in I::all() {
        let count = counts.get(id.name()).copied().unwrap_or_default();
        family.add(&[id.name()], Value::Integer(count));
    }
    family
}

fn http(l7: &L7Status) -> Vec<Family> {
    let mut families = whole(FamilyKind::Counter, Some("class"), &l7.counters.requests);
    families.push(
        Family::new(
            "http_request_duration_seconds",
            FamilyKind::Histogram,
            "From the end of a request's head to the end of its response",
            &[],
        )
        .with(&[], Value::Buckets(Buckets::of(&l7.counters.latency, 1))),
    );
    families.extend(whole(FamilyKind::Counter, None, &l7.counters.events));
    families.extend(whole(FamilyKind::Gauge, None, &l7.now));
    families.extend(whole(FamilyKind::Counter, None, &l7.tcp.counters));
    families.extend(whole(FamilyKind::Gauge, None, &l7.tcp.now));
    families
}

fn ports(status: &Status) -> Vec<Family> {
    let mut up = Family::new(
        "port_up",
        FamilyKind::Gauge,
        "Whether packets can pass the interface",
        &["port"],
    );
    let mut steered = Family::new(
        "port_steered_packets",
        FamilyKind::Counter,
        "What the steering program did with packets that arrived, by outcome",
        &["port", "outcome"],
    );
    let mut queues = Vec::new();
    for port in &status.ports {
        up.add(
            &[&port.name],
            Value::Integer(u64::from(port.link == LinkState::Up)),
        );
        for (outcome, count) in &port.steering {
            steered.add(&[&port.name, outcome], Value::Integer(*count));
        }
        queues.extend(port.queues.iter().map(|queue| {
            let number = queue.queue.to_string();
            (
                LabelText::new([("port", port.name.as_str()), ("queue", &number)]),
                &queue.counts,
            )
        }));
    }
    let queues = listed::<QueueCount>(FamilyKind::Counter, &["port", "queue"], None, &queues);
    [up, steered].into_iter().chain(queues).collect()
}

fn denials(status: &Status) -> Family {
    let mut family = Family::new(
        "policy_denied_packets",
        FamilyKind::Counter,
        "Packets that policies forbade, by policy",
        &["policy", "direction"],
    );
    for denial in &status.denials {
        family.add(
            &[&denial.policy, &denial.direction],
            Value::Integer(denial.packets),
        );
    }
    family
}
