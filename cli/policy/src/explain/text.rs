//! For people.

use std::fmt::Write;

use super::{Explained, ExplainedSide, PolicyText};
use crate::{reasons, table};

/// Characters of a line of peers.
const PEERS: usize = 44;

pub(super) fn render(explained: &Explained) -> String {
    let addresses: Vec<_> = explained.addresses.iter().map(ToString::to_string).collect();
    let mut text = explained.name.clone();
    if addresses != [explained.name.clone()] {
        let _infallible = write!(text, "  {}", addresses.join("  "));
    }
    text.push('\n');
    if let Some(note) = &explained.note {
        let _infallible = writeln!(text, "  note: {note}");
    }
    if !explained.labels.is_empty() {
        let labels: Vec<_> = explained.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let _infallible = writeln!(text, "  labels: {}", labels.join(" "));
    }
    if !explained.ports.is_empty() {
        let port = |p: &super::ContainerPort| {
            format!("{} {} {}", p.protocol, p.port, p.name)
                .trim_end()
                .to_owned()
        };
        let ports: Vec<_> = explained.ports.iter().map(port).collect();
        let _infallible = writeln!(text, "  listens on: {}", ports.join(", "));
    }
    if !explained.node.is_empty() {
        let node: Vec<_> = explained.node.iter().map(ToString::to_string).collect();
        let _infallible = writeln!(
            text,
            "  node: {}; between it and the pod NetworkPolicies do not come, whatever is said below of nodes",
            node.join("  ")
        );
    }
    for (side, words) in [(&explained.ingress, &INGRESS), (&explained.egress, &EGRESS)] {
        text.push('\n');
        render_side(&mut text, side, words);
    }
    text
}

/// What the two directions are called.
struct Words {
    heading: &'static str,
    field: &'static str,
    preposition: &'static str,
    column: &'static str,
}

const INGRESS: Words = Words {
    heading: "What reaches it (ingress)",
    field: "ingress",
    preposition: "from",
    column: "FROM",
};

const EGRESS: Words = Words {
    heading: "What it reaches (egress)",
    field: "egress",
    preposition: "to",
    column: "TO",
};

fn render_side(text: &mut String, side: &ExplainedSide, words: &Words) {
    let state = match (side.isolated, side.policies.is_empty()) {
        (true, _) => "isolated: what no rule accepts is denied",
        (false, true) => "open: no policy selects it",
        (false, false) => "not isolated: no NetworkPolicy selects it; what no rule decides is allowed",
    };
    let _infallible = writeln!(text, "{}: {state}", words.heading);
    for policy in &side.policies {
        render_policy(text, policy, words);
    }
    let mut rows = vec![vec![
        words.column.to_owned(),
        "PORTS".to_owned(),
        "BECAUSE".to_owned(),
    ]];
    for row in side.connections.iter().filter(|row| !row.rest) {
        let mut peers = table::wrap(&row.words, PEERS).into_iter();
        let ports = if row.allowed {
            row.ports.to_string()
        } else {
            "none".to_owned()
        };
        rows.push(vec![
            peers.next().unwrap_or_default(),
            ports,
            reasons::because(&row.by, row.allowed),
        ]);
        rows.extend(peers.map(|line| vec![line, String::new(), String::new()]));
    }
    *text += &table::render("  ", &rows);
}

fn render_policy(text: &mut String, policy: &PolicyText, words: &Words) {
    let tier = match policy.priority {
        Some(priority) => format!(" (tier {}, priority {priority})", policy.tier),
        None => String::new(),
    };
    if policy.rules.is_empty() {
        let _infallible = writeln!(text, "  {}{tier}: accepts nothing", policy.name);
        return;
    }
    let _infallible = writeln!(text, "  {}{tier}", policy.name);
    for rule in &policy.rules {
        let verb = match rule.action {
            "Deny" => "denies",
            "Pass" => "passes on",
            _ => "accepts",
        };
        let name = match rule.name.as_str() {
            "" => String::new(),
            name => format!(" {name:?}"),
        };
        let _infallible = writeln!(
            text,
            "    {}[{}]{name} {verb} {} {} {}",
            words.field,
            rule.rule,
            rule.ports,
            words.preposition,
            rule.peers.join(", or ")
        );
    }
}
