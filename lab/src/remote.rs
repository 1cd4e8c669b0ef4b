//! A client behind a bad line.
//!
//! ```text
//!   remote                               clients (routes)            gateway
//!   203.0.113.10     r0 ══ impaired ══ w0  203.0.113.1   c0 ──── g0
//!   2001:db8:e::10
//! ```
//!
//! `r0` and `w0` are TAP devices; a thread carries frames between them, or does not.

use std::{
    io::{self, ErrorKind},
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use headgate_xsk::tap::Tap;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::{PipeFlags, pipe_with},
};

use crate::{
    Lab, Namespace, address,
    impair::{Impairment, ImpairmentCounts, Line},
};

/// Longest frame: an MTU of 1500 and the Ethernet header.
const LONGEST: usize = 1514;

/// A client behind a bad line; the line is cut when this is dropped.
#[derive(Debug)]
pub struct Remote {
    /// Where to run clients.
    pub namespace: Namespace,
    counts: Arc<Mutex<[ImpairmentCounts; 2]>>,
    /// The second counts the changes.
    impairment: Arc<Mutex<(Impairment, u64)>>,
    // Closing it ends the thread.
    stop: Option<OwnedFd>,
    carrier: Option<JoinHandle<()>>,
}

impl Remote {
    /// Its IPv4 and IPv6 address.
    pub const ADDRESSES: (IpAddr, IpAddr) = address::REMOTE;

    pub(crate) fn connect(lab: &Lab, namespace: Namespace, impairment: Impairment) -> Result<Self> {
        let near = lab.clients.enter(|| Tap::create("w0"))?.context("making w0")?;
        let far = namespace.enter(|| Tap::create("r0"))?.context("making r0")?;
        namespace.ip(&[
            "addr add 203.0.113.10/24 dev r0",
            "addr add 2001:db8:e::10/64 dev r0 nodad",
            "route add default via 203.0.113.1",
            "route add default via 2001:db8:e::1",
        ])?;
        lab.clients.ip(&[
            "addr add 203.0.113.1/24 dev w0",
            "addr add 2001:db8:e::1/64 dev w0 nodad",
        ])?;
        lab.clients.sysctl("ipv4/ip_forward", "1")?;
        lab.clients.sysctl("ipv6/conf/all/forwarding", "1")?;
        let (v4, v6) = address::client(0);
        lab.gateway.ip(&[
            format!("route add 203.0.113.0/24 via {v4} dev g0"),
            format!("route add 2001:db8:e::/64 via {v6} dev g0"),
        ])?;
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC).context("making a pipe")?;
        let counts = Arc::new(Mutex::default());
        let shared = Arc::clone(&counts);
        let impairment = Arc::new(Mutex::new((impairment, 0)));
        let changing = Arc::clone(&impairment);
        let carrier = thread::Builder::new()
            .name("impaired-line".into())
            .spawn(move || {
                if let Err(error) = carry(&far, &near, &stopped, &changing, &shared) {
                    tracing::error!("the impaired line broke: {error}");
                }
            })?;
        Ok(Self {
            namespace,
            counts,
            impairment,
            stop: Some(stop),
            carrier: Some(carrier),
        })
    }

    /// From now on frames fare so, in both directions; the chances begin anew, so that the same positions are hit for the same
    /// seed.
    pub fn impair(&self, impairment: Impairment) {
        let mut known = self.impairment.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (impairment, known.1 + 1);
    }

    /// What the line did: from the client, and to it.
    #[must_use]
    pub fn counts(&self) -> [ImpairmentCounts; 2] {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(carrier) = self.carrier.take() {
            // Its panic has been printed; there is nothing to clean up after it.
            let _ = carrier.join();
        }
    }
}

/// Carries frames between two devices until the other end of `stopped` is closed.
fn carry(
    far: &Tap,
    near: &Tap,
    stopped: &OwnedFd,
    impairment: &Mutex<(Impairment, u64)>,
    counts: &Mutex<[ImpairmentCounts; 2]>,
) -> io::Result<()> {
    let (first, mut changes) = *impairment.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = Line::new(first);
    let mut back = Line::new(other(first));
    loop {
        let mut ready = [
            PollFd::new(far, PollFlags::IN),
            PollFd::new(near, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        let next = [&out, &back].iter().filter_map(|line| line.next_release()).min();
        let wait = next.map(|at| at.saturating_duration_since(Instant::now()));
        match poll(&mut ready, wait.map(timespec).as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !ready[2].revents().is_empty() {
            return Ok(());
        }
        let (now, count) = *impairment.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut changes, count) != count {
            out.change(now);
            back.change(other(now));
        }
        drain(far, near, &mut out)?;
        drain(near, far, &mut back)?;
        *counts.lock().unwrap_or_else(PoisonError::into_inner) = [out.counts, back.counts];
    }
}

/// The direction back has chances of its own.
fn other(impairment: Impairment) -> Impairment {
    Impairment {
        seed: impairment.seed.wrapping_add(1),
        ..impairment
    }
}

fn drain(from: &Tap, to: &Tap, line: &mut Line) -> io::Result<()> {
    // A device that takes no more loses the frame, as a full queue on a real line does.
    let mut deliver = |frame: &[u8]| {
        let _ = to.write(frame);
    };
    let now = Instant::now();
    let mut buffer = [0; LONGEST];
    // Not for ever: the other direction wants its turn.
    for _ in 0..64 {
        match from.read(&mut buffer) {
            Ok(length) => line.push(&buffer[..length], now, &mut deliver),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    line.release(now, &mut deliver);
    Ok(())
}

fn timespec(wait: Duration) -> Timespec {
    Timespec {
        tv_sec: wait.as_secs().cast_signed(),
        tv_nsec: i64::from(wait.subsec_nanos()),
    }
}
