//! An answer for people.

use std::fmt::Write;

use super::answer::{By, ConnectionAnswer};

/// A line with the answer, and one for what decides at each end.
pub(super) fn render(answer: &ConnectionAnswer) -> String {
    let verdict = match answer.denied_by {
        None => "allowed".to_owned(),
        Some(end) => format!("denied by {end}"),
    };
    let mut text = format!(
        "{verdict}: {} to {}, {} {}\n",
        answer.from, answer.to, answer.protocol, answer.port
    );
    let [egress, ingress] = &answer.selecting;
    side(
        &mut text,
        "egress",
        &answer.from,
        answer.by.egress.as_ref(),
        egress,
    );
    side(
        &mut text,
        "ingress",
        &answer.to,
        answer.by.ingress.as_ref(),
        ingress,
    );
    for pair in &answer.addresses {
        let verdict = pair
            .denied_by
            .map_or("allowed".to_owned(), |end| format!("denied by {end}"));
        let _infallible = writeln!(text, "  {} to {}: {verdict}", pair.from, pair.to);
    }
    for note in &answer.notes {
        let _infallible = writeln!(text, "  note: {note}");
    }
    text
}

fn side(text: &mut String, direction: &str, who: &str, by: Option<&By>, selecting: &[String]) {
    let why = match by {
        None if selecting.is_empty() => format!("allowed: no policy selects {who}"),
        None => format!("allowed: no rule of {} decides", selecting.join(", ")),
        Some(by) => reason(by, direction, selecting),
    };
    let _infallible = writeln!(text, "  {direction}: {why}");
}

fn reason(by: &By, direction: &str, selecting: &[String]) -> String {
    let Some(rule) = by.rule else {
        return format!(
            "denied: isolated, and no {direction} rule of {} matches",
            selecting.join(", ")
        );
    };
    let verb = if by.action == "Deny" { "denied" } else { "allowed" };
    let tier = match by.tier {
        "NetworkPolicy" => String::new(),
        tier => format!(" (tier {tier})"),
    };
    let name = match by.rule_name.as_str() {
        "" => String::new(),
        name => format!(" {name:?}"),
    };
    format!("{verb} by {direction}[{rule}]{name} of {}{tier}", by.policy)
}
