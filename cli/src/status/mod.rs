//! `headgate status`: what the running dataplane tells about itself.

mod flows;
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
    let shown = match &options.of {
        Some(StatusOf::Flows(filter)) => flows::ask(&options.run_dir, filter, options.json)?,
        of => {
            let objects = of.as_ref().and_then(objects);
            let document = socket::ask(&options.run_dir, REQUEST)?;
            match objects {
                of if options.json => json(&document, of)?,
                None => text::render(&parse(&document)?),
                Some(objects) => objects.all(&parse(&document)?),
            }
        }
    };
    match std::io::stdout().write_all(shown.as_bytes()) {
        // `headgate status | head` is no fault.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing the status"),
    }
}

const fn objects(of: &StatusOf) -> Option<Objects> {
    match of {
        StatusOf::Services => Some(Objects::Services),
        StatusOf::Routes => Some(Objects::Routes),
        StatusOf::Upstreams => Some(Objects::Upstreams),
        StatusOf::Flows(_) => None,
    }
}

/// The document, or a part of it: through a value, not through `Status`, as a newer dataplane may tell more than this
/// program knows.
fn json(document: &str, of: Option<Objects>) -> Result<String> {
    let mut value: serde_json::Value = serde_json::from_str(document).context("the status is not JSON")?;
    let part = of.map(|of| match of {
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
