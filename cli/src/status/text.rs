//! The status as a person reads it.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write},
};

use headgate_dataplane::telemetry::{Mode, PortStatus, Status, WorkerStatus};
use headgate_net::record::{HttpGauge, Id, Loop, PacketCount, Snapshot};

use super::objects::Objects;

/// All of the status that a person wants to see, in lines of at most about 110 characters.
pub(super) fn render(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, status);
    text
}

fn write(out: &mut String, status: &Status) -> fmt::Result {
    head(out, status)?;
    section(out, "PORTS", &status.ports, port)?;
    let denials = match status.mode {
        Mode::Packets => {
            Objects::Services.short(out, status)?;
            &status.denials[..]
        }
        Mode::Sockets => &[],
    };
    section(out, "LISTENERS", &status.listeners, |listener| {
        let fault = listener
            .fault
            .as_ref()
            .map(|fault| format!("  NOT LISTENING: {fault}"));
        format!(
            "{:<44} {}{}",
            listener.address,
            if listener.tls { "https" } else { "http" },
            fault.unwrap_or_default()
        )
    })?;
    Objects::Routes.short(out, status)?;
    Objects::Upstreams.short(out, status)?;
    section(out, "DENIED BY POLICY (packets)", denials, |denial| {
        format!("{:>12}  {} ({})", denial.packets, denial.policy, denial.direction)
    })?;
    let totals = &status.totals;
    table(out, "PACKETS AND FLOWS", &totals.events)?;
    counters(out, "ANSWERED", &totals.answers)?;
    counters(out, "TO THE KERNEL", &totals.kernel)?;
    counters(out, "DROPPED", &totals.drops)?;
    let http = status.l7();
    table(out, "HTTP REQUESTS ANSWERED", &http.counters.requests)?;
    table(out, "HTTP NOW", &http.now)?;
    table(out, "HTTP SO FAR", &http.counters.events)?;
    table(out, "TCP UNDER HTTP NOW", &http.tcp.now)?;
    table(out, "TCP UNDER HTTP SO FAR", &http.tcp.counters)?;
    counters(out, "FLOW LOG", &flow_log(status))?;
    section(out, "WORKERS", &status.workers, |worker| {
        line_of(worker, status.mode)
    })?;
    section(out, "L7 STAGES", &status.stages, |stage| {
        let requests: u64 = stage.l7.counters.requests.iter().map(|(_, count)| count).sum();
        format!(
            "{} {}: {}, {requests} requests, {} packets sent, {} turns",
            stage.stage,
            pinned(stage.core),
            plural(count(stage.l7.now[HttpGauge::Clients]), "client", "clients"),
            stage.counts.events[PacketCount::FromL7],
            stage.turns[Loop::Turns]
        )
    })
}

fn line_of(worker: &WorkerStatus, mode: Mode) -> String {
    let carried = match mode {
        Mode::Packets => format!(
            "{} packets, {}, ",
            worker.counts.events[PacketCount::Packets],
            plural(worker.flows, "flow", "flows")
        ),
        Mode::Sockets => String::new(),
    };
    let turns = worker.turns[Loop::Turns];
    format!(
        "{} {}: {carried}{turns} turns",
        worker.worker,
        pinned(worker.core)
    )
}

