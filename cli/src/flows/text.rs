//! Lines for people.

use std::fmt::Write;

use headgate_dataplane::telemetry::flow_log::{
    End, Flow, Layer, Line, Loss, Lost, Occasion, Reason, Side, Verdict, Word,
};

/// A line without its end; `None` for what this version of headgate does not know.
pub(super) fn render(line: &Line) -> Option<String> {
    match line {
        Line::Flow(flow) => Some(of_flow(flow)),
        Line::Lost(lost) => Some(of_lost(lost)),
        Line::Error { .. } | Line::Unknown => None,
    }
}

/// `2026-05-01T12:00:00.000001Z denied  TCP 192.0.2.7:40000 -> shop/web-1 10.244.1.10:8080 by 198.51.100.10:80: …`
fn of_flow(flow: &Flow) -> String {
    let verdict = match (flow.verdict, flow.event) {
        (Verdict::Allowed, _) => "allowed",
        (Verdict::Denied, Occasion::New) => "denied",
        (Verdict::Denied, Occasion::Cut) => "cut",
    };
    let protocol = match flow.layer {
        Layer::L4 => flow.protocol.as_str(),
        Layer::L7 => "HTTP",
    };
    let mut text = format!(
        "{} {verdict:<7} {protocol:<4} {} -> {} by {}: {}",
        flow.time,
        end(&flow.source),
        end(&flow.destination),
        socket(flow.frontend.address, flow.frontend.port),
        why(flow)
    );
    if flow.policies_changed && flow.reason != Reason::PoliciesChanged {
        text.push_str(" (by policies that have changed since)");
    }
    if flow.count > 1 {
        // Writing to a string cannot fail.
        let _ = write!(text, " ({} times)", flow.count);
    }
    text
}

fn end(end: &End) -> String {
    let socket = socket(end.address, end.port);
    let more = match end.others {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    match (&end.namespace, &end.pod, &end.node) {
        (Some(namespace), Some(pod), _) => format!("{namespace}/{pod}{more} {socket}"),
        (_, _, Some(node)) => format!("node {node}{more} {socket}"),
        _ => socket,
    }
}

fn socket(address: std::net::IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn why(flow: &Flow) -> String {
    let words = [
        ("egress", flow.egress.as_ref(), Side::Egress),
        ("ingress", flow.ingress.as_ref(), Side::Ingress),
    ];
    // Of a denial, only the end that denies; of what is allowed, both.
    let told: Vec<String> = words
        .iter()
        .filter(|(_, _, side)| flow.denied_by.is_none_or(|denied| denied == *side))
        .filter_map(|(name, word, _)| word.map(|word| format!("{name} {}", said(word))))
        .collect();
    match flow.reason {
        Reason::NoPolicy => "no policy has a word on it".into(),
        Reason::PoliciesChanged => "policies that have changed since, and would decide otherwise now".into(),
        _ => told.join(", "),
    }
}

/// `policy shop/web, rule 0`.
fn said(word: &Word) -> String {
    let mut text = format!("policy {}", word.policy);
    let _ = match (word.rule, &word.rule_name) {
        (Some(rule), Some(name)) => write!(text, ", rule {rule} \"{name}\""),
        (Some(rule), None) => write!(text, ", rule {rule}"),
        (None, _) => write!(text, ", no rule matches"),
    };
    text
}

fn of_lost(lost: &Lost) -> String {
    let why = match lost.reason {
        Loss::Rate => "more than --flow-log-rate",
        Loss::QueueFull => "the gateway's log did not keep up",
        Loss::SlowReader => "this reader did not keep up",
    };
    format!("{} {} decisions are not shown: {why}", lost.time, lost.count)
}
