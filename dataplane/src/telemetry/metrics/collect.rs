//! The status as families of metrics. What workers and stages count is described in
//! [`table`](headgate_net::record::table); here is the rest: how those lists are labelled, and what the process knows itself.

use headgate_net::record::{Id, L7Status, Latency, Snapshot, WorkerGauge};
use headgate_net::verdict::{Answer, Kernel, Reason};

use super::family::{Buckets, Family, Kind, Value};
use crate::telemetry::{LinkState, Status, WorkerStatus};

/// Every family, those without samples included.
#[must_use]
pub fn families(status: &Status) -> Vec<Family> {
    let mut all = process(status);
    all.extend(worker_families(&status.workers));
    all.extend(drop_families(status));
    let mut l7 = L7Status::default();
    status.workers.iter().for_each(|worker| l7.add(&worker.l7));
    all.extend(l7_families(&l7));
    all.extend(port_families(status));
    all.push(denials(status));
    all.push(services(status));
    all
}

/// A number of the process.
struct Row {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&Status) -> f64,
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Status) -> f64) -> Row {
    Row {
        name,
        kind: Kind::Counter,
        help,
        read,
    }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Status) -> f64) -> Row {
    Row {
        name,
        kind: Kind::Gauge,
        help,
        read,
    }
}

/// What there is one of in a process.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
const ROWS: &[Row] = &[
    gauge("uptime_seconds", "Time since the start of the dataplane", |s| {
        s.uptime_seconds as f64
    }),
    gauge(
        "generation",
        "The state of the control plane that every worker works by",
        |s| s.generation as f64,
    ),
    gauge("control_connected", "Whether a control plane is connected", |s| {
        f64::from(u8::from(s.control.connected))
    }),
    counter("control_sessions", "Sessions with control planes", |s| {
        s.control.sessions as f64
    }),
    counter("control_faults", "Sessions that ended by a fault", |s| {
        s.control.faults as f64
    }),
    counter(
        "control_connects_failed",
        "Attempts of control planes to connect that failed",
        |s| s.control.refused as f64,
    ),
    counter("control_states_applied", "States put in force", |s| {
        s.control.applied as f64
    }),
    counter("control_states_refused", "States that were refused", |s| {
        s.control.rejected as f64
    }),
    gauge(
        "control_last_apply_seconds",
        "From the arrival of the last state until every worker worked by it",
        |s| s.control.last_apply_microseconds as f64 / 1e6,
    ),
    gauge("frames", "Packet buffers", |s| s.frames.total as f64),
    gauge("frames_free", "Packet buffers that are free now", |s| {
        s.frames.free as f64
    }),
    gauge(
        "frames_in_kernel",
        "Packet buffers that the kernel has now",
        |s| s.frames.kernel as f64,
    ),
    gauge("frames_held", "Packet buffers that workers hold now", |s| {
        s.frames.held as f64
    }),
    gauge("routes", "Routes of the kernel's main table", |s| {
        s.routes.routes as f64
    }),
    gauge("neighbours", "Neighbours of all links", |s| {
        s.routes.neighbours as f64
    }),
    counter(
        "neighbours_asked",
        "Questions to the kernel for a neighbour's address",
        |s| s.routes.asked as f64,
    ),
    counter(
        "neighbours_refused",
        "Questions for a neighbour's address that the kernel refused",
        |s| s.routes.refused as f64,
    ),
    counter(
        "flow_log_records",
        "Decisions that workers gave to the flow log",
        |s| s.flow_log.recorded as f64,
    ),
    counter(
        "flow_log_unsampled",
        "Allowed flows left out of the flow log by sampling",
        |s| s.flow_log.unsampled as f64,
    ),
    counter(
        "flow_log_over_rate",
        "Decisions left out of the flow log for its rate",
        |s| s.flow_log.over_rate as f64,
    ),
    counter(
        "flow_log_queue_full",
        "Decisions left out because the flow log did not keep up",
        |s| s.flow_log.queue_full as f64,
    ),
    counter("flow_log_lines_written", "Lines of the flow log written", |s| {
        s.flow_log.written as f64
    }),
    counter(
        "flow_log_lines_unwritten",
        "Lines of the flow log that could not be written",
        |s| s.flow_log.unwritten as f64,
    ),
    gauge("flow_log_followers", "Who follows the flow log now", |s| {
        s.flow_log.followers as f64
    }),
    counter(
        "flow_log_lines_unfollowed",
        "Lines of the flow log that followers were too slow for",
        |s| s.flow_log.unfollowed as f64,
    ),
];

