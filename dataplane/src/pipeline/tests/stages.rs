//! Each verdict, its reason and its counter.

use super::*;
use headgate_net::record::PacketCount;
use headgate_net::wire::error::{self, Error};
use headgate_net::wire::{ICMP, arp};

pub(super) fn gateway() -> Gateway {
    Gateway::new(1, Ownership::Hash)
}

pub(super) fn frame(from: &str, to: &str, transport: Transport<'_>) -> Vec<u8> {
    craft::frame([PEER_MAC, GATEWAY_MACS[0]], socket(from), socket(to), transport)
}

#[test]
fn there_and_back() {
    for (client, vip, transport) in [
        (CLIENT, VIP, UDP),
        (CLIENT, VIP, tcp(SYN)),
        (CLIENT6, VIP6, UDP),
        (CLIENT6, VIP6, tcp(SYN)),
    ] {
        let mut gateway = gateway();
        let out = gateway.client_sends(client, vip, transport);
        assert_eq!(out.verdict, Verdict::Forward(PODS));
        let (source, pod) = ends(&out.frame);
        assert_eq!(pod.port(), 8080);
        assert!(gateway.fib.is_local(source.ip()));
        assert_eq!(
            gateway.ports.owner(source.port()),
            Some(SourcePortOwner::L4(WorkerId(0)))
        );
        assert_eq!(out.frame[..6], [2, 0, 0, 0, 3, last_byte_as_decimal(pod.ip())]);
        assert_eq!(out.frame[6..12], GATEWAY_MACS[1]);

        let answer = craft::frame([PEER_MAC, GATEWAY_MACS[1]], pod, source, transport);
        let back = gateway.receive(0, PODS, &answer);
        assert_eq!(back.verdict, Verdict::Forward(CLIENTS));
        assert_eq!(ends(&back.frame), (socket(vip), socket(client)));
        assert_eq!(gateway.counters().get(PacketCount::Forwarded), 2);
        assert_eq!(gateway.flows(), 1);
    }
}

/// Neighbours in [`snapshot`] have the last group of their address, read as decimal, as the last byte of their MAC.
fn last_byte_as_decimal(address: IpAddr) -> u8 {
    let text = address.to_string();
    text.rsplit(['.', ':']).next().unwrap().parse().unwrap()
}

#[test]
fn flows_count_packets_and_bytes() {
    let mut gateway = gateway();
    for _ in 0..3 {
        gateway.client_sends(CLIENT, VIP, UDP);
    }
    let entry = gateway.workers[0].flows_v4().next().unwrap();
    assert_eq!((entry.packets(), entry.bytes()), (3, 3 * 33));
}

#[test]
fn padding_and_tags_do_not_go_on() {
    let mut gateway = gateway();
    let mut tagged = frame(CLIENT, VIP, UDP);
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    tagged.resize(80, 0xee);
    let out = gateway.receive(0, CLIENTS, &tagged);
    assert_eq!(out.verdict, Verdict::Forward(PODS));
    assert_eq!(out.frame.len(), 47);
    assert_eq!(ends(&out.frame).1.port(), 8080);
}

#[test]
fn hop_limits() {
    let mut gateway = gateway();
    let mut last = frame(CLIENT, VIP, UDP);
    last[22] = 1;
    last[24..26].fill(0);
    let sum = wire::checksum::checksum(&last[14..34]);
    put_word(&mut last, 24, sum);
    let out = gateway.receive(0, CLIENTS, &last);
    assert_eq!(out.verdict, Verdict::Reply);
    assert_eq!(gateway.counters().answered(Answer::TimeExceeded), 1);
    assert_eq!(ends(&out.frame).1.ip(), ip("192.0.2.10"));
    let out = gateway.client_sends(CLIENT, VIP, UDP);
    assert_eq!(out.frame[22], wire::HOP_LIMIT - 1);
}

