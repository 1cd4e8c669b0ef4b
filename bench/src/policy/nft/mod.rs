//! nftables: a rule set in this thread's network namespace, which packets meet before anything else.
//!
//! The kernel hands frames to its own stack one after another (`BPF_PROG_TEST_RUN` with live frames), on this core
//! and without a device. The rules drop every packet and count it as allowed or denied. What they cost is
//! the time for a frame with them, less the time for a frame where the first chain of all drops it.

mod replay;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use self::{replay::Replay, rules::TABLE};
use super::{
    contender::{Contender, FLOOD, Pattern, Question},
    expand::Expansion,
};

/// The table whose only chain drops everything, earlier than the rules.
const BEFORE: &str = "bench-before";

/// Frames of one measurement.
const FRAMES: u32 = FLOOD as u32;

/// The rules in force, and packets for them.
pub(super) struct Nftables {
    family: &'static str,
    busy: Replay,
    flood: Replay,
    /// How long it took to load the rules.
    pub(super) loading: Duration,
}

impl Nftables {
    /// Loads the rules into this thread's network namespace.
    ///
    /// # Errors
    ///
    /// Without `nft` or privileges.
    pub(super) fn load(expansion: &Expansion, question: &Question) -> Result<Self> {
        let family = if expansion.v6 { "ip6" } else { "ip" };
        let start = Instant::now();
        for script in rules::scripts(expansion)? {
            nft(&script)?;
        }
        let loading = start.elapsed();
        Ok(Self {
            family,
            busy: Replay::new(question.of(Pattern::Busy).0)?,
            flood: Replay::new(question.of(Pattern::Flood).0)?,
            loading,
        })
    }

    /// Sends what Headgate allows, then what it denies, and sees that the rules do the same with each packet.
    ///
    /// # Errors
    ///
    /// When a verdict differs.
    pub(super) fn check(&mut self, question: &Question) -> Result<()> {
        self.check_those(question, true)?;
        self.check_those(question, false)
    }

    fn check_those(&mut self, question: &Question, allowed: bool) -> Result<()> {
        let all = question.connections.iter().zip(&question.allowed);
        let these: Vec<_> = all.filter(|(_, a)| **a == allowed).map(|(c, _)| *c).collect();
        if these.is_empty() {
            return Ok(());
        }
        let mut replay = Replay::new(&these)?;
        self.counts()?;
        replay.run(u32::try_from(these.len())?)?;
        let [was_allowed, was_denied] = self.counts()?;
        let wrong = if allowed { was_denied } else { was_allowed };
        ensure!(
            wrong == 0 && was_allowed + was_denied == these.len() as u64,
            "nftables allows {was_allowed} and denies {was_denied} of {} connections that Headgate {}",
            these.len(),
            if allowed { "allows" } else { "denies" }
        );
        Ok(())
    }

    /// Packets allowed and denied since the last time; to list counters, `nft` would read all sets.
    fn counts(&self) -> Result<[u64; 2]> {
        let count = |name| -> Result<u64> {
            let counter = Command::new("nft")
                .args(["-j", "reset", "counter", self.family, TABLE, name])
                .output()?;
            let said: serde_json::Value = serde_json::from_slice(&counter.stdout)
                .with_context(|| String::from_utf8_lossy(&counter.stderr).into_owned())?;
            let objects = said["nftables"].as_array().into_iter().flatten();
            let mut packets = objects.filter_map(|o| o["counter"]["packets"].as_u64());
            packets
                .next()
                .with_context(|| format!("no counter {name} in {said}"))
        };
        Ok([count("allowed")?, count("denied")?])
    }

    /// A frame's nanoseconds where it is dropped before the rules.
    fn base(&mut self, pattern: Pattern) -> Result<f64> {
        let (family, name) = (self.family, BEFORE);
        let script = format!(
            "add table {family} {name}\n\
             add chain {family} {name} main {{ type filter hook prerouting priority -400; }}\n\
             add rule {family} {name} main counter drop\n"
        );
        nft(script.as_bytes())?;
        let nanos = self.replay(pattern).run(FRAMES);
        nft(format!("delete table {family} {name}\n").as_bytes())?;
        nanos
    }

    fn replay(&mut self, pattern: Pattern) -> &mut Replay {
        match pattern {
            Pattern::Busy => &mut self.busy,
            Pattern::Flood => &mut self.flood,
        }
    }
}

impl Contender for Nftables {
    fn ways(&self) -> Vec<String> {
        vec!["nftables, sets".into()]
    }

    fn measure(&mut self, _way: usize, pattern: Pattern, _question: &Question) -> Result<f64> {
        let without = self.base(pattern)?;
        Ok(self.replay(pattern).run(FRAMES)? - without)
    }
}

impl Drop for Nftables {
    fn drop(&mut self) {
        // The next cluster begins with an empty namespace; what cannot be removed makes loading it fail.
        let _ = nft(format!("delete table {} {TABLE}\n", self.family).as_bytes());
    }
}

/// Runs a script.
fn nft(script: &[u8]) -> Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("nft: install the package nftables")?;
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(script));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("nft: {}", said.lines().next().unwrap_or("no word"));
    }
    Ok(written?)
}