fn process(status: &Status) -> Vec<Family> {
    let build = Family::new(
        "build_info",
        Kind::Gauge,
        "The version of this program; always 1",
        &["version"],
    )
    .with(&[&status.version], Value::Integer(1));
    let rows = ROWS.iter().map(|row| {
        Family::new(row.name, row.kind, row.help, &[]).with(&[], Value::Float((row.read)(status)))
    });
    std::iter::once(build).chain(rows).collect()
}

/// A family for each metric of a list; `labels` are those of the sets, `by` that of the values that share a metric.
fn listed<I: Id>(
    kind: Kind,
    labels: &[&'static str],
    by: Option<&'static str>,
    sets: &[(Vec<&str>, &Snapshot<I>)],
) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    let all: Vec<_> = labels.iter().copied().chain(by).collect();
    for id in I::all() {
        let new = Family::new(id.metric(), kind, id.help(), &all);
        let place = families.iter().position(|family| family.name == new.name);
        let place = place.unwrap_or_else(|| {
            families.push(new);
            families.len() - 1
        });
        for (values, snapshot) in sets {
            let values: Vec<_> = values.iter().copied().chain(by.map(|_| id.value())).collect();
            families[place].add(&values, Value::Integer(snapshot[*id]));
        }
    }
    families
}

fn worker_families(workers: &[WorkerStatus]) -> Vec<Family> {
    let numbers: Vec<String> = workers.iter().map(|w| w.worker.to_string()).collect();
    let events: Vec<_> = sets(&numbers, workers, |worker| &worker.counts.events);
    let turns: Vec<_> = sets(&numbers, workers, |worker| &worker.turns);
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
        for (number, worker) in numbers.iter().zip(workers) {
            family.add(&[number], Value::Integer(values(worker)[place]));
        }
        families.push(family);
    }
    families
}

fn sets<'a, I>(
    numbers: &'a [String],
    workers: &'a [WorkerStatus],
    of: impl Fn(&'a WorkerStatus) -> &'a Snapshot<I>,
) -> Vec<(Vec<&'a str>, &'a Snapshot<I>)> {
    let set = |(number, worker): (&'a String, &'a WorkerStatus)| (vec![number.as_str()], of(worker));
    numbers.iter().zip(workers).map(set).collect()
}

fn drop_families(status: &Status) -> [Family; 3] {
    let totals = &status.totals;
    let mut drops = Family::new(
        "packets_dropped",
        Kind::Counter,
        "Packets dropped, by reason",
        &["reason"],
    );
    for id in Reason::all() {
        let count = totals.drops.get(id.name()).copied().unwrap_or_default();
        drops.add(&[id.name()], Value::Integer(count));
    }
    let mut kernel = Family::new(
        "packets_to_kernel",
        Kind::Counter,
        "Packets for the kernel's own stack, by cause",
        &["cause"],
    );
    for id in Kernel::all() {
        let count = totals.kernel.get(id.name()).copied().unwrap_or_default();
        kernel.add(&[id.name()], Value::Integer(count));
    }
    let mut answers = Family::new(
        "packets_answered",
        Kind::Counter,
        "Packets answered, by answer",
        &["answer"],
    );
    for id in Answer::all() {
        let count = totals.answers.get(id.name()).copied().unwrap_or_default();
        answers.add(&[id.name()], Value::Integer(count));
    }
    [drops, kernel, answers]
}

fn l7_families(l7: &L7Status) -> Vec<Family> {
    let mut families = listed(
        Kind::Counter,
        &[],
        Some("class"),
        &[(Vec::new(), &l7.counters.requests)],
    );
    families.push(
        Family::new(
            "http_request_duration_seconds",
            Kind::Histogram,
            "From the end of a request's head to the end of its response",
            &[],
        )
        .with(&[], Value::Buckets(buckets(&l7.counters.latency))),
    );
    families.extend(listed(
        Kind::Counter,
        &[],
        None,
        &[(Vec::new(), &l7.counters.events)],
    ));
    families.extend(listed(Kind::Gauge, &[], None, &[(Vec::new(), &l7.now)]));
    families.extend(listed(
        Kind::Counter,
        &[],
        None,
        &[(Vec::new(), &l7.tcp.counters)],
    ));
    families.extend(listed(Kind::Gauge, &[], None, &[(Vec::new(), &l7.tcp.now)]));
    families
}

