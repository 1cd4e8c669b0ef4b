//! The way to the host's own stack: a TAP device, on which the kernel receives what we write.
//!
//! The packets are such as came in by a port, with their original addresses, so the device must be one where the kernel
//! neither doubts the source (`rp_filter`) nor its own addresses as sources (`accept_local`), and that it forwards from.
//! Answers go out by the host's ordinary routes, not by this device; it has no routes.

use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use headgate_xsk::tap::{Tap, TapError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::host::Sysctl;
use crate::telemetry::KernelPathStatus;
use crate::worker::KernelPath;

/// One device for each instance in a network namespace.
const NAMES: std::ops::Range<u8> = 0..16;

/// The device.
pub(super) struct TapPath {
    tap: Tap,
    ignored: AtomicU64,
}

impl TapPath {
    pub(super) fn create() -> Result<Self, TapError> {
        let mut result = Tap::create("headgate0");
        for number in NAMES.skip(1) {
            if !matches!(result, Err(TapError::Busy { .. })) {
                break;
            }
            result = Tap::create(&format!("headgate{number}"));
        }
        let tap = result?;
        set_up(tap.name());
        Ok(Self {
            tap,
            ignored: AtomicU64::new(0),
        })
    }

    /// Reads what the kernel sends to everybody on the device (MLD, for one) and forgets it, or its queue would fill up
    /// and be counted as loss. Never ends.
    pub(super) async fn drain(&self) -> std::io::Result<Infallible> {
        #[expect(
            deprecated,
            reason = "unsound with types that change their descriptor, which OwnedFd does not; its successor is unsafe"
        )]
        let readable = AsyncFd::with_interest(self.tap.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let mut packet = [0; 2048];
        loop {
            let mut guard = readable.readable().await?;
            guard.clear_ready();
            while self.tap.read(&mut packet).is_ok() {
                self.ignored.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn status(&self) -> KernelPathStatus {
        KernelPathStatus {
            name: self.tap.name().to_owned(),
            ignored: self.ignored.load(Ordering::Relaxed),
        }
    }
}

impl KernelPath for TapPath {
    fn send(&self, frame: &mut [u8]) -> bool {
        // Packets for other link-layer addresses than the device's own are not for the host.
        if let Some(destination) = frame.get_mut(..6) {
            destination.copy_from_slice(&self.tap.mac());
        }
        self.tap.write(frame).is_ok()
    }
}

fn set_up(name: &str) {
    // The kernel takes the stricter of this and the setting for all: 1 there is relaxed by 2 here, not by 0.
    let all = Sysctl::new("net/ipv4/conf/all/rp_filter").read();
    let reverse_path = if all.is_ok_and(|value| value == "0") {
        "0"
    } else {
        "2"
    };
    let v4 = [
        ("rp_filter", reverse_path),
        ("accept_local", "1"),
        ("forwarding", "1"),
    ];
    // No addresses of its own: going down and up again forgets the link-local one.
    let v6 = [
        ("disable_ipv6", "1"),
        ("addr_gen_mode", "1"),
        ("accept_ra", "0"),
        ("disable_ipv6", "0"),
    ];
    let v4 = v4.map(|(key, value)| (format!("net/ipv4/conf/{name}/{key}"), value));
    let v6 = v6.map(|(key, value)| (format!("net/ipv6/conf/{name}/{key}"), value));
    for (key, value) in v4.iter().chain(&v6) {
        let setting = Sysctl::new(key);
        if let Err(error) = setting.write(value) {
            tracing::warn!(
                "{setting} could not be set to {value} ({error}); packets for the host itself may be lost"
            );
        }
    }
    // Linux 6.17 and later: forwarding of IPv6 from this device alone. Before, it is all devices or none.
    let _ = Sysctl::new(&format!("net/ipv6/conf/{name}/force_forwarding")).write("1");
}
