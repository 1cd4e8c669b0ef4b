//! A path that takes smaller packets than our own link, with a router that says so.

use std::cell::RefCell;

use etherparse::PacketBuilder;

use super::super::network::Node;
use super::*;
use headgate_net::clock::Nanos;
use headgate_net::record::TcpCount;
use headgate_net::wire::{checksum, ipv4};

/// A stack behind a link that takes packets of `mtu` bytes; the router in front of it tells who sends larger ones.
struct Narrow {
    stack: Stack,
    mtu: usize,
    tells: bool,
    told: Vec<Vec<u8>>,
    /// The lengths of what came through.
    through: Rc<RefCell<Vec<usize>>>,
}

impl Node for Narrow {
    fn ingress(&mut self, packet: &[u8], now: Nanos) {
        if packet.len() <= self.mtu {
            self.through.borrow_mut().push(packet.len());
            give(&self.stack, packet, now);
        } else if self.tells {
            self.told.push(error_about(packet, self.mtu));
        }
    }

    fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        for error in self.told.drain(..) {
            emit(error.len(), &mut |packet: &mut [u8]| {
                packet.copy_from_slice(&error);
            });
        }
        self.stack.egress(now, emit);
    }

    fn next_timer(&self) -> Option<Nanos> {
        self.stack.next_timer()
    }

    fn wake(&self) -> std::sync::Arc<Notify> {
        self.stack.wake()
    }
}

/// What a router says about a packet that does not fit.
fn error_about(packet: &[u8], mtu: usize) -> Vec<u8> {
    let mtu = u16::try_from(mtu).unwrap().to_be_bytes();
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([0; 6], [0; 6]);
    if packet[0] >> 4 == 4 {
        let to = packet[12..16].try_into().unwrap();
        builder
            .ipv4([203, 0, 113, 1], to, 64)
            .icmpv4_raw(3, 4, [0, 0, mtu[0], mtu[1]])
            .write(&mut frame, &packet[..28])
            .unwrap();
    } else {
        let to = packet[8..24].try_into().unwrap();
        let router = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        builder
            .ipv6(router, to, 64)
            .icmpv6_raw(2, 0, [0, 0, mtu[0], mtu[1]])
            .write(&mut frame, &packet[..packet.len().min(1_232)])
            .unwrap();
    }
    frame.split_off(14)
}

/// A client behind a link of `mtu`, and a server.
fn narrow(mtu: usize, tells: bool) -> (Stack, Stack, Rc<RefCell<Vec<usize>>>) {
    let (client, server) = (Stack::new(config()), server(&[80]));
    let through = Rc::new(RefCell::default());
    let node = Narrow {
        stack: client.clone(),
        mtu,
        tells,
        told: Vec::new(),
        through: Rc::clone(&through),
    };
    let channel = Channel {
        delay: Duration::from_millis(5),
        ..Channel::perfect()
    };
    let mut network = Network::new(channel, 1);
    network.join(node, [ip(CLIENT), ip(CLIENT6)]);
    network.join(server.clone(), [ip(SERVER), ip(SERVER6)]);
    tokio::task::spawn_local(network.run());
    (client, server, through)
}

#[test]
fn a_narrow_path_is_found_and_kept_to() {
    for (address, mtu, plateau) in [
        (SERVER, 1_410, 1_400),
        (SERVER, 600, 552),
        (SERVER6, 1_400, 1_400),
        (SERVER6, 1_280, 1_280),
    ] {
        run(async {
            let (client, server, through) = narrow(mtu, true);
            let start = tokio::time::Instant::now();
            transfer(
                &client,
                &server,
                SocketAddr::new(ip(address), 80),
                (1_000, 300_000),
            )
            .await;
            // Ten segments of the first window are sent again, each in its round trip of 10 ms: no timeout is waited for.
            assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
            assert_eq!(through.borrow().iter().max(), Some(&plateau), "{address} {mtu}");
            assert_eq!(server.status().counters[TcpCount::Narrowed], 1);
            quiet(&[&client, &server]).await;
        });
    }
}

