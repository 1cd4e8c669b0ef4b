//! `headgate`: the gateway, and what an operator does with it.
#![forbid(unsafe_code)]

mod demo;
mod flags;
mod flows;
mod log;
mod plane;
mod run;
mod status;

use std::{io::Write, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use flags::{Command, Flags, LabCommand};

fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Err(error) = log::start(&flags.log) {
        return fail(&error);
    }
    dispatch(flags).unwrap_or_else(|error| fail(&error))
}

fn dispatch(flags: Flags) -> Result<ExitCode> {
    match flags.command {
        Command::Run(options) => run::run(&options, &flags.log),
        Command::Dataplane(options) => plane::dataplane(options).map(|()| ExitCode::SUCCESS),
        Command::Controlplane(options) => plane::controlplane(options).map(|()| ExitCode::SUCCESS),
        Command::Policy(command) => Ok(headgate_policy::run(&command)),
        Command::Status(options) => status::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Flows(options) => flows::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Lab(LabCommand::Pod(options)) => options.run().map(|()| ExitCode::SUCCESS),
        #[cfg(target_os = "linux")]
        Command::Lab(LabCommand::Sweep) => sweep().map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(target_os = "linux")]
fn sweep() -> Result<()> {
    let mut out = std::io::stdout();
    for leftover in headgate_lab::sweep()? {
        writeln!(out, "removed namespace {}", leftover.0)?;
    }
    Ok(())
}

/// Tells the error with its causes; the log may be off, this is not.
fn fail(error: &anyhow::Error) -> ExitCode {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "error: {}", headgate_policy::told(error));
    ExitCode::FAILURE
}
