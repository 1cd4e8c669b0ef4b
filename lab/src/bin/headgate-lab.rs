//! The lab by hand: bring it up and look around, clean up after it, run one pod's server.
#![forbid(unsafe_code)]

use std::io::Write;

use anyhow::Result;
use clap::{Parser, Subcommand};
use headgate_lab::{Lab, LabOptions, PodSpec, pod::PodCommand};

#[derive(Parser)]
#[command(version, about = "A virtual network of namespaces for trying Headgate")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build a lab with pods and keep it until Enter is pressed
    Up {
        /// How many pods to start
        #[arg(long, default_value_t = 3)]
        pods: u8,
    },
    /// Remove what labs of dead processes left behind
    Sweep,
    /// Run one pod's server
    Pod(PodCommand),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Up { pods } => up(pods),
        Command::Sweep => {
            for leftover in headgate_lab::sweep()? {
                writeln!(std::io::stdout(), "removed {}", leftover.0)?;
            }
            Ok(())
        }
        Command::Pod(command) => command.run(),
    }
}

fn up(pods: u8) -> Result<()> {
    let lab = Lab::build(LabOptions::new(std::env::current_exe()?, &["pod"]))?;
    let started: Result<Vec<_>> = (1..=pods)
        .map(|n| lab.start_pod(&PodSpec::new(&format!("pod-{n}"), n)))
        .collect();
    let mut out = std::io::stdout();
    for pod in &started? {
        writeln!(
            out,
            "{} {} {}",
            pod.name(),
            pod.addresses()[0],
            pod.addresses()[1]
        )?;
    }
    writeln!(out, "\nip netns exec {} bash    # clients", lab.clients.name())?;
    writeln!(
        out,
        "ip netns exec {} bash    # gateway: ports {}",
        lab.gateway.name(),
        Lab::PORTS.join(" ")
    )?;
    writeln!(
        out,
        "ip netns exec {} bash    # pods\n\nEnter ends the lab.",
        lab.pods.name()
    )?;
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
