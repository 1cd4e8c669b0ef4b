//! The matrix for a terminal.

use std::fmt::Write;

use super::matrix::{Extent, Matrix};
use crate::table;

/// So many of the cells that are allowed in part are told in words.
const TOLD: usize = 100;

/// A line for each group, a sign for each cell, and what the signs leave open in words.
pub(super) fn render(matrix: &Matrix) -> String {
    let mut text = format!("{}\n\n", matrix.caption());
    let digits = matrix.groups.len().to_string().len();
    let mut rows = Vec::new();
    let numbers: Vec<String> = (1..=matrix.groups.len())
        .map(|n| format!("{n:>digits$}"))
        .collect();
    rows.push(vec!["from \\ to".to_owned(), numbers.join(" ")]);
    for ((group, cells), number) in matrix.groups.iter().zip(&matrix.cells).zip(1..) {
        let signs = cells
            .iter()
            .map(|cell| format!("{:>digits$}", sign(cell.allowed)));
        let name = match group.pods {
            0 | 1 => group.name.clone(),
            pods => format!("{} ({pods})", group.name),
        };
        rows.push(vec![
            format!("{number:>digits$} {name}"),
            signs.collect::<Vec<_>>().join(" "),
        ]);
    }
    text += &table::render("", &rows);
    text += "\n#  allowed   +  in part   .  denied   =  itself\n";
    in_part(&mut text, matrix);
    text
}

fn sign(allowed: Extent) -> char {
    match allowed {
        Extent::All => '#',
        Extent::Some => '+',
        Extent::None => '.',
        Extent::Itself => '=',
        Extent::Void => ' ',
    }
}

fn in_part(text: &mut String, matrix: &Matrix) {
    let cells = matrix.groups.iter().zip(&matrix.cells).flat_map(|(from, cells)| {
        let partly = matrix.groups.iter().zip(cells);
        partly.map(move |(to, cell)| (from, to, cell))
    });
    let partly: Vec<_> = cells.filter(|(.., cell)| cell.allowed == Extent::Some).collect();
    if partly.is_empty() {
        return;
    }
    *text += "\nAllowed in part; [in brackets] not to all of them, or by one family of addresses:\n";
    let mut rows = Vec::new();
    for (from, to, cell) in partly.iter().take(TOLD) {
        rows.push(vec![from.name.clone(), format!("to {}", to.name), cell.words()]);
    }
    *text += &table::render("  ", &rows);
    if let Some(more) = partly.len().checked_sub(TOLD).filter(|more| *more > 0) {
        let _infallible = writeln!(text, "  and {more} more; --format json has all");
    }
}
