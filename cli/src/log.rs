//! Where log lines go and which.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::{EnvFilter, fmt};

use crate::flags::{LogFlags, LogFormat};

/// What is logged where nothing else is asked for.
const DEFAULT: &str = "info";

/// Sends this process's log lines to standard error; standard output is for results.
pub(crate) fn start(flags: &LogFlags) -> Result<()> {
    let environment = std::env::var("RUST_LOG").ok();
    let filter = flags
        .log
        .as_deref()
        .or(environment.as_deref())
        .filter(|f| !f.is_empty())
        .unwrap_or(DEFAULT);
    let filter = EnvFilter::try_new(filter).with_context(|| {
        format!("log filter {filter:?} (--log, RUST_LOG) is none; try info, or warn,headgate_dataplane=debug")
    })?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match flags.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
