//! One demo at a time on this machine's loopback: all of them use the same addresses.

use std::{
    io::{ErrorKind, Read},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::Report;

/// A name that one process of this machine can have; the kernel takes it back when that process ends, whatever ended it.
const NAME: &str = "headgate-demo-on-loopback";
/// How long another demo may take, which is over within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The right to be there, until this is dropped.
pub(super) struct Turn {
    _name: UnixListener,
}

impl Turn {
    /// Waits for the end of another demo, if there is one.
    pub(super) fn take(report: &mut Report) -> Result<Self> {
        let name = SocketAddr::from_abstract_name(NAME)?;
        let deadline = Instant::now() + PATIENCE;
        let mut told = false;
        loop {
            match UnixListener::bind_addr(&name) {
                Ok(listener) => return Ok(Self { _name: listener }),
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
            wait(&name, left);
        }
    }
}

/// Until the other has ended, or for so long: it accepts nobody, and the kernel ends whoever waits for that with it.
fn wait(name: &SocketAddr, time: Duration) {
    let Ok(mut stream) = UnixStream::connect_addr(name) else {
        return;
    };
    if stream.set_read_timeout(Some(time)).is_ok() {
        // Whatever comes of it, the name is tried again.
        let _ = stream.read(&mut [0]);
    }
}
