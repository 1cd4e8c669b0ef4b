//! Tests that speak in packets: floods, lies and leftovers.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::super::Stack;
use super::super::segment::{ACK, CWR, ECE, FIN, RST, SYN};
use super::{CLIENT, CLIENT6, SERVER, SERVER6, give, ip, segment_of, server};
use headgate_net::clock::Nanos;
use headgate_net::record::{TcpCount, TcpGauge};
use headgate_net::wire::{TCP, checksum};

/// A segment as a test writes it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) v6: bool,
    /// From the address that is called to the one that calls.
    pub(super) reply: bool,
    pub(super) ports: (u16, u16),
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

impl Written {
    pub(super) fn syn(port: u16, sequence: u32) -> Self {
        Self {
            v6: false,
            reply: false,
            ports: (port, 80),
            sequence,
            acknowledgement: 0,
            flags: SYN,
            window: 64_000,
            options: vec![2, 4, 5, 0xb4, 1, 3, 3, 7],
            payload: Vec::new(),
        }
    }

    pub(super) fn packet(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.ports.0.to_be_bytes());
        tcp.extend(self.ports.1.to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledgement.to_be_bytes());
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4).min(40), 0);
        tcp.extend([u8::try_from(5 + options.len() / 4).unwrap() << 4, self.flags]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0, 0, 0]);
        tcp.extend(options);
        tcp.extend(&self.payload);
        let (source, destination) = if self.v6 {
            (ip(CLIENT6), ip(SERVER6))
        } else if self.reply {
            (ip(SERVER), ip(CLIENT))
        } else {
            (ip(CLIENT), ip(SERVER))
        };
        let sum = checksum::transport_between(source, destination, TCP, &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut packet = header(self.v6, tcp.len());
        if self.reply {
            // The sum over the header does not change.
            let (source, destination) = packet[12..20].split_at_mut(4);
            source.swap_with_slice(destination);
        }
        packet.extend(tcp);
        packet
    }
}