/// Microseconds as seconds. A bucket ends at `2^n` microseconds, the last at none.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn buckets(latency: &Latency) -> Buckets {
    let (above, bounded) = latency.buckets.split_last().expect("there is one");
    let bound = |n: usize| (1_u64 << n) as f64 / 1e6;
    Buckets {
        bounded: bounded
            .iter()
            .enumerate()
            .map(|(n, count)| (bound(n), *count))
            .collect(),
        above: *above,
        sum: latency.total_us as f64 / 1e6,
    }
}

/// Counts of queues: key in the status, metric, kind, help.
const QUEUE: &[(&str, &str, Kind, &str)] = &[
    (
        "received",
        "queue_received",
        Kind::Counter,
        "Packets received from the queue",
    ),
    (
        "transmitted",
        "queue_transmitted",
        Kind::Counter,
        "Packets put into the transmit ring",
    ),
    (
        "completed",
        "queue_completed",
        Kind::Counter,
        "Frames that came back after being sent",
    ),
    (
        "kicks",
        "queue_kicks",
        Kind::Counter,
        "System calls that told the kernel to send",
    ),
    (
        "kicks_busy",
        "queue_kicks_busy",
        Kind::Counter,
        "Such calls that found the device busy",
    ),
    (
        "kicks_again",
        "queue_kicks_again",
        Kind::Counter,
        "Such calls that left packets to be sent",
    ),
    (
        "kicks_no_buffers",
        "queue_kicks_no_buffers",
        Kind::Counter,
        "Such calls that found no memory for packets",
    ),
    (
        "kick_errors",
        "queue_kick_errors",
        Kind::Counter,
        "Such calls that failed otherwise",
    ),
    (
        "bad_descriptors",
        "queue_bad_descriptors",
        Kind::Counter,
        "Descriptors from the kernel that cannot be true",
    ),
    (
        "oversized",
        "queue_oversized",
        Kind::Counter,
        "Parts of packets longer than a frame, dropped",
    ),
    (
        "foreign",
        "queue_foreign",
        Kind::Counter,
        "Frames of another packet memory, dropped",
    ),
    (
        "filling",
        "queue_frames_filling",
        Kind::Gauge,
        "Frames that wait in the kernel to be filled now",
    ),
    (
        "sending",
        "queue_frames_sending",
        Kind::Gauge,
        "Frames that wait in the kernel to be sent now",
    ),
    (
        "kernel_rx_dropped",
        "queue_kernel_receive_dropped",
        Kind::Counter,
        "Packets that the kernel dropped, for being longer than a frame, say",
    ),
    (
        "kernel_rx_invalid_descriptors",
        "queue_kernel_receive_invalid",
        Kind::Counter,
        "Packets that the kernel dropped for an invalid descriptor of the fill ring",
    ),
    (
        "kernel_tx_invalid_descriptors",
        "queue_kernel_transmit_invalid",
        Kind::Counter,
        "Transmit descriptors that the kernel found invalid",
    ),
    (
        "kernel_rx_ring_full",
        "queue_kernel_receive_ring_full",
        Kind::Counter,
        "Packets that the kernel dropped because the worker was too slow",
    ),
    (
        "kernel_fill_ring_empty",
        "queue_kernel_fill_ring_empty",
        Kind::Counter,
        "Times that the kernel found no frame to fill",
    ),
    (
        "kernel_tx_ring_empty",
        "queue_kernel_transmit_ring_empty",
        Kind::Counter,
        "Times that the kernel was told to send with nothing to send",
    ),
];

fn port_families(status: &Status) -> Vec<Family> {
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
    let family = |(_, name, kind, help): &(&str, &str, Kind, &str)| {
        Family::new(name, *kind, *help, &["port", "queue"])
    };
    let mut queues: Vec<_> = QUEUE.iter().map(family).collect();
    for port in &status.ports {
        up.add(
            &[&port.name],
            Value::Integer(u64::from(port.link == LinkState::Up)),
        );
        for (outcome, count) in &port.steering {
            steered.add(&[&port.name, outcome], Value::Integer(*count));
        }
        for queue in &port.queues {
            let number = queue.queue.to_string();
            for ((key, ..), family) in QUEUE.iter().zip(&mut queues) {
                let count = queue.counts.get(*key).copied().unwrap_or_default();
                family.add(&[&port.name, &number], Value::Integer(count));
            }
        }
    }
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

fn services(status: &Status) -> Family {
    let mut family = Family::new(
        "service_backends",
        Kind::Gauge,
        "Ready endpoints of the Service's port at this address",
        &["service", "protocol", "address"],
    );
    for service in &status.services {
        let address = service.address.to_string();
        let labels = [service.name.as_str(), &service.protocol, &address];
        family.add(&labels, Value::Integer(service.backends as u64));
    }
    family
}
