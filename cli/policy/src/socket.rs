//! Questions to a running dataplane.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};

/// How long the dataplane may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends a request line to the dataplane whose sockets are in `run_dir`, and returns its document.
/// # Errors
/// When nobody answers, or the answer is a refusal; says what to do.
pub fn ask(run_dir: &Path, request: &str) -> Result<String> {
    ask_within(run_dir, request, PATIENCE)
}

fn ask_within(run_dir: &Path, request: &str, patience: Duration) -> Result<String> {
    let path = run_dir.join("status.sock");
    let mut socket = UnixStream::connect(&path).map_err(|error| explain(&path, error))?;
    socket.set_read_timeout(Some(patience))?;
    let mut document = String::new();
    let answered = socket
        .write_all(format!("{request}\n").as_bytes())
        .and_then(|()| socket.read_to_string(&mut document));
    let what = request.split(' ').next().unwrap_or_default();
    answered
        .map_err(|error| silence(error, patience))
        .with_context(|| format!("asking for the {what} at {}", path.display()))?;
    match refusal(&document) {
        None => Ok(document),
        Some(reason) => Err(anyhow!("the dataplane at {}: {reason}", path.display())),
    }
}

/// What a system call says of a peer that is silent for too long tells nobody anything.
fn silence(error: std::io::Error, patience: Duration) -> anyhow::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => anyhow!(
            "the dataplane runs and says nothing for {patience:?}: it hangs, is stopped, or has no descriptor left"
        ),
        _ => error.into(),
    }
}

/// The reason, if the document is nothing else.
fn refusal(document: &str) -> Option<String> {
    const LEAD: &str = "{\"error\":";
    let value: serde_json::Value = document
        .starts_with(LEAD)
        .then(|| serde_json::from_str(document).ok())??;
    value["error"].as_str().map(str::to_owned)
}

/// Why the socket cannot be used, and what to do.
#[must_use]
pub fn explain(path: &Path, error: std::io::Error) -> anyhow::Error {
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
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn without_a_gateway_the_error_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let error = format!("{:#}", ask(directory.path(), "status").unwrap_err());
        assert!(
            error.contains("headgate run") && error.contains("--run-dir"),
            "{error}"
        );
        assert!(error.contains("status.sock"), "{error}");
    }

    #[test]
    fn a_dataplane_that_says_nothing_is_said_to() {
        let directory = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(directory.path().join("status.sock")).unwrap();
        let answer = ask_within(directory.path(), "status", Duration::from_millis(10));
        let error = format!("{:#}", answer.unwrap_err());
        assert!(
            error.contains("says nothing for 10ms") && error.contains("status.sock"),
            "{error}"
        );
    }

    #[test]
    fn a_refusal_is_an_error() {
        assert_eq!(refusal("{\"error\":\"why\"}\n").as_deref(), Some("why"));
        assert_eq!(refusal("{\"version\":\"1\",\"error\":\"\"}"), None);
    }
}