fn header(v6: bool, length: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let octets = |text| match ip(text) {
        std::net::IpAddr::V4(a) => a.octets().to_vec(),
        std::net::IpAddr::V6(a) => a.octets().to_vec(),
    };
    if v6 {
        packet.extend([0x60, 0, 0, 0]);
        packet.extend(u16::try_from(length).unwrap().to_be_bytes());
        packet.extend([6, 64]);
        packet.extend(octets(CLIENT6));
        packet.extend(octets(SERVER6));
    } else {
        packet.extend([0x45, 0]);
        packet.extend(u16::try_from(length + 20).unwrap().to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(octets(CLIENT));
        packet.extend(octets(SERVER));
        let sum = checksum::checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

pub(super) fn answers(stack: &Stack, now: Nanos) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    stack.egress(now, &mut |length, fill| {
        let mut packet = vec![0x55; length];
        fill(&mut packet);
        packets.push(packet);
        true
    });
    packets
}

fn answer(stack: &Stack, segment: &Written, now: Nanos) -> Vec<(u8, u32, u32)> {
    give(stack, &segment.packet(), now);
    let parsed = answers(stack, now);
    let parsed = parsed
        .iter()
        .map(|packet| segment_of(packet).expect("we send good packets"));
    parsed
        .map(|s| (s.flags, s.sequence.0, s.acknowledgement.0))
        .collect()
}

/// Opens a connection by hand; returns our next sequence number and the server's.
fn open(stack: &Stack, port: u16, now: Nanos) -> (u32, u32) {
    let syn = Written::syn(port, 1_000);
    let [(flags, iss, 1_001)] = answer(stack, &syn, now)[..] else {
        panic!("no SYN-ACK")
    };
    assert_eq!(flags, SYN | ACK);
    let ack = Written {
        flags: ACK,
        sequence: 1_001,
        acknowledgement: iss.wrapping_add(1),
        options: vec![],
        ..syn
    };
    assert_eq!(answer(stack, &ack, now), []);
    (1_001, iss.wrapping_add(1))
}

#[test]
fn a_syn_flood_takes_records_and_no_sockets() {
    let stack = server(&[80]);
    let limit = stack.shared.inner.borrow().config.max_half_open;
    for n in 0..3 * limit {
        let mut syn = Written::syn(u16::try_from(1 + n % 60_000).unwrap(), 7);
        syn.v6 = n >= 60_000;
        give(&stack, &syn.packet(), Nanos(n as u64));
        assert_eq!(answers(&stack, Nanos(n as u64)).len(), 1, "SYN {n}");
    }
    let status = stack.status();
    assert_eq!(
        (
            status.now[TcpGauge::HalfOpen],
            status.now[TcpGauge::Connections],
            status.now[TcpGauge::Buffered]
        ),
        (limit as u64, 0, 0)
    );
    assert_eq!(status.counters[TcpCount::CookiesSent], 2 * limit as u64);
    // Where so many wait, none is answered more than twice again, and all are gone after seven seconds but for half.
    let (sent, gone) = pass(&stack, Nanos(u64::MAX));
    assert!(gone <= Nanos(64_000_000_000), "{gone:?}");
    assert!(sent <= limit * 2 + limit / 2 * 3, "{sent} answers");
    assert_eq!(stack.status().now[TcpGauge::HalfOpen], 0);
    assert!(stack.shared.inner.borrow().is_empty());
}

/// Lets timers fire until then; how many packets that made, and when the last one fired.
fn pass(stack: &Stack, until: Nanos) -> (usize, Nanos) {
    let (mut sent, mut now) = (0, Nanos(0));
    while let Some(next) = stack.next_timer().filter(|next| *next < until) {
        now = now.max(next);
        sent += answers(stack, now).len();
    }
    (sent, now)
}

#[test]
fn handshakes_of_a_flood_are_forgotten_sooner() {
    let stack = flooded();
    let limit = stack.shared.inner.borrow().config.max_half_open as u64;
    let held = |stack: &Stack| stack.status().now[TcpGauge::HalfOpen];
    pass(&stack, Nanos(6_900_000_000));
    assert_eq!(held(&stack), limit);
    assert_eq!(stack.half_open(), limit as usize);
    pass(&stack, Nanos(7_100_000_000));
    assert_eq!(held(&stack), limit / 2);
    // These wait on, and nobody waits for them.
    assert_eq!(stack.half_open(), 0);
}

/// Every handshake that may be remembered has begun: who comes now gets a cookie.
fn flooded() -> Stack {
    let stack = server(&[80]);
    let limit = stack.shared.inner.borrow().config.max_half_open;
    for port in 0..limit {
        give(
            &stack,
            &Written::syn(u16::try_from(10_000 + port).unwrap(), 7).packet(),
            Nanos(1),
        );
        answers(&stack, Nanos(1));
    }
    stack
}

#[test]
fn a_cookie_carries_what_the_client_offered() {
    let timestamps = |value: u32, echo: u32| {
        let mut option = vec![1, 1, 8, 10];
        option.extend(value.to_be_bytes());
        option.extend(echo.to_be_bytes());
        option
    };
    let second = Nanos(900_000_000);
    for (offered, expected) in [(true, (true, 32_765)), (false, (false, 65_531))] {
        let stack = flooded();
        let mut syn = Written::syn(5_000, 9);
        syn.options = vec![2, 4, 5, 0x78, 4, 2, 3, 3, 7, 1, 1, 1];
        // All of it, and explicit congestion notification, where there is a timestamp to write it into.
        syn.flags |= ECE | CWR;
        if offered {
            syn.options.extend(timestamps(77, 0));
        }
        give(&stack, &syn.packet(), second);
        let packets = answers(&stack, second);
        let answer = segment_of(&packets[0]).unwrap();
        assert_eq!(
            (answer.options.sack_permitted, answer.options.scale.is_some()),
            (offered, offered)
        );
        assert_eq!(answer.flags, SYN | ACK | if offered { ECE } else { 0 });
        let (iss, stamp) = (answer.sequence.0, answer.options.timestamps);
        let request = Written {
            flags: ACK,
            sequence: 10,
            acknowledgement: iss.wrapping_add(1),
            options: stamp.map_or(vec![], |stamp| timestamps(78, stamp.value)),
            payload: b"GET /".to_vec(),
            ..syn
        };
        give(&stack, &request.packet(), second);
        let stream = stack.try_accept().expect("accepted");
        let counters = stack.status().counters;
        assert_eq!(counters[TcpCount::CookiesAccepted], 1);
        assert_eq!(counters[TcpCount::EcnConnections], u64::from(offered));
        let packets = answers(&stack, Nanos(second.0 + 20_000_000));
        let reply = segment_of(&packets[0]).unwrap();
        assert_eq!(reply.acknowledgement.0, 15);
        assert_eq!((reply.options.timestamps.is_some(), reply.window), expected);
        drop(stream);
    }
}

#[test]
fn nobody_makes_cookies_but_us() {
    let stack = flooded();
    let (_, iss, _) = answer(&stack, &Written::syn(5_000, 9), Nanos(1))[0];
    let ack = Written {
        flags: ACK,
        sequence: 10,
        acknowledgement: iss.wrapping_add(1),
        options: vec![],
        ..Written::syn(5_000, 9)
    };
    let forged = [
        Written {
            acknowledgement: iss.wrapping_add(1 << 8),
            ..ack.clone()
        },
        Written {
            sequence: 11,
            ..ack.clone()
        },
        Written {
            ports: (5_001, 80),
            ..ack.clone()
        },
        Written {
            ports: (5_000, 81),
            ..ack.clone()
        },
    ];
    for forged in forged {
        let expected = [(RST, forged.acknowledgement, 0)];
        assert_eq!(answer(&stack, &forged, Nanos(2)), expected, "{forged:?}");
    }
    assert!(stack.try_accept().is_none());
    // Two periods later it is stale; others may still be redeemed.
    let later = Nanos(127_000_000_000);
    pass(&stack, later);
    assert_eq!(answer(&stack, &ack, Nanos(later.0 + 2_000_000_000)).len(), 1);
    assert!(stack.try_accept().is_none());
    let stack = flooded();
    let (_, iss, _) = answer(&stack, &Written::syn(5_000, 9), Nanos(1))[0];
    let ack = Written {
        acknowledgement: iss.wrapping_add(1),
        ..ack
    };
    pass(&stack, Nanos(59_000_000_000));
    assert_eq!(answer(&stack, &ack, Nanos(60_000_000_000)), []);
    assert!(stack.try_accept().is_some());
}

#[test]
fn a_repeated_syn_gets_the_same_answer_and_initial_numbers_differ() {
    let stack = server(&[80]);
    let first = answer(&stack, &Written::syn(5_000, 9), Nanos(1));
    assert_eq!(first, answer(&stack, &Written::syn(5_000, 9), Nanos(2)));
    let numbers: std::collections::HashSet<u32> = (1..=500)
        .map(|port| answer(&stack, &Written::syn(port, 9), Nanos(3))[0].1)
        .collect();
    assert!(numbers.len() > 495, "{}", numbers.len());
    assert!(!numbers.contains(&0));
}

#[test]
fn the_request_may_come_with_the_last_acknowledgement() {
    let stack = server(&[80]);
    let syn = Written::syn(5_000, u32::MAX);
    let (_, iss, _) = answer(&stack, &syn, Nanos(1))[0];
    let request = Written {
        flags: ACK | FIN,
        sequence: 0,
        acknowledgement: iss.wrapping_add(1),
        payload: b"GET /".to_vec(),
        ..syn
    };
    give(&stack, &request.packet(), Nanos(2));
    let stream = stack.try_accept().expect("accepted");
    let mut got = Vec::new();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let take = |data: &[u8]| {
        got.extend_from_slice(data);
        data.len()
    };
    assert!(stream.poll_receive(&mut context, take).is_ready());
    assert_eq!(got, b"GET /");
}

#[test]
fn wrong_acknowledgements_and_strays_are_reset_and_resets_are_not() {
    let stack = server(&[80]);
    let syn = Written::syn(5_000, 9);
    let (_, iss, _) = answer(&stack, &syn, Nanos(1))[0];
    let wrong = Written {
        flags: ACK,
        sequence: 10,
        acknowledgement: iss.wrapping_add(2),
        ..syn.clone()
    };
    assert_eq!(answer(&stack, &wrong, Nanos(2)), [(RST, iss.wrapping_add(2), 0)]);
    let stray = Written {
        ports: (5_001, 80),
        flags: ACK,
        acknowledgement: 77,
        ..syn
    };
    assert_eq!(answer(&stack, &stray, Nanos(2)), [(RST, 77, 0)]);
    assert_eq!(
        answer(
            &stack,
            &Written {
                flags: RST,
                ..stray.clone()
            },
            Nanos(2)
        ),
        []
    );
    for _ in 0..5_000 {
        give(&stack, &stray.packet(), Nanos(3));
    }
    assert!(answers(&stack, Nanos(3)).len() <= 1_000);
    assert!(stack.status().counters[TcpCount::ResetsSuppressed] >= 4_000);
}

#[test]
fn a_packet_that_finds_no_frame_is_not_lost() {
    let stack = server(&[80]);
    let now = Nanos(1);
    open(&stack, 5_000, now);
    let stream = stack.try_accept().unwrap();
    let mut stream = Box::pin(stream);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let data = vec![7; 20_000];
    let written = tokio::io::AsyncWrite::poll_write(stream.as_mut(), &mut context, &data);
    assert!(matches!(written, std::task::Poll::Ready(Ok(20_000))));
    // Frames come one at a time, and every other time there is none.
    let (mut sequences, mut calls) = (Vec::new(), 0);
    for _ in 0..40 {
        stack.egress(now, &mut |length, fill| {
            calls += 1;
            if calls % 2 == 0 {
                return false;
            }
            let mut packet = vec![0; length];
            fill(&mut packet);
            let segment = segment_of(&packet).unwrap();
            sequences.push((segment.sequence.0, segment.data.len()));
            true
        });
    }
    assert!(!sequences.is_empty());
    for pair in sequences.windows(2) {
        assert_eq!(
            pair[0].0.wrapping_add(pair[0].1 as u32),
            pair[1].0,
            "in order, none twice, none missing"
        );
    }
}

#[test]
fn data_beyond_the_buffer_is_dropped_even_where_the_unscaled_window_seems_to_allow_it() {
    let stack = server(&[80]);
    let (sequence, acknowledgement) = open(&stack, 5_000, Nanos(1));
    let capacity = 64 << 10;
    let mut segment = Written {
        flags: ACK,
        sequence: sequence.wrapping_add(capacity),
        acknowledgement,
        options: vec![],
        payload: vec![1; 1_000],
        ..Written::syn(5_000, 0)
    };
    give(&stack, &segment.packet(), Nanos(2));
    assert_eq!(stack.status().counters[TcpCount::BeyondWindow], 1);
    // Everything else, to the last byte, is taken.
    let mut offset = 0;
    while offset < capacity + 5_000 {
        segment.sequence = sequence.wrapping_add(offset);
        give(&stack, &segment.packet(), Nanos(3));
        answers(&stack, Nanos(3));
        offset += 1_000;
    }
}

#[test]
fn a_reset_counts_at_the_very_next_sequence_number_alone() {
    let stack = server(&[80]);
    let (sequence, acknowledgement) = open(&stack, 5_000, Nanos(1));
    let reset = |offset: u32| Written {
        flags: RST,
        sequence: sequence.wrapping_add(offset),
        options: vec![],
        ..Written::syn(5_000, 0)
    };
    let second = Nanos(2_000_000_000);
    assert_eq!(
        answer(&stack, &reset(100), second),
        [(ACK, acknowledgement, sequence)],
        "within the window: a challenge, which a real peer answers by the right reset"
    );
    assert_eq!(answer(&stack, &reset(101), second), [], "one challenge a second");
    assert_eq!(answer(&stack, &reset(u32::MAX), second), []);
    assert_eq!(answer(&stack, &reset(1 << 30), second), []);
    let status = stack.status();
    assert_eq!(
        (
            status.now[TcpGauge::Connections],
            status.counters[TcpCount::ResetsIn]
        ),
        (1, 0)
    );
    assert_eq!(answer(&stack, &reset(0), second), []);
    drop(stack.try_accept());
    let status = stack.status();
    assert_eq!(
        (
            status.now[TcpGauge::Connections],
            status.counters[TcpCount::ResetsIn]
        ),
        (0, 1)
    );
}

/// A connection that we open, as a peer sees it: its SYN, and segments that answer it.
fn called() -> (Stack, super::super::Connecting, Written, u32) {
    let stack = server(&[]);
    let connecting = stack.connect(SocketAddr::new(ip(SERVER), 80)).unwrap();
    let packets = answers(&stack, Nanos(1));
    let syn = segment_of(&packets[0]).unwrap();
    let (port, iss) = (syn.source.port(), syn.sequence.0);
    let segment = Written {
        reply: true,
        ports: (80, port),
        options: vec![],
        ..Written::syn(0, 5_000)
    };
    (stack, connecting, segment, iss)
}

/// RFC 9293, section 3.5, figure 7.
#[test]
fn both_may_call_at_once() {
    let (stack, connecting, mut segment, iss) = called();
    assert_eq!(answer(&stack, &segment, Nanos(2)), [(SYN | ACK, iss, 5_001)]);
    segment.flags = SYN | ACK;
    segment.acknowledgement = iss.wrapping_add(1);
    // Theirs, which answers our first one.
    assert_eq!(answer(&stack, &segment, Nanos(3)), []);
    assert_eq!(stack.status().counters[TcpCount::Connected], 1);
    drop(connecting);
}

#[test]
fn data_before_the_answer_to_a_call_is_left() {
    let (stack, connecting, mut segment, iss) = called();
    segment.flags = ACK;
    segment.acknowledgement = iss.wrapping_add(1);
    for offset in [0u32, 40_000, 64_000, 65_000, 65_535, 66_000, 130_000, 200_000] {
        segment.sequence = 5_001u32.wrapping_add(offset);
        segment.payload = vec![7; 1_400];
        give(&stack, &segment.packet(), Nanos(3));
        answers(&stack, Nanos(3));
    }
    // The call itself is still open.
    segment.flags = SYN | ACK;
    segment.payload.clear();
    segment.sequence = 9_000;
    assert_eq!(
        answer(&stack, &segment, Nanos(4)),
        [(ACK, iss.wrapping_add(1), 9_001)]
    );
    assert_eq!(stack.status().counters[TcpCount::Connected], 1);
    drop(connecting);
}

/// Segments near the truth: sequence numbers around the right ones, all flags, odd options and windows.
fn segments() -> impl Strategy<Value = Vec<(i32, i32, u8, u16, Vec<u8>, usize)>> {
    let near = || prop_oneof![Just(0), -3i32..3, -70_000i32..140_000, any::<i32>()];
    let options = prop_oneof![Just(vec![]), proptest::collection::vec(any::<u8>(), 0..40)];
    let flags = prop_oneof![3 => Just(ACK), 1 => any::<u8>(), 1 => Just(ACK | FIN)];
    let length = prop_oneof![Just(0usize), Just(1), 0usize..1_460];
    proptest::collection::vec((near(), near(), flags, any::<u16>(), options, length), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_segments_upsets_a_connection(
        segments in segments(),
        write in 0usize..100_000,
        early in any::<bool>(),
        close in 0usize..60,
    ) {
        let stack = server(&[80]);
        let (sequence, acknowledgement) = open(&stack, 5_000, Nanos(1));
        let mut stream = stack.try_accept().map(Box::pin);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for (n, (s, a, flags, window, options, length)) in segments.into_iter().enumerate() {
            let now = Nanos(n as u64 * 700_000_000);
            if let Some(stream) = &mut stream {
                let _ = stream.poll_receive(&mut context, |data| data.len() / 2 + 1);
                if early || n > 5 {
                    let data = vec![3; write];
                    let _ = tokio::io::AsyncWrite::poll_write(stream.as_mut(), &mut context, &data);
                }
            }
            if n == close {
                stream = None;
            }
            let segment = Written {
                v6: false,
                reply: false,
                ports: (5_000, 80),
                sequence: sequence.wrapping_add_signed(s),
                acknowledgement: acknowledgement.wrapping_add_signed(a),
                flags,
                window,
                options,
                payload: vec![9; length],
            };
            give(&stack, &segment.packet(), now);
            for packet in answers(&stack, now) {
                prop_assert!(segment_of(&packet).is_some());
            }
        }
        drop(stream);
        for second in 0..400u64 {
            answers(&stack, Nanos(100_000_000_000 + second * 1_000_000_000));
        }
        prop_assert!(stack.shared.inner.borrow().is_empty(), "{stack:?}");
    }

    #[test]
    fn no_bytes_upset_the_stack(bytes in proptest::collection::vec(any::<u8>(), 0..200), v6 in any::<bool>()) {
        let stack = server(&[80]);
        let mut given = u64::from(give(&stack, &bytes, Nanos(1)));
        let mut packet = header(v6, bytes.len());
        packet.extend(&bytes);
        given += u64::from(give(&stack, &packet, Nanos(1)));
        let counters = stack.status().counters;
        prop_assert_eq!(counters[TcpCount::SegmentsIn] + counters[TcpCount::BadHeader] + counters[TcpCount::BadChecksum]
            + counters[TcpCount::BadAddress] + counters[TcpCount::Icmp], given);
    }
}

#[test]
fn a_packet_cut_anywhere_is_bad() {
    for v6 in [false, true] {
        let packet = Written {
            v6,
            payload: b"data".to_vec(),
            ..Written::syn(5_000, 1)
        }
        .packet();
        for length in 0..packet.len() {
            assert!(segment_of(&packet[..length]).is_none(), "{length}");
        }
        let mut padded = packet.clone();
        padded.extend([0; 10]);
        assert_eq!(segment_of(&padded).unwrap().data, b"data");
    }
}
