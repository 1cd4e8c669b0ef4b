//! `headgate status`: what the running dataplane tells about itself.

mod objects;
mod text;

use std::{
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result};
use headgate_dataplane::telemetry::Status;

use headgate_policy::socket;

use crate::flags::{StatusOf, StatusOptions};
use objects::Objects;

/// What is asked for.
const REQUEST: &str = "status";

/// Prints the status, or a part of it, as text or JSON.
pub(crate) fn run(options: &StatusOptions) -> Result<()> {
    let document = socket::ask(&options.run_dir, REQUEST)?;
    let shown = match (&options.of, options.json) {
        (of, true) => json(&document, of.as_ref())?,
        (None, false) => text::render(&parse(&document)?),
        (Some(of), false) => objects(of).all(&parse(&document)?),
    };
    match std::io::stdout().write_all(shown.as_bytes()) {
        // `headgate status | head` is no fault.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing the status"),
    }
}

const fn objects(of: &StatusOf) -> Objects {
    match of {
        StatusOf::Services => Objects::Services,
        StatusOf::Routes => Objects::Routes,
        StatusOf::Upstreams => Objects::Upstreams,
    }
}

/// The document, or a part of it: through a value, not through `Status`, as a newer dataplane may tell more than this
/// program knows.
fn json(document: &str, of: Option<&StatusOf>) -> Result<String> {
    let mut value: serde_json::Value = serde_json::from_str(document).context("the status is not JSON")?;
    let part = of.map(|of| match objects(of) {
        Objects::Services => "services",
        Objects::Routes => "http_routes",
        Objects::Upstreams => "upstreams",
    });
    let shown = match part {
        Some(part) => value[part].take(),
        None => value,
    };
    Ok(serde_json::to_string_pretty(&shown)? + "\n")
}

/// The status of the dataplane whose sockets are in `run_dir`, for a person.
pub(crate) fn text(run_dir: &Path) -> Result<String> {
    Ok(text::render(&parse(&socket::ask(run_dir, REQUEST)?)?))
}

fn parse(document: &str) -> Result<Status> {
    serde_json::from_str(document)
        .context("the dataplane's status is not what this version of headgate knows")
}