/// Routers that drop what is too large and say nothing cost some timeouts, and then nothing any more.
#[test]
fn a_narrow_path_is_found_without_a_word() {
    for (mtu, most) in [(1_400, 1_076), (600, 564)] {
        run(async {
            let (client, server, through) = narrow(mtu, false);
            let start = tokio::time::Instant::now();
            transfer(
                &client,
                &server,
                SocketAddr::new(ip(SERVER), 80),
                (1_000, 300_000),
            )
            .await;
            assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
            assert_eq!(through.borrow().iter().max(), Some(&most));
            quiet(&[&client, &server]).await;
        });
    }
}

/// A segment of a server under way, as a frame's IP packet.
fn segment(sequence: u32) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([0; 6], [0; 6])
        .ipv4([198, 51, 100, 10], [192, 0, 2, 10], 64)
        .tcp(80, 40_000, sequence, 1_000)
        .write(&mut frame, &[0; 1_460])
        .unwrap();
    frame.split_off(14)
}

#[test]
fn what_a_router_says_is_read_or_left() {
    let error = error_about(&segment(7), 1_337);
    let told = too_big(&error).unwrap();
    assert_eq!(told.local, SocketAddr::new(ip(SERVER), 80));
    assert_eq!(told.remote, SocketAddr::new(ip(CLIENT), 40_000));
    assert_eq!((told.sequence.0, told.mtu), (7, 1_320));
    // Old routers say nothing but that it was too large.
    assert_eq!(too_big(&error_about(&segment(7), 0)).unwrap().mtu, 1_492);
    assert_eq!(too_big(&error_about(&segment(7), 68)).unwrap().mtu, 552);
    for length in 0..error.len() {
        assert_eq!(too_big(&error[..length]), None, "{length} bytes");
    }
    for at in 20..error.len() {
        let mut broken = error.clone();
        broken[at] ^= 0x40;
        assert_eq!(too_big(&broken), None, "byte {at}");
    }
    // To somebody who did not send the segment.
    let mut other = error;
    other[19] ^= 1;
    ipv4::fill_checksum(&mut other[..20]);
    assert_eq!(too_big(&other), None);
}

#[test]
fn who_does_not_see_our_packets_cannot_make_them_small() {
    run(async {
        let (client, server, _) = narrow(1_500, true);
        let remote = SocketAddr::new(ip(SERVER), 80);
        let connecting = client.connect(remote).unwrap();
        let (mut stream, mut served) = tokio::join!(async { connecting.await.unwrap() }, server.accept());
        let now = server.now();
        // Nothing is under way: no sequence number is right.
        let port = stream.local_addr().port();
        for sequence in (0..=u32::MAX).step_by(1 << 20) {
            let mut forged = segment(sequence);
            forged[22..24].copy_from_slice(&port.to_be_bytes());
            give(&server, &error_about(&forged, 1_280), now);
        }
        assert_eq!(server.status().counters[TcpCount::Narrowed], 0);
        served.write_all(b"still here").await.unwrap();
        let mut got = [0; 10];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"still here");
    });
}

proptest! {
    #[test]
    fn whatever_the_bytes_are(
        mut packet in proptest::collection::vec(any::<u8>(), 0..120),
        v6 in any::<bool>(),
        quoted_length in any::<u8>(),
    ) {
        // Enough of a header to come past the first checks more often than by chance.
        if packet.len() > 20 {
            packet[0] = if v6 { 0x60 } else { 0x45 };
            packet[if v6 { 6 } else { 9 }] = if v6 { 58 } else { 1 };
        }
        let _ = too_big(&packet);
        // A right error whose quotation is cut off anywhere and lies about its header.
        let mut quoted = segment(7);
        quoted[0] = quoted_length;
        quoted.truncate(usize::from(quoted_length));
        let mut error = error_about(&segment(7), 1_400);
        error.truncate(28);
        error.extend_from_slice(&quoted);
        let total = u16::try_from(error.len()).unwrap().to_be_bytes();
        error[2..4].copy_from_slice(&total);
        ipv4::fill_checksum(&mut error[..20]);
        error[22..24].fill(0);
        let sum = checksum::checksum(&error[20..]);
        error[22..24].copy_from_slice(&sum.to_be_bytes());
        if let Some(told) = too_big(&error) {
            prop_assert_eq!(told.local.ip(), ip(SERVER));
        }
    }
}
