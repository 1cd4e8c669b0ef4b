//! What decides, in few words.

use super::check::{By, Sides};

/// What lets a connection be, or what denies it.
pub(super) fn because(by: &Sides, allowed: bool) -> String {
    let sides = [("egress", &by.egress), ("ingress", &by.ingress)];
    let decided = sides
        .into_iter()
        .filter_map(|(direction, by)| Some((direction, by.as_ref()?)));
    let reasons: Vec<_> = decided
        .filter(|(_, by)| allowed || by.action == "Deny")
        .map(|(direction, by)| reason(direction, by))
        .collect();
    if reasons.is_empty() {
        return "no policy is about it".to_owned();
    }
    reasons.join(" and ")
}

fn reason(direction: &str, by: &By) -> String {
    let verb = if by.action == "Deny" { "denied by " } else { "" };
    match by.rule {
        Some(rule) => format!("{verb}{} {direction}[{rule}]", by.policy),
        None => format!("{} isolates {direction}", by.policy),
    }
}