fn pinned(core: Option<usize>) -> String {
    core.map_or_else(|| "not pinned".to_owned(), |core| format!("on core {core}"))
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn head(out: &mut String, status: &Status) -> fmt::Result {
    let control = &status.control;
    let connected = match (control.connected, control.process) {
        (true, Some(process)) => format!("connected (process {process})"),
        (true, None) => "connected".to_owned(),
        (false, _) => "not connected; the last state stays in force".to_owned(),
    };
    writeln!(
        out,
        "headgate {}, process {}, up {} s",
        status.version, status.process, status.uptime_seconds
    )?;
    writeln!(
        out,
        "control plane  {connected}, generation {}, {} applied, {} refused",
        status.generation, control.applied, control.rejected
    )?;
    if let Some(error) = &control.last_error {
        writeln!(out, "               last error: {error}")?;
    }
    if status.draining {
        writeln!(out, "draining       it is about to end, and is not ready")?;
    }
    if status.mode == Mode::Sockets {
        return writeln!(
            out,
            "mode           the kernel's sockets: Ingresses are served; {} not balanced",
            plural(
                status.services.len(),
                "Service frontend is",
                "Service frontends are"
            )
        );
    }
    writeln!(out, "mode           packets")?;
    writeln!(out, "flows          {}", status.flows)?;
    let frames = &status.frames;
    writeln!(
        out,
        "frames         {} free, {} with the kernel, {} held, of {}",
        frames.free, frames.kernel, frames.held, frames.total
    )?;
    let routes = &status.routes;
    writeln!(
        out,
        "routes         {}, {} neighbours",
        routes.routes, routes.neighbours
    )
}

fn port(port: &PortStatus) -> String {
    let zero_copy = port.queues.iter().filter(|queue| queue.zero_copy).count();
    let queues = plural(port.queues.len(), "queue", "queues");
    let copies = match zero_copy {
        0 => "copying".to_owned(),
        all if all == port.queues.len() => "zero-copy".to_owned(),
        some => format!("{some} of them zero-copy"),
    };
    format!(
        "{:<16} {}, {queues}, {copies}{}",
        port.name,
        port.mode,
        steering(&port.steering)
    )
}

/// Counts that are not 0, with what they mean.
fn table<I: Id>(out: &mut String, title: &str, counts: &Snapshot<I>) -> fmt::Result {
    let counts: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
    section(out, title, &counts, |(id, count)| {
        let help = id.help();
        let what = if id.metric() == id.name() || id.value() == id.name() {
            help
        } else {
            format!("{}: {help}", id.value())
        };
        format!("{count:>12}  {what}")
    })
}

/// How the log of decisions fares, where it is not 0.
fn flow_log(status: &Status) -> BTreeMap<String, u64> {
    let log = &status.flow_log;
    let counts = [
        ("decisions recorded", log.recorded),
        ("allowed flows that were not sampled", log.unsampled),
        ("lost: more than --flow-log-rate", log.over_rate),
        ("lost: the log did not keep up", log.queue_full),
        ("lines written", log.written),
        ("lines lost: the file could not be written", log.unwritten),
        ("lines lost: a reader did not keep up", log.unfollowed),
        ("readers now", log.followers as u64),
    ];
    let named = counts.into_iter().filter(|(_, count)| *count > 0);
    named.map(|(name, count)| (name.to_owned(), count)).collect()
}

/// What the steering program did, outcomes that occurred.
fn steering(counts: &BTreeMap<String, u64>) -> String {
    counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .fold(String::new(), |mut text, (name, count)| {
            let separator = if text.is_empty() { "; " } else { ", " };
            let _ = write!(text, "{separator}{count} {name}");
            text
        })
}

fn counters(out: &mut String, title: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    let counts: Vec<_> = counts.iter().collect();
    section(out, title, &counts, |(name, count)| {
        format!("{count:>12}  {name}")
    })
}

/// A title and an indented line for each item; nothing when there is none.
fn section<T, L: Display>(out: &mut String, title: &str, items: &[T], line: impl Fn(&T) -> L) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    items
        .iter()
        .try_for_each(|item| writeln!(out, "  {}", line(item)))
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use headgate_dataplane::telemetry::{DenialStatus, ListenerStatus, ServiceStatus, StageStatus};
    use headgate_net::record::{Class, HttpCount};

    use super::*;

    #[test]
    fn an_empty_status_shows_no_empty_sections() {
        let text = render(&Status::default());
        assert!(text.contains("not connected"), "{text}");
        assert!(!text.contains("SERVICES") && !text.contains("DROPPED"), "{text}");
    }

    #[test]
    fn on_sockets_the_mode_stands_in_place_of_packets() {
        let mut status = Status {
            mode: Mode::Sockets,
            ..Status::default()
        };
        status.listeners.push(ListenerStatus {
            address: "0.0.0.0:80".parse().unwrap(),
            tls: false,
            fault: Some("why".into()),
        });
        status.denials.push(DenialStatus::default());
        status.workers.push(WorkerStatus::default());
        let text = render(&status);
        assert!(text.contains("0 Service frontends are not balanced"), "{text}");
        assert!(text.contains("http  NOT LISTENING: why"), "{text}");
        for absent in ["frames", "routes", "DENIED", "packets"] {
            assert!(!text.contains(absent), "{absent} in {text}");
        }
    }

    #[test]
    fn http_is_summed_over_the_workers() {
        let mut status = Status::default();
        for _ in 0..2 {
            let mut worker = WorkerStatus::default();
            worker.l7.counters.requests[Class::Success] = 21;
            worker.l7.counters.events[HttpCount::Denied] = 1;
            status.workers.push(worker);
        }
        let text = render(&status);
        for line in [
            "42  2xx: HTTP requests answered",
            "2  Requests that policies deny: 403",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("5xx"), "{text}");
    }

    #[test]
    fn stages_with_cores_of_their_own_have_their_lines_and_count() {
        let mut status = Status::default();
        let mut stage = StageStatus {
            stage: 1,
            core: Some(3),
            ..StageStatus::default()
        };
        stage.l7.counters.requests[Class::Success] = 7;
        stage.l7.now[HttpGauge::Clients] = 1;
        stage.counts.events[PacketCount::FromL7] = 40;
        status.stages.push(stage);
        let text = render(&status);
        for line in [
            "L7 STAGES\n  1 on core 3: 1 client, 7 requests, 40 packets sent, 0 turns",
            "7  2xx: HTTP requests answered",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn what_the_flow_log_lost_is_told() {
        let mut status = Status::default();
        assert!(!render(&status).contains("FLOW LOG"));
        status.flow_log.over_rate = 3;
        let text = render(&status);
        assert!(text.contains("3  lost: more than --flow-log-rate"), "{text}");
    }

    #[test]
    fn each_service_denial_and_drop_has_its_line() {
        let mut status = Status::default();
        status.services.push(ServiceStatus {
            name: "shop/echo".into(),
            protocol: "udp".into(),
            address: "[2001:db8:f::11]:7".parse().unwrap(),
            backends: 1,
            counts: Snapshot::default(),
        });
        status.denials.push(DenialStatus {
            policy: "shop/echo-clients".into(),
            direction: "ingress".into(),
            packets: 4,
        });
        status.totals.drops.insert("denied".into(), 4);
        let text = render(&status);
        for line in [
            "[2001:db8:f::11]:7",
            " 1 backend\n",
            "4  shop/echo-clients (ingress)",
            "4  denied",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
