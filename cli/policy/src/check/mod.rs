//! `headgate policy check`: whether a connection is allowed, and who decides.

mod answer;
mod query;
mod text;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};

pub(super) use answer::{By, Sides, tier};
use query::Query;

use super::flags::{CheckOptions, Format};
use super::snapshot::PolicySnapshot;
use super::{CommandOutcome, print, source};

/// The longest question.
const LINE_BYTES: u64 = 64 << 10;

/// Answers one connection, or all of a file.
pub(super) fn run(options: &CheckOptions) -> Result<CommandOutcome> {
    let snapshot = source::snapshot(&options.source)?;
    if let Some(queries) = &options.queries {
        let out = io::BufWriter::new(io::stdout().lock());
        return if queries == Path::new("-") {
            answer_all(&snapshot, io::stdin().lock(), out)
        } else {
            let file = File::open(queries).with_context(|| format!("--queries {}", queries.display()))?;
            answer_all(&snapshot, file, out)
        };
    }
    let query = Query::of_flags(options);
    let answer = answer::answer(&snapshot, query).map_err(anyhow::Error::msg)?;
    for (connection, denied_by) in &answer.decided {
        snapshot.confirm(*connection, *denied_by)?;
    }
    match options.format {
        Format::Text => print(&text::render(&answer))?,
        Format::Json => print(&(serde_json::to_string(&answer)? + "\n"))?,
    }
    Ok(if answer.allowed {
        CommandOutcome::Yes
    } else {
        CommandOutcome::No
    })
}

/// Answers each line with a line, in order. Where a program asks line by line it gets each answer before it asks
/// on: output is flushed whenever no further question is at hand.
fn answer_all(
    snapshot: &PolicySnapshot,
    questions: impl Read,
    mut out: impl Write,
) -> Result<CommandOutcome> {
    let mut questions = BufReader::with_capacity(LINE_BYTES as usize, questions);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    let mut outcome = CommandOutcome::Yes;
    while next_line(&mut questions, &mut line)? {
        number += 1;
        let question = without_mark(&line, number);
        if question.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match Query::parse(question).and_then(|query| answer::answer(snapshot, query)) {
            Ok(answer) => serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?,
            Err(reason) => {
                outcome = CommandOutcome::Incomplete;
                let error = serde_json::json!({"error": format!("line {number}: {reason}")});
                serde_json::to_writer(&mut out, &error).map_err(io::Error::from)?;
            }
        }
        out.write_all(b"\n")?;
        if !questions.buffer().contains(&b'\n') {
            out.flush()?;
        }
    }
    out.flush()?;
    Ok(outcome)
}

/// A byte order mark may stand in front of the first (RFC 8259 section 8.1).
fn without_mark(line: &[u8], number: u64) -> &[u8] {
    match line.strip_prefix("\u{feff}".as_bytes()) {
        Some(rest) if number == 1 => rest,
        _ => line,
    }
}

/// The next line, cut off where it is too long to be a question; false at the end.
fn next_line(questions: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let read = questions.by_ref().take(LINE_BYTES).read_until(b'\n', line);
    let read = read.context("reading the questions")?;
    if read as u64 == LINE_BYTES && !line.ends_with(b"\n") {
        questions.skip_until(b'\n').context("reading the questions")?;
    }
    Ok(read > 0)
}
