//! One demo at a time on this machine's loopback: all of them use the same addresses.

#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[path = "turn/abstract_socket.rs"]
mod name;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
#[path = "turn/port.rs"]
mod name;

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::Report;
use name::Name;

/// How long another demo may take, which is over within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The right to be there, until this is dropped.
pub(super) struct Turn {
    _name: Name,
}

impl Turn {
    /// Waits for the end of another demo, if there is one.
    pub(super) fn take(report: &mut Report) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let mut told = false;
        loop {
            match Name::take() {
                Ok(name) => return Ok(Self { _name: name }),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(error).context("taking turns with other demos"),
            }
            if !told {
                report
                    .note("another demo is at work on this machine's loopback; this one waits for its end")?;
                told = true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "another demo has been at work on this machine's loopback for {} s; end it first",
                    PATIENCE.as_secs()
                );
            }
            name::wait(left);
        }
    }
}
