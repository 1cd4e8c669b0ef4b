//! `headgate flows`: the log of decisions, past and present.

mod options;
mod text;

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use headgate_dataplane::telemetry::flow_log::{Line, Query};

use options::FlowsFormat;
pub(crate) use options::{EXAMPLES, FlowsOptions};

/// Prints what the log has, and with `--follow` what comes, until the gateway ends or the reader of our output does.
pub(crate) fn run(options: &FlowsOptions) -> Result<ExitCode> {
    let path = options.run_dir.join("flows.sock");
    let mut socket =
        UnixStream::connect(&path).map_err(|error| headgate_policy::socket::explain(&path, error))?;
    ask(&mut socket, &options.query())?;
    let mut out = std::io::stdout().lock();
    match print(BufReader::new(socket), &mut out, options.format) {
        Ok(()) if options.follow => bail!("the gateway has ended"),
        Ok(()) => Ok(ExitCode::SUCCESS),
        // `headgate flows | head` is no fault.
        Err(error) if broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn ask(socket: &mut UnixStream, query: &Query) -> Result<()> {
    let mut question = serde_json::to_vec(query)?;
    question.push(b'\n');
    socket
        .write_all(&question)
        .context("asking the gateway for its flows")
}

fn print(lines: impl BufRead, out: &mut impl Write, format: FlowsFormat) -> Result<()> {
    for line in lines.lines() {
        let line = line.context("reading the flow log")?;
        let parsed: Line = serde_json::from_str(&line)
            .with_context(|| format!("a line of the flow log is not what this program knows: {line}"))?;
        if let Line::Error { message } = parsed {
            bail!("{message}");
        }
        match format {
            // As it came: a newer gateway may tell more than this program knows.
            FlowsFormat::Json => writeln!(out, "{line}")?,
            FlowsFormat::Text => match text::render(&parsed) {
                Some(text) => writeln!(out, "{text}")?,
                None => continue,
            },
        }
        // Who reads along wants each line when it comes.
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
