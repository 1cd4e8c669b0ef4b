//! `headgate status`: what the running dataplane tells about itself.

mod text;

use std::{
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result};
use headgate_dataplane::telemetry::Status;

use headgate_policy::socket;

use crate::flags::StatusOptions;

/// What is asked for.
const REQUEST: &str = "status";

/// Prints the status as text or JSON.
pub(crate) fn run(options: &StatusOptions) -> Result<()> {
    let document = socket::ask(&options.run_dir, REQUEST)?;
    let shown = if options.json {
        // Through a value, not through `Status`: a newer dataplane may tell more than this program knows.
        let value: serde_json::Value = serde_json::from_str(&document).context("the status is not JSON")?;
        serde_json::to_string_pretty(&value)? + "\n"
    } else {
        text::render(&parse(&document)?)
    };
    match std::io::stdout().write_all(shown.as_bytes()) {
        // `headgate status | head` is no fault.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing the status"),
    }
}

/// The status of the dataplane whose sockets are in `run_dir`, for a person.
pub(crate) fn text(run_dir: &Path) -> Result<String> {
    Ok(text::render(&parse(&socket::ask(run_dir, REQUEST)?)?))
}

fn parse(document: &str) -> Result<Status> {
    serde_json::from_str(document)
        .context("the dataplane's status is not what this version of headgate knows")
}
