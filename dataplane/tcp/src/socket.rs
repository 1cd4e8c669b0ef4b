//! A smoltcp socket in a set of its own, and the interfaces that drive it.

use std::net::{IpAddr, SocketAddr};

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, Socket as Tcp, SocketBuffer, State};
use smoltcp::time::{Duration as SmolDuration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpEndpoint, IpListenEndpoint};

use super::device::{Sink, Wire};
use super::options::StackConfig;
use super::packets::{Nowhere, Small};
use headgate_net::clock::Nanos;

/// One socket with its buffers. smoltcp scans every socket of a set for each packet, so each has its own set; and it
/// never gives buffers back, so the whole is what is recycled.
pub(super) struct Socket {
    set: SocketSet<'static>,
    handle: SocketHandle,
}

impl Socket {
    pub(super) fn new(buffer: usize) -> Self {
        // Zeroed memory comes from the kernel page by page as it is used.
        let ring = || SocketBuffer::new(vec![0; buffer]);
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(Tcp::new(ring(), ring()));
        Self { set, handle }
    }

    pub(super) fn tcp(&mut self) -> &mut Tcp<'static> {
        self.set.get_mut(self.handle)
    }

    /// How much the peer has not acknowledged: bytes, and the FIN.
    pub(super) fn left_to_send(&mut self) -> usize {
        let fin = matches!(
            self.tcp().state(),
            State::FinWait1 | State::Closing | State::LastAck
        );
        self.tcp().send_queue() + usize::from(fin)
    }

    /// Throws away what has been received; returns how many bytes.
    pub(super) fn discard(&mut self) -> usize {
        let tcp = self.tcp();
        let queued = tcp.recv_queue();
        while tcp.can_recv() && tcp.recv(|data| (data.len(), ())).is_ok() {}
        queued
    }

    /// Makes smoltcp send the first unacknowledged segment again at the next `egress`, by telling it of three
    /// duplicate acknowledgements. `segment` makes an acknowledgement with a window; `window` is the one told last.
    ///
    /// Another window first, and then the old one, make smoltcp forget the duplicates that it has counted: it
    /// retransmits at the third alone. smoltcp must have data in flight, and takes time as if it heard from the peer.
    pub(super) fn retransmit(
        &mut self,
        interface: &mut Stateless,
        now: Nanos,
        segment: impl Fn(u16) -> Small,
        window: u16,
    ) {
        for window in [window ^ 1, window, window, window, window] {
            self.ingress(interface, segment(window).bytes(), now, &mut Nowhere);
        }
    }

    /// Makes a socket, new or used, ready for a connection.
    pub(super) fn prepare(&mut self, config: &StackConfig) {
        let tcp = self.tcp();
        tcp.abort();
        tcp.set_nagle_enabled(false);
        tcp.set_congestion_control(CongestionControl::None);
        tcp.set_ack_delay(Some(duration(config.ack_delay)));
        tcp.set_timeout(Some(duration(config.user_timeout)));
        tcp.set_keep_alive(Some(duration(config.keep_alive)));
    }

    /// Waits for the SYN that the caller is about to hand in.
    pub(super) fn listen(&mut self, local: SocketAddr) {
        let endpoint = IpListenEndpoint {
            addr: Some(address(local.ip())),
            port: local.port(),
        };
        self.tcp()
            .listen(endpoint)
            .expect("prepared, and the parser lets no port 0 through");
    }

    /// Begins a connection; its SYN comes out at the next `egress`.
    pub(super) fn connect(
        &mut self,
        interface: &mut Stateless,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> bool {
        let tcp = self.set.get_mut::<Tcp<'_>>(self.handle);
        tcp.connect(interface.0.context(), endpoint(remote), endpoint(local))
            .is_ok()
    }

    /// Takes a segment in; what smoltcp answers at once goes to `sink`.
    pub(super) fn ingress(
        &mut self,
        interface: &mut Stateless,
        packet: &[u8],
        now: Nanos,
        sink: &mut dyn Sink,
    ) {
        let mut wire = Wire {
            received: Some(packet),
            sink,
            mtu: interface.1,
        };
        interface
            .0
            .poll_ingress_single(instant(now), &mut wire, &mut self.set);
    }

    /// Makes at most one packet; returns whether it did.
    pub(super) fn egress(&mut self, interface: &mut Stateless, now: Nanos, sink: &mut dyn Sink) -> bool {
        let mut wire = Wire {
            received: None,
            sink,
            mtu: interface.1,
        };
        interface.0.poll_egress(instant(now), &mut wire, &mut self.set) == PollResult::SocketStateChanged
    }

    /// When `egress` has something to do, if no segment arrives before.
    pub(super) fn poll_at(&mut self, interface: &mut Stateless, now: Nanos) -> Option<Nanos> {
        let at = interface.0.poll_at(instant(now), &self.set)?;
        Some(Nanos(
            u64::try_from(at.total_micros())
                .unwrap_or(0)
                .saturating_mul(1_000),
        ))
    }
}

/// A smoltcp interface, with its MTU. It keeps no state of any connection but the generator of initial sequence
/// numbers, so one drives all sockets, and one with a fresh seed is thrown away after each handshake.
pub(super) struct Stateless(Interface, usize);

impl Stateless {
    pub(super) fn new(mtu: usize, seed: u64) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(
            config,
            &mut Wire {
                received: None,
                sink: &mut Nowhere,
                mtu,
            },
            Instant::ZERO,
        );
        interface.set_any_ip(true);
        Self(interface, mtu)
    }

    /// What a host without sockets answers to a segment: a reset, or nothing to a reset.
    pub(super) fn refuse(&mut self, packet: &[u8], now: Nanos, sink: &mut dyn Sink) {
        let mut wire = Wire {
            received: Some(packet),
            sink,
            mtu: self.1,
        };
        self.0
            .poll_ingress_single(instant(now), &mut wire, &mut SocketSet::new(Vec::new()));
    }
}

fn duration(duration: std::time::Duration) -> SmolDuration {
    SmolDuration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

fn instant(now: Nanos) -> Instant {
    Instant::from_micros(i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX))
}

fn address(address: IpAddr) -> IpAddress {
    address.into()
}

fn endpoint(socket: SocketAddr) -> IpEndpoint {
    IpEndpoint::new(address(socket.ip()), socket.port())
}
