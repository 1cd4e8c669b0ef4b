//! What there is one of in a process.

use super::family::{Family, FamilyKind, Value};
use crate::telemetry::Status;

/// Every family of the process.
pub(super) fn families(status: &Status) -> Vec<Family> {
    let build = Family::new(
        "build_info",
        FamilyKind::Gauge,
        "The version of this program; always 1",
        &["version"],
    )
    .with(&[&status.version], Value::Integer(1));
    let rows = ROWS.iter().map(|row| {
        Family::new(row.name, row.kind, row.help, &[]).with(&[], Value::Float((row.read)(status)))
    });
    std::iter::once(build).chain(rows).collect()
}

/// A number of the process.
struct Row {
    name: &'static str,
    kind: FamilyKind,
    help: &'static str,
    read: fn(&Status) -> f64,
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Status) -> f64) -> Row {
    Row {
        name,
        kind: FamilyKind::Counter,
        help,
        read,
    }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Status) -> f64) -> Row {
    Row {
        name,
        kind: FamilyKind::Gauge,
        help,
        read,
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
const ROWS: &[Row] = &[
    gauge("uptime_seconds", "Time since the start of the dataplane", |s| {
        s.uptime_seconds as f64
    }),
    gauge(
        "draining",
        "Whether the dataplane is about to end, while what is under way comes to its end",
        |s| f64::from(u8::from(s.draining)),
    ),
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