#[test]
fn what_does_not_fit_the_next_link() {
    let payload = [0; 1500];
    for (client, vip, may_fragment) in [(CLIENT, VIP, false), (CLIENT, VIP, true), (CLIENT6, VIP6, false)] {
        let mut gateway = gateway();
        let mut long = frame(client, vip, Transport::Udp(&payload));
        if may_fragment {
            long[20] = 0;
            long[24..26].fill(0);
            let sum = wire::checksum::checksum(&long[14..34]);
            put_word(&mut long, 24, sum);
        }
        let out = gateway.receive(0, CLIENTS, &long);
        if may_fragment {
            assert_eq!(out.verdict, Verdict::ToKernel);
            assert_eq!(gateway.counters().to_kernel(Kernel::NeedsFragmenting), 1);
            assert_eq!(ends(&out.frame).1.port(), 8080);
        } else {
            assert_eq!(out.verdict, Verdict::Reply);
            assert_eq!(gateway.counters().answered(Answer::TooBig), 1);
        }
    }
}

#[test]
fn policy_is_counted_by_name() {
    let mut gateway = gateway();
    let mut objects = objects();
    for pod in ["10.244.1.10", "10.244.1.11", "10.244.1.12"] {
        objects.extend(policy(&format!("shop/only-{pod}"), pod, "192.0.2.128/25"));
    }
    gateway.publish(objects);
    assert_eq!(
        gateway.client_sends(CLIENT, VIP, tcp(SYN)).verdict,
        Verdict::Drop(Reason::Denied)
    );
    // No reset either: who is denied learns nothing.
    assert_eq!(
        gateway.client_sends(CLIENT, VIP, tcp(ACK)).verdict,
        Verdict::Drop(Reason::Denied)
    );
    assert_eq!(gateway.flows(), 0);
    let denials: Vec<_> = gateway
        .counters()
        .denials()
        .iter()
        .filter(|(_, _, n)| *n > 0)
        .collect();
    assert_eq!(denials.len(), 1);
    assert!(denials[0].0.starts_with("shop/only-10.244.1.1"));
    assert_eq!((denials[0].1, denials[0].2), (Direction::Ingress, 2));
    assert_eq!(gateway.counters().dropped(Reason::Denied), 2);
}

#[test]
fn nobody_there_is_said() {
    let mut gateway = gateway();
    // Without backends, and without Service.
    for to in [EMPTY, "198.51.100.10:81"] {
        let out = gateway.client_sends(CLIENT, to, tcp(SYN));
        assert_eq!(out.verdict, Verdict::Reply);
        assert_eq!(ends(&out.frame), (socket(to), socket(CLIENT)));
        let h = headers(&out.frame);
        assert_eq!(h.tcp_flags, tcp_flag::RST | ACK);
        let out = gateway.client_sends(CLIENT, to, UDP);
        assert_eq!(out.verdict, Verdict::Reply);
        assert_eq!(headers(&out.frame).protocol, ICMP);
        let out = gateway.client_sends(CLIENT, to, tcp(tcp_flag::RST));
        assert!(matches!(
            out.verdict,
            Verdict::Drop(Reason::NoBackend | Reason::NoService)
        ));
    }
    assert_eq!(gateway.counters().answered(Answer::Reset), 2);
    assert_eq!(gateway.counters().answered(Answer::PortUnreachable), 2);
}

#[test]
fn answers_are_limited() {
    let mut gateway = gateway();
    let verdicts: Vec<_> = (0..3_000)
        .map(|_| gateway.client_sends(CLIENT, EMPTY, UDP).verdict)
        .collect();
    let replies = verdicts.iter().filter(|v| **v == Verdict::Reply).count();
    assert!((1_000..1_100).contains(&replies), "{replies}");
    assert_eq!(
        gateway.counters().dropped(Reason::RateLimited),
        3_000 - replies as u64
    );
}

#[test]
fn forgotten_connections_are_reset() {
    let mut gateway = gateway();
    let out = gateway.client_sends(CLIENT, VIP, tcp(ACK));
    assert_eq!(out.verdict, Verdict::Reply);
    assert_eq!(headers(&out.frame).tcp_flags, tcp_flag::RST);
    // A SYN+ACK opens nothing.
    assert_eq!(
        gateway.client_sends(CLIENT, VIP, tcp(SYN | ACK)).verdict,
        Verdict::Reply
    );
    assert_eq!(
        gateway.client_sends(CLIENT, VIP, tcp(tcp_flag::RST)).verdict,
        Verdict::Drop(Reason::NoFlow)
    );
    assert_eq!(gateway.flows(), 0);
}

