//! The way to the host's own stack: a TAP device, on which the kernel receives what we write.
//!
//! The packets are such as came in by a port, with their original addresses, so the device must be one where the kernel
//! neither doubts the source (`rp_filter`) nor its own addresses as sources (`accept_local`), and that it forwards from.
//! Answers go out by the host's ordinary routes, not by this device; it has no routes.

use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use headgate_xsk::tap::{Tap, TapError};
use rtnetlink::Handle;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::tap_settings;
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
    pub(super) async fn create(netlink: &Handle) -> Result<Self, TapError> {
        let mut result = Tap::create("headgate0");
        for number in NAMES.skip(1) {
            if !matches!(result, Err(TapError::Busy { .. })) {
                break;
            }
            result = Tap::create(&format!("headgate{number}"));
        }
        let tap = result?;
        tap_settings::set(&tap, netlink).await;
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
