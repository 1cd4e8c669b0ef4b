//! The one-packet device through which smoltcp sees the world.

use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Where packets that smoltcp makes go.
pub(super) trait Sink {
    /// Whether another packet can be taken; smoltcp makes none otherwise.
    fn ready(&self) -> bool;
    /// Takes a packet of `length` bytes that `fill` writes; calls `fill` exactly once.
    fn put(&mut self, length: usize, fill: &mut dyn FnMut(&mut [u8]));
}

/// Holds at most one packet to receive.
pub(super) struct Wire<'a> {
    pub(super) received: Option<&'a [u8]>,
    pub(super) sink: &'a mut dyn Sink,
    pub(super) mtu: usize,
}

/// What [`Wire`] is capable of. Checksums are verified before and filled in after smoltcp, by this crate.
pub(super) fn capabilities(mtu: usize) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = mtu;
    capabilities.checksum = ChecksumCapabilities::ignored();
    capabilities
}

impl Device for Wire<'_> {
    type RxToken<'t>
        = Received<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Transmit<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let packet = self.received.take()?;
        Some((Received(packet), Transmit(self.sink)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        self.sink.ready().then_some(Transmit(self.sink))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

pub(super) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(super) struct Transmit<'a>(&'a mut dyn Sink);

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let (mut f, mut result) = (Some(f), None);
        self.0.put(length, &mut |buffer| {
            if let Some(f) = f.take() {
                result = Some(f(buffer));
            }
        });
        result.expect("a sink calls fill once")
    }
}