#[test]
fn sources_that_nobody_can_have() {
    let mut gateway = gateway();
    for source in [
        "0.0.0.0:1",
        "127.0.0.1:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "198.51.100.10:1",
    ] {
        let out = gateway.client_sends(source, VIP, UDP);
        assert_eq!(out.verdict, Verdict::Drop(Reason::BadSource), "{source}");
    }
    for source in ["[::]:1", "[::1]:1", "[ff02::1]:1"] {
        let out = gateway.client_sends(source, VIP6, UDP);
        assert_eq!(out.verdict, Verdict::Drop(Reason::BadSource), "{source}");
    }
}

#[test]
fn nobody_is_answered_who_can_be_nobody() {
    let mut gateway = gateway();
    // Another Service's address: its pods and ours would answer one another without end.
    let forged = ["198.51.100.11:53", "224.0.0.1:53"];
    let nobody_serves = "198.51.100.10:9";
    for source in forged {
        for (to, transport) in [
            (VIP, UDP),
            (VIP, tcp(SYN)),
            (EMPTY, UDP),
            (LISTENER, tcp(SYN)),
            (nobody_serves, UDP),
            (nobody_serves, tcp(SYN)),
        ] {
            let out = gateway.client_sends(source, to, transport);
            assert_eq!(out.verdict, Verdict::Drop(Reason::BadSource), "{source} {to}");
        }
    }
    let out = gateway.client_sends("[::ffff:192.0.2.10]:1", VIP6, UDP);
    assert_eq!(out.verdict, Verdict::Drop(Reason::BadSource));
    let mut ping = Vec::new();
    etherparse::PacketBuilder::ethernet2(PEER_MAC, GATEWAY_MACS[0])
        .ipv4([224, 0, 0, 1], [198, 51, 100, 10], 64)
        .icmpv4_echo_request(1, 2)
        .write(&mut ping, b"data")
        .unwrap();
    assert_eq!(
        gateway.receive(0, CLIENTS, &ping).verdict,
        Verdict::Drop(Reason::BadSource)
    );
}

#[test]
fn limits_of_the_table_and_of_the_ports() {
    let mut gateway = gateway();
    let mut endings = std::collections::BTreeMap::new();
    for port in 1..=400 {
        let client = format!("192.0.2.10:{port}");
        *endings
            .entry(format!("{:?}", gateway.client_sends(&client, VIP, UDP).verdict))
            .or_insert(0) += 1;
    }
    assert_eq!(endings.get("Forward(PortId(1))"), Some(&128));
    assert_eq!(endings.get("Drop(FlowTableFull)"), Some(&272));
    // One backend has 192 ports of this worker's slice of 256, and the table 128 flows; a slice of 8 has 6.
    let config = PipelineConfig {
        worker: WorkerId(0),
        workers: 1,
        ownership: Ownership::Hash,
        termination: Termination::Inline,
        source_ports: SourcePorts::new(50_000, 50_007, 1).unwrap(),
        flow_capacity: 128,
        timeouts: Timeouts::default(),
        established: EstablishedFlows::default(),
        flow_log: Arc::new(FlowLog::off()),
        seed: [7, 9],
    };
    gateway.workers = vec![Pipeline::new(&config)];
    for port in 1..=100 {
        gateway.client_sends(&format!("192.0.2.10:{port}"), VIP, UDP);
    }
    assert_eq!(gateway.counters().get(PacketCount::Forwarded), 3 * 6);
    assert_eq!(gateway.counters().dropped(Reason::SourcePortsExhausted), 100 - 18);
}

#[test]
fn l7() {
    let mut gateway = gateway();
    let mut padded = frame(CLIENT, LISTENER, tcp(SYN));
    let len = padded.len();
    padded.resize(60, 0xee);
    let out = gateway.receive(0, CLIENTS, &padded);
    assert_eq!(out.verdict, to_l7(0, &padded));
    assert_eq!(out.frame.len(), len);
    // UDP to a listener's port is nobody's.
    assert_eq!(
        gateway.client_sends(CLIENT, LISTENER, UDP).verdict,
        Verdict::Reply
    );
    // A pod answers the L7 stage.
    let port = *gateway.ports.slice(SourcePortOwner::L7(StageId(0))).start();
    let to = SocketAddr::new(ip("10.244.1.1"), port);
    let answer = craft::frame(
        [PEER_MAC, GATEWAY_MACS[1]],
        socket("10.244.1.10:8080"),
        to,
        tcp(SYN | ACK),
    );
    assert_eq!(gateway.receive(0, PODS, &answer).verdict, to_l7(0, &answer));
    assert_eq!(gateway.counters().get(PacketCount::ToL7), 2);
}

