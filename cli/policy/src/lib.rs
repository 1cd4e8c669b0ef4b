//! `headgate policy`: who may connect to whom, and why.
//!
//! Every question is asked of a `Snapshot`: the tables that the dataplane decides by, compiled
//! from a directory of manifests or from the objects of a running gateway, and the objects themselves.
#![forbid(unsafe_code)]

mod blocks;
mod check;
mod classes;
mod diff;
mod ends;
mod explain;
mod flags;
mod lint;
mod names;
mod planned;
mod ports;
#[cfg(test)]
mod property;
mod reach;
mod reasons;
mod snapshot;
pub mod socket;
mod source;
mod table;
#[cfg(test)]
mod testing;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Result;
use flags::PolicyCommand;

/// What a command found, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandOutcome {
    /// Allowed; nothing found; no difference.
    Yes,
    /// Denied; findings; differences.
    No,
    /// Some of it could not be answered, and the output says what.
    Incomplete,
}

impl From<CommandOutcome> for ExitCode {
    fn from(outcome: CommandOutcome) -> Self {
        match outcome {
            CommandOutcome::Yes => Self::SUCCESS,
            CommandOutcome::No => Self::from(1),
            CommandOutcome::Incomplete => Self::from(2),
        }
    }
}

/// What stands behind `headgate policy`.
#[derive(Debug, clap::Args)]
pub struct PolicyQuestion {
    #[command(subcommand)]
    command: PolicyCommand,
}

/// Runs a command. Errors end with exit code 2: 1 is an answer.
pub fn run(question: &PolicyQuestion) -> ExitCode {
    let outcome = match &question.command {
        PolicyCommand::Check(options) => check::run(options),
        PolicyCommand::Explain(options) => explain::run(options),
        PolicyCommand::Reach(options) => reach::run(options),
        PolicyCommand::Lint(options) => lint::run(options),
        PolicyCommand::Diff(options) => diff::run(options),
    };
    match outcome {
        Ok(outcome) => outcome.into(),
        // `headgate policy check | head` is no fault.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_to_tell = writeln!(std::io::stderr(), "error: {}", told(&error));
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Writes a whole result to standard output.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// The error and its causes, without those that the one before has told already.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = text + ": " + &cause;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_told_already_is_not_told_again() {
        let error = anyhow::anyhow!("no such device")
            .context("port eth9: no such device")
            .context("starting");
        assert_eq!(told(&error), "starting: port eth9: no such device");
    }
}
