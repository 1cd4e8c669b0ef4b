//! The way to the host's own stack: a TAP device, on which the kernel receives what we write.
//!
//! The packets are such as came in by a port, with their original addresses, so the device must be one where the kernel
//! neither doubts the source (`rp_filter`) nor its own addresses as sources (`accept_local`), and that it forwards from.
//! Answers go out by the host's ordinary routes, not by this device. The only routes by it are those to Headgate's own
//! addresses, by which pods answer that only the kernel reaches: see [`tap_routes`].

use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use headgate_net::fib::TapAddresses;
use headgate_xsk::tap::{Tap, TapError};
use rtnetlink::Handle;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::answers::{Answers, Fate};
use super::{tap_routes, tap_settings};
use crate::options::TapNetworks;
use crate::telemetry::KernelPathStatus;
use crate::worker::KernelPath;

/// One device for each instance in a network namespace.
const NAMES: std::ops::Range<u8> = 0..TapNetworks::DEVICES;
/// Packets that are read before other tasks have their turn.
const BATCH: usize = 64;

/// The device.
pub(super) struct TapPath {
    tap: Tap,
    addresses: TapAddresses,
    ignored: AtomicU64,
    lost: AtomicU64,
}

impl TapPath {
    /// Makes the device; answers that come by it are no longer than `mtu`.
    pub(super) async fn create(
        netlink: &Handle,
        networks: TapNetworks,
        mtu: usize,
    ) -> Result<Self, TapError> {
        let mut number = 0;
        let mut result = Tap::create("headgate0");
        for next in NAMES.skip(1) {
            if !matches!(result, Err(TapError::Busy { .. })) {
                break;
            }
            number = next;
            result = Tap::create(&format!("headgate{number}"));
        }
        let tap = result?;
        tap_settings::set(&tap, mtu, netlink).await;
        Ok(Self {
            addresses: tap_routes::set(tap.name(), number, networks, netlink).await,
            tap,
            ignored: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// The addresses that the kernel reaches Headgate at.
    pub(super) fn addresses(&self) -> TapAddresses {
        self.addresses
    }

    /// Reads what the kernel sends by the device: gives the answers of pods to their workers, and forgets what is to everybody
    /// there (MLD, for one). Never ends.
    pub(super) async fn serve(&self, answers: &mut Answers) -> std::io::Result<Infallible> {
        #[expect(
            deprecated,
            reason = "unsound with types that change their descriptor, which OwnedFd does not; its successor is unsafe"
        )]
        let readable = AsyncFd::with_interest(self.tap.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        loop {
            readable.readable().await?.clear_ready();
            while self.read_some(answers) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Whether there may be more.
    fn read_some(&self, answers: &mut Answers) -> bool {
        let more = (0..BATCH).all(|_| self.read_one(answers));
        answers.wake();
        more
    }

    /// Whether there was one.
    fn read_one(&self, answers: &mut Answers) -> bool {
        let Some(mut frame) = answers.frame() else {
            let there = self.tap.read(&mut [0; 64]).is_ok();
            self.lost.fetch_add(u64::from(there), Ordering::Relaxed);
            return there;
        };
        frame.set_len(frame.capacity());
        let Ok(length) = self.tap.read(frame.data_mut()) else {
            answers.put_back(frame);
            return false;
        };
        frame.set_len(length);
        match answers.give(frame) {
            Fate::Given => {}
            Fate::Ignored => _ = self.ignored.fetch_add(1, Ordering::Relaxed),
            Fate::Lost => _ = self.lost.fetch_add(1, Ordering::Relaxed),
        }
        true
    }

    pub(super) fn status(&self) -> KernelPathStatus {
        KernelPathStatus {
            name: self.tap.name().to_owned(),
            addresses: self.addresses.all().collect(),
            ignored: self.ignored.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
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