#[test]
fn what_is_the_kernels() {
    let mut gateway = gateway();
    let reserved = format!(
        "10.244.1.1:{}",
        gateway.ports.slice(SourcePortOwner::L4(WorkerId(0))).start()
    );
    for (to, cause) in [
        ("192.0.2.1:22", Kernel::Local),
        ("198.51.100.99:80", Kernel::NotOurs),
        (&reserved, Kernel::NoFlow),
    ] {
        assert_eq!(
            gateway.client_sends(CLIENT, to, tcp(SYN)).verdict,
            Verdict::ToKernel
        );
        assert_eq!(gateway.counters().to_kernel(cause), 1, "{cause:?}");
    }
    let mut other = frame(CLIENT, VIP, UDP);
    other[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert_eq!(gateway.receive(0, CLIENTS, &other).verdict, Verdict::ToKernel);
    assert_eq!(gateway.counters().to_kernel(Kernel::NotIp), 1);
}

#[test]
fn frames_for_other_hosts() {
    let mut gateway = gateway();
    let mut flooded = frame(CLIENT, VIP, UDP);
    flooded[5] ^= 1;
    assert_eq!(
        gateway.receive(0, CLIENTS, &flooded).verdict,
        Verdict::Drop(Reason::OtherHost)
    );
    flooded[..6].fill(0xff);
    assert_eq!(gateway.receive(0, CLIENTS, &flooded).verdict, Verdict::ToKernel);
    assert_eq!(gateway.flows(), 0);
}

#[test]
fn arp_for_owned_addresses() {
    let mut gateway = gateway();
    for (target, verdict) in [
        ([198, 51, 100, 10], Verdict::Reply),
        ([192, 0, 2, 1], Verdict::ToKernel),
        ([192, 0, 2, 99], Verdict::ToKernel),
    ] {
        let mut request = arp::announcement(PEER_MAC, [192, 0, 2, 10].into());
        request[38..42].copy_from_slice(&target);
        let out = gateway.receive(0, CLIENTS, &request);
        assert_eq!(out.verdict, verdict);
        if verdict == Verdict::Reply {
            assert_eq!(out.frame[6..12], GATEWAY_MACS[0]);
            assert_eq!(out.frame[22..28], GATEWAY_MACS[0]);
            assert_eq!(out.frame[28..32], target);
        }
    }
}

#[test]
fn neighbour_solicitations_for_owned_addresses() {
    let mut gateway = gateway();
    for (target, verdict) in [
        ("2001:db8:f::10", Verdict::Reply),
        ("2001:db8:c::1", Verdict::ToKernel),
    ] {
        let mut solicitation = Vec::new();
        etherparse::PacketBuilder::ethernet2(PEER_MAC, [0x33, 0x33, 0xff, 0, 0, 0x10])
            .ipv6(octets("2001:db8:c::10"), octets("ff02::1:ff00:10"), 255)
            .icmpv6_raw(135, 0, [0; 4])
            .write(&mut solicitation, &octets(target))
            .unwrap();
        assert_eq!(gateway.receive(0, CLIENTS, &solicitation).verdict, verdict);
    }
    assert_eq!(gateway.counters().answered(Answer::NeighbourAdvertisement), 1);
    assert_eq!(gateway.counters().to_kernel(Kernel::Neighbour), 1);
}

fn octets(address: &str) -> [u8; 16] {
    <[u8; 16]>::from_ip(ip(address)).unwrap()
}

#[test]
fn echo() {
    let mut gateway = gateway();
    let request = |to: [u8; 4]| {
        let mut frame = Vec::new();
        etherparse::PacketBuilder::ethernet2(PEER_MAC, GATEWAY_MACS[0])
            .ipv4([192, 0, 2, 10], to, 64)
            .icmpv4_echo_request(1, 2)
            .write(&mut frame, b"ping")
            .unwrap();
        frame
    };
    let out = gateway.receive(0, CLIENTS, &request([198, 51, 100, 10]));
    assert_eq!(out.verdict, Verdict::Reply);
    assert_eq!(out.frame[..6], PEER_MAC);
    assert_eq!(
        gateway.receive(0, CLIENTS, &request([192, 0, 2, 1])).verdict,
        Verdict::ToKernel
    );
    let mut odd = request([198, 51, 100, 10]);
    odd[34] = 13;
    assert_eq!(
        gateway.receive(0, CLIENTS, &odd).verdict,
        Verdict::Drop(Reason::UnsupportedProtocol)
    );
}

/// The far end cannot take a packet that we have forwarded: path MTU discovery works through the translation.
#[test]
fn icmp_errors_find_the_sender() {
    for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
        let mut gateway = gateway();
        let sent = frame(client, vip, UDP);
        let forwarded = gateway.receive(0, CLIENTS, &sent);
        let mut buffer = forwarded.frame.clone();
        let h = headers(&buffer);
        buffer.resize(1024, 0);
        let len = error::answer(&mut buffer, &h, Error::TooBig(1300)).unwrap();
        buffer.truncate(len);
        let out = gateway.receive(0, PODS, &buffer);
        assert_eq!(out.verdict, Verdict::Forward(CLIENTS));
        let h = headers(&out.frame);
        let (from, to) = ends(&out.frame);
        assert_eq!((from.ip(), to.ip()), (socket(vip).ip(), socket(client).ip()));
        let quote = quote(&out.frame, &h);
        assert_eq!(quote, (socket(client), socket(vip)));
        // About something that is not known.
        gateway.pass(1_000);
        gateway.sweep_all();
        assert_eq!(gateway.receive(0, PODS, &buffer).verdict, Verdict::ToKernel);
        assert_eq!(gateway.counters().to_kernel(Kernel::IcmpUnmatched), 1);
    }
}

