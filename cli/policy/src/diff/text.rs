//! For people.

use std::fmt::Write;

use super::{ChangedRow, Difference, Now};
use crate::names::few;
use crate::{reasons, table};

/// Characters of a line of names.
const NAMES: usize = 32;

pub(super) fn render(difference: &Difference) -> String {
    let mut text = String::new();
    for (names, state) in [(&difference.only_old, "old"), (&difference.only_new, "new")] {
        if !names.is_empty() {
            let shown = few(&names.iter().map(String::as_str).collect(), "");
            let _infallible = writeln!(
                text,
                "Only in the {state} state, and not compared: {}",
                shown.join(", ")
            );
        }
    }
    if difference.changes.is_empty() {
        text += "No connection is allowed in one and denied in the other.\n";
        return text;
    }
    for (now, heading) in [
        (Now::Denied, "No longer allowed:"),
        (Now::Allowed, "Newly allowed:"),
    ] {
        let changes: Vec<_> = difference
            .changes
            .iter()
            .filter(|change| change.now == now)
            .collect();
        if !changes.is_empty() {
            let _infallible = writeln!(text, "{heading}");
            text += &table::render("  ", &rows(&changes));
        }
    }
    text
}

fn rows(changes: &[&ChangedRow]) -> Vec<Vec<String>> {
    let mut rows = vec![["FROM", "TO", "PORTS", "BECAUSE"].map(str::to_owned).to_vec()];
    for change in changes {
        let family = change
            .family
            .map_or(String::new(), |family| format!(" ({family})"));
        let mut cells = [
            table::wrap(&change.words[0], NAMES),
            table::wrap(&change.words[1], NAMES),
            vec![format!("{}{family}", change.ports)],
            vec![reasons::because(&change.by, change.now == Now::Allowed)],
        ];
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let cell =
                |column: &mut Vec<String>| column.get_mut(line).map(std::mem::take).unwrap_or_default();
            rows.push(cells.each_mut().map(cell).to_vec());
        }
    }
    rows
}
