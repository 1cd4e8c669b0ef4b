//! Where log lines go and which.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt};

/// What is logged where nothing else is asked for. A server whose certificate is not trusted is told once by who connects;
/// the verifier says so again for each attempt.
const DEFAULT: &str = "info,rustls_platform_verifier=off";

#[derive(Clone, Debug, Args)]
pub(crate) struct LogFlags {
    /// How log lines are written to standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, help_heading = "Log")]
    pub(crate) log_format: LogFormat,
    /// What is logged: a level, or levels by module as in warn,headgate_dataplane::worker=debug [default: $RUST_LOG,
    /// or info]
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Log")]
    pub(crate) log: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

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