/// The ends of the packet that an ICMP error quotes.
fn quote(frame: &[u8], headers: &Headers) -> (SocketAddr, SocketAddr) {
    let inner = wire::quote::parse_quote(frame, headers).unwrap().headers;
    let tuple = |source: IpAddr, destination: IpAddr| {
        (
            SocketAddr::new(source, inner.source_port),
            SocketAddr::new(destination, inner.destination_port),
        )
    };
    if inner.v6 {
        let t = Tuple::<[u8; 16]>::of(frame, &inner);
        tuple(t.source.ip(), t.destination.ip())
    } else {
        let t = Tuple::<[u8; 4]>::of(frame, &inner);
        tuple(t.source.ip(), t.destination.ip())
    }
}

#[test]
fn malformed_frames_are_dropped_by_reason() {
    let mut gateway = gateway();
    let whole = frame(CLIENT, VIP, tcp(SYN));
    for len in 0..whole.len() {
        let out = gateway.receive(0, CLIENTS, &whole[..len]);
        assert!(
            matches!(out.verdict, Verdict::Drop(Reason::Truncated | Reason::BadLength)),
            "{len}"
        );
    }
    let counters = gateway.counters();
    let dropped = counters.dropped(Reason::Truncated) + counters.dropped(Reason::BadLength);
    assert_eq!(dropped, whole.len() as u64);
}

#[test]
fn a_batch_is_decided_in_order() {
    let mut gateway = gateway();
    let ctx = Context {
        tables: &gateway.tables,
        fib: &gateway.fib,
        now: gateway.now,
    };
    // SYN and data in one batch, and something else between them.
    let packets = [
        frame(CLIENT, VIP, tcp(SYN)),
        frame(CLIENT, EMPTY, tcp(SYN)),
        frame(CLIENT, VIP, tcp(ACK)),
        frame(CLIENT6, VIP6, UDP),
        frame(CLIENT6, VIP6, UDP),
        vec![0; 10],
    ];
    let mut frames: Vec<_> = packets
        .iter()
        .map(|bytes| {
            let mut frame = gateway.cache.take().unwrap();
            frame.copy_from(bytes).unwrap();
            frame
        })
        .collect();
    let mut verdicts = vec![Verdict::Reply];
    gateway.workers[0].process(&ctx, CLIENTS, &mut frames, &mut verdicts);
    let forward = Verdict::Forward(PODS);
    assert_eq!(
        verdicts,
        [
            forward,
            Verdict::Reply,
            forward,
            forward,
            forward,
            Verdict::Drop(Reason::Truncated)
        ]
    );
    assert_eq!(gateway.counters().get(PacketCount::Packets), 6);
}

fn put_word(frame: &mut [u8], at: usize, word: u16) {
    frame[at..at + 2].copy_from_slice(&word.to_be_bytes());
}
