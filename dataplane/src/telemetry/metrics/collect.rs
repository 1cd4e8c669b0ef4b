//! The status as families of metrics. What is counted is described in [`table`](headgate_net::record::table); here is how
//! those lists are labelled.

use std::collections::BTreeMap;

use headgate_net::record::{Id, L7Status, Latency, QueueCount, Snapshot, WorkerGauge};
use headgate_net::verdict::{Answer, Kernel, Reason};

use super::family::{Buckets, Family, Kind, Labels, Value};
use super::{Detail, objects, process};
use crate::telemetry::{LinkState, Status, WorkerStatus};

/// Every family, those without samples included; of `without` none.
#[must_use]
pub fn families(status: &Status, without: &[Detail]) -> Vec<Family> {
    let mut all = process::families(status);
    all.extend(workers(&status.workers));
    all.extend(drops(status));
    let mut l7 = L7Status::default();
    status.workers.iter().for_each(|worker| l7.add(&worker.l7));
    all.extend(http(&l7));
    all.extend(ports(status));
    all.push(denials(status));
    all.extend(objects::families(status, without));
    all
}

/// A family for each metric of a list, with what labels it; `by` is the label of the variants that share one.
pub(super) fn listed<I: Id>(
    kind: Kind,
    labels: &[&'static str],
    by: Option<&'static str>,
    sets: &[(Labels, &Snapshot<I>)],
) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    let all: Vec<_> = labels.iter().copied().chain(by).collect();
    for id in I::all() {
        let kind = if id.is_gauge() { Kind::Gauge } else { kind };
        let new = Family::new(id.metric(), kind, id.help(), &all);
        let place = families.iter().position(|family| family.name == new.name);
        let place = place.unwrap_or_else(|| {
            families.push(new);
            families.len() - 1
        });
        let by = by.map(|by| (by, id.value()));
        for (labels, snapshot) in sets {
            families[place].push(labels, by, Value::Integer(snapshot[*id]));
        }
    }
    families
}

/// A list of which there is one.
fn whole<I: Id>(kind: Kind, by: Option<&'static str>, snapshot: &Snapshot<I>) -> Vec<Family> {
    listed(kind, &[], by, &[(Labels::new([]), snapshot)])
}

fn workers(workers: &[WorkerStatus]) -> Vec<Family> {
    let labels = workers
        .iter()
        .map(|worker| Labels::new([("worker", worker.worker.to_string().as_str())]));
    let labelled: Vec<_> = labels.zip(workers).collect();
    let events: Vec<_> = each(&labelled, |worker| &worker.counts.events);
    let turns: Vec<_> = each(&labelled, |worker| &worker.turns);
    let mut families = listed(Kind::Counter, &["worker"], None, &events);
    families.extend(listed(Kind::Counter, &["worker"], None, &turns));
    let listed = WorkerGauge::all().iter().map(|id| (id.metric(), id.help()));
    let inbox = "Frames that other threads have given to the worker and that it has not taken yet";
    let now = listed.chain([("worker_frames_inbox", inbox.to_owned())]);
    let values = |worker: &WorkerStatus| {
        let held = worker.held;
        [worker.flows, held.parked, held.unsent, held.inbox].map(|count| count as u64)
    };
    for (place, (name, help)) in now.enumerate() {
        let mut family = Family::new(name, Kind::Gauge, help, &["worker"]);
        for (labels, worker) in &labelled {
            family.push(labels, None, Value::Integer(values(worker)[place]));
        }
        families.push(family);
    }
    families
}

/// One list of each of several things.
pub(super) fn each<'a, T, I>(
    labelled: &[(Labels, &'a T)],
    of: impl Fn(&'a T) -> &'a Snapshot<I>,
) -> Vec<(Labels, &'a Snapshot<I>)> {
    let set = |(labels, thing): &(Labels, &'a T)| (labels.clone(), of(thing));
    labelled.iter().map(set).collect()
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
    let mut family = Family::new(name, Kind::Counter, help, &[label]);
    for id in I::all() {
        let count = counts.get(id.name()).copied().unwrap_or_default();
        family.add(&[id.name()], Value::Integer(count));
    }
    family
}

fn http(l7: &L7Status) -> Vec<Family> {
    let mut families = whole(Kind::Counter, Some("class"), &l7.counters.requests);
    families.push(
        Family::new(
            "http_request_duration_seconds",
            Kind::Histogram,
            "From the end of a request's head to the end of its response",
            &[],
        )
        .with(&[], Value::Buckets(buckets(&l7.counters.latency, 1))),
    );
    families.extend(whole(Kind::Counter, None, &l7.counters.events));
    families.extend(whole(Kind::Gauge, None, &l7.now));
    families.extend(whole(Kind::Counter, None, &l7.tcp.counters));
    families.extend(whole(Kind::Gauge, None, &l7.tcp.now));
    families
}

/// Microseconds as seconds. A bucket ends at `2^n` microseconds, the last at none. Of the bounds one in `step` is shown,
/// from [`FINEST`] on if that is more than one.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
pub(super) fn buckets(latency: &Latency, step: usize) -> Buckets {
    let (last, bounded) = latency.buckets.split_last().expect("there is one");
    let mut buckets = Buckets {
        bounded: Vec::with_capacity(bounded.len() / step),
        above: 0,
        sum: latency.total_us as f64 / 1e6,
    };
    let mut count = 0;
    for (n, more) in bounded.iter().enumerate() {
        count += more;
        if step == 1 || (n >= FINEST && (n - FINEST).is_multiple_of(step)) {
            buckets
                .bounded
                .push(((1_u64 << n) as f64 / 1e6, std::mem::take(&mut count)));
        }
    }
    buckets.above = count + last;
    buckets
}

/// 512 microseconds.
const FINEST: usize = 9;

fn ports(status: &Status) -> Vec<Family> {
    let mut up = Family::new(
        "port_up",
        Kind::Gauge,
        "Whether packets can pass the interface",
        &["port"],
    );
    let mut steered = Family::new(
        "port_steered_packets",
        Kind::Counter,
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
                Labels::new([("port", port.name.as_str()), ("queue", &number)]),
                &queue.counts,
            )
        }));
    }
    let queues = listed::<QueueCount>(Kind::Counter, &["port", "queue"], None, &queues);
    [up, steered].into_iter().chain(queues).collect()
}

fn denials(status: &Status) -> Family {
    let mut family = Family::new(
        "policy_denied_packets",
        Kind::Counter,
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
