//! `headgate status`: what the running dataplane tells about itself.

mod text;

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use headgate_dataplane::telemetry::Status;

use crate::flags::StatusOptions;

/// How long the dataplane may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints the status as text or JSON.
pub(crate) fn run(options: &StatusOptions) -> Result<()> {
    let document = ask(&options.run_dir)?;
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
    Ok(text::render(&parse(&ask(run_dir)?)?))
}

fn parse(document: &str) -> Result<Status> {
    serde_json::from_str(document)
        .context("the dataplane's status is not what this version of headgate knows")
}

fn ask(run_dir: &Path) -> Result<String> {
    let path = run_dir.join("status.sock");
    let mut socket = UnixStream::connect(&path).map_err(|error| explain(&path, error))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut document = String::new();
    socket
        .read_to_string(&mut document)
        .with_context(|| format!("reading the status from {}", path.display()))?;
    Ok(document)
}

fn explain(path: &Path, error: std::io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            "no gateway runs here; start one with `headgate run`, or name its directory with --run-dir"
        }
        ErrorKind::PermissionDenied => "not allowed: run as root, or as a member of the socket's group",
        _ => "the dataplane does not answer",
    };
    anyhow!(error).context(format!("{hint} (socket {})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_gateway_the_error_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let error = format!("{:#}", text(directory.path()).unwrap_err());
        assert!(
            error.contains("headgate run") && error.contains("--run-dir"),
            "{error}"
        );
        assert!(error.contains("status.sock"), "{error}");
    }
}
