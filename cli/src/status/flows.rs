//! `headgate status flows`: the flows that are followed now.

use std::fmt::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use headgate_dataplane::telemetry::{FlowList, FlowOrder, FlowQuery, FlowStatus};
use headgate_policy::socket;

use super::objects::bytes;
use crate::flags::{FlowFilter, FlowOrderChoice};

/// The flows that match, as text or JSON.
pub(super) fn ask(run_dir: &Path, filter: &FlowFilter, json: bool) -> Result<String> {
    let query = serde_json::to_string(&query(filter))?;
    let document = socket::ask(run_dir, &format!("flows {query}"))?;
    if json {
        // Through a value: a newer dataplane may tell more than this program knows.
        let value: serde_json::Value = serde_json::from_str(&document).context("the list is not JSON")?;
        return Ok(serde_json::to_string_pretty(&value)? + "\n");
    }
    let list =
        serde_json::from_str(&document).context("the list is not what this version of headgate knows")?;
    Ok(render(&list))
}

fn query(filter: &FlowFilter) -> FlowQuery {
    FlowQuery {
        protocols: filter.protocol.clone(),
        states: filter.state.clone(),
        from: filter.from.clone(),
        to: filter.to.clone(),
        ports: filter.port.clone(),
        services: filter.service.clone(),
        top: Some(filter.top),
        by: match filter.by {
            FlowOrderChoice::Bytes => FlowOrder::Bytes,
            FlowOrderChoice::Packets => FlowOrder::Packets,
            FlowOrderChoice::Idle => FlowOrder::Idle,
        },
    }
}

fn render(list: &FlowList) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, list);
    text
}

fn write(out: &mut String, list: &FlowList) -> fmt::Result {
    let states: Vec<_> = list
        .states
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    write!(out, "{} of {} flows match", list.matched, list.followed)?;
    writeln!(
        out,
        "{}{}",
        if states.is_empty() { "" } else { ": " },
        states.join(", ")
    )?;
    if !list.complete {
        writeln!(
            out,
            "a worker did not tell all of its flows in time: there may be more"
        )?;
    }
    if list.flows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:>11} {:>10} {:>11} {:>10} {:>9}  {:<15} {:<4} client > Service address > pod",
        "packets in", "bytes", "packets out", "bytes", "idle", "state", ""
    )?;
    list.flows
        .iter()
        .try_for_each(|flow| writeln!(out, "{}", line(flow)))?;
    match list.matched.saturating_sub(list.flows.len()) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more: --top N shows as many"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "tenths of a second are shown")]
fn line(flow: &FlowStatus) -> String {
    let service = flow
        .service
        .as_deref()
        .map(|name| format!(" ({name})"))
        .unwrap_or_default();
    format!(
        "{:>11} {:>10} {:>11} {:>10} {:>7.1} s  {:<15} {:<4} {} > {}{service} > {}",
        flow.packets_in,
        bytes(flow.bytes_in),
        flow.packets_out,
        bytes(flow.bytes_out),
        flow.idle_milliseconds as f64 / 1e3,
        flow.state,
        flow.protocol,
        flow.client,
        flow.frontend,
        flow.pod,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_and_what_is_left_out_are_told() {
        let flow = FlowStatus {
            worker: 0,
            protocol: "tcp".into(),
            state: "tcp-opening".into(),
            service: Some("shop/echo".into()),
            client: "192.0.2.10:4000".parse().unwrap(),
            frontend: "198.51.100.10:7".parse().unwrap(),
            source: "10.244.1.1:61000".parse().unwrap(),
            pod: "10.244.1.10:7".parse().unwrap(),
            packets_in: 3,
            bytes_in: 180,
            packets_out: 0,
            bytes_out: 0,
            idle_milliseconds: 1_234,
        };
        let list = FlowList {
            followed: 9,
            matched: 4,
            states: [("tcp-opening".to_owned(), 4)].into(),
            complete: true,
            flows: vec![flow],
        };
        let text = render(&list);
        for part in [
            "4 of 9 flows match: 4 tcp-opening\n",
            "192.0.2.10:4000 > 198.51.100.10:7 (shop/echo) > 10.244.1.10:7",
            " 180 B ",
            " 1.2 s  tcp-opening ",
            "and 3 more",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        assert!(!text.contains("in time"));
        let nothing = render(&FlowList::default());
        assert_eq!(
            nothing,
            "0 of 0 flows match\na worker did not tell all of its flows in time: there may be more\n"
        );
    }
}
