//! Time and memory to compile the big cluster from nothing, in a process that does nothing else.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    cluster::{BIG, Cluster},
    live::Live,
};

/// Which addresses the cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

/// Compiles the cluster and prints what [`report`] reads.
///
/// # Errors
///
/// When the dataplane refuses it.
pub(super) fn print(family: Family) -> Result<()> {
    let operations = Cluster::new(BIG, family == Family::Ipv6).operations();
    let mut live = Live::start()?;
    let before = kilobytes("VmRSS")?;
    let took = live.publish(true, operations)?;
    let tables = live.tables();
    let figures = json!({
        "milliseconds": took.as_secs_f64() * 1e3,
        "tables": tables.policy.memory(),
        "builder": tables.policy.size().builder_bytes,
        "before": before,
        "after": kilobytes("VmRSS")?,
        "peak": kilobytes("VmHWM")?,
    });
    println!("{figures}");
    Ok(())
}

/// Has other processes compile it, and prints a table.
///
/// # Errors
///
/// When one fails.
pub(super) fn report() -> Result<()> {
    println!(
        "The big cluster sent over the ring, compiled from nothing and acknowledged, in a process of its own\n"
    );
    println!(
        "| | ms | tables, MB | process before, MB | after, MB | at most, MB |\n|---|---|---|---|---|---|"
    );
    for family in ["ipv4", "ipv6"] {
        let output = Command::new(std::env::current_exe()?)
            .args(["policy", "--footprint", family])
            .output()?;
        ensure!(
            output.status.success(),
            "compiling from nothing: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let figures: Value = serde_json::from_slice(&output.stdout)?;
        let megabytes = |name: &str, unit: f64| -> Result<f64> {
            Ok(figures[name].as_f64().with_context(|| format!("no {name}"))? * unit / 1e6)
        };
        println!(
            "| {family} | {:.0} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} |",
            megabytes("milliseconds", 1e6)?,
            megabytes("tables", 1.0)?,
            megabytes("builder", 1.0)?,
            megabytes("before", 1024.0)?,
            megabytes("after", 1024.0)?,
            megabytes("peak", 1024.0)?,
        );
    }
    println!();
    Ok(())
}

/// A line of `/proc/self/status` (`proc_pid_status(5)`).
fn kilobytes(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim_start_matches(':').split_ascii_whitespace().next());
    Ok(number
        .with_context(|| format!("no {name} in /proc/self/status"))?
        .parse()?)
}
