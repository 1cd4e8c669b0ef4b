//! `headgate policy reach`: who may connect to whom, as a matrix.

mod groups;
mod html;
mod matrix;
mod svg;
mod table;

#[cfg(test)]
mod tests;

use std::fs;

use anyhow::{Context, Result};

use super::flags::{ReachFormat, ReachOptions};
use super::{CommandOutcome, print, source};
use matrix::Matrix;

/// Prints the matrix, or writes it to a file.
pub(super) fn run(options: &ReachOptions) -> Result<CommandOutcome> {
    let snapshot = source::snapshot(&options.source)?.apart_from_nodes()?;
    let matrix = Matrix::new(&snapshot, options)?;
    let text = match options.format {
        ReachFormat::Table => table::render(&matrix),
        ReachFormat::Json => serde_json::to_string_pretty(&matrix)? + "\n",
        ReachFormat::Svg => svg::document(&matrix),
        ReachFormat::Html => html::render(&matrix),
    };
    match &options.output {
        Some(path) => fs::write(path, text).with_context(|| format!("--output {}", path.display()))?,
        None => print(&text)?,
    }
    Ok(CommandOutcome::Yes)
}
