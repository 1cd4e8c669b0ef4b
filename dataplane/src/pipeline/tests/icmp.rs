//! ICMP errors: those about allowed flows find the end that sent the packet, whoever sends them; others do not pass.

use super::*;
use headgate_net::wire::{ICMP, checksum, quote};

/// Type, code and the second word, for IPv4 and IPv6: port unreachable, fragmentation needed or packet too big, time
/// exceeded, and parameter problem.
const ERRORS: [[(u8, u8, [u8; 4]); 2]; 4] = [
    [(3, 3, [0; 4]), (1, 4, [0; 4])],
    [(3, 4, [0, 0, 0x05, 0x14]), (2, 0, [0, 0, 0x05, 0x14])],
    [(11, 0, [0; 4]), (3, 0, [0; 4])],
    [(12, 0, [9, 0, 0, 0]), (4, 1, [0, 0, 0, 6])],
];

/// A router on the way to a client or a pod, which no policy of these tests lets in.
fn router(to_pod: bool, v6: bool) -> IpAddr {
    ip(match (to_pod, v6) {
        (true, false) => "203.0.113.77",
        (true, true) => "2001:db8:77::1",
        (false, false) => "203.0.113.88",
        (false, true) => "2001:db8:88::1",
    })
}

/// What `router` sends about a frame that it got, quoting at most `limit` bytes of its IP packet.
pub(super) fn error_about(
    frame: &[u8],
    router: IpAddr,
    (kind, code, word): (u8, u8, [u8; 4]),
    limit: usize,
    port: usize,
) -> Vec<u8> {
    let told = ends(frame).0.ip();
    let quoted = &frame[14..];
    let quoted = &quoted[..quoted.len().min(limit)];
    let builder = etherparse::PacketBuilder::ethernet2(PEER_MAC, GATEWAY_MACS[port]);
    let mut made = Vec::new();
    match (router, told) {
        (IpAddr::V4(from), IpAddr::V4(to)) => builder
            .ipv4(from.octets(), to.octets(), 60)
            .icmpv4_raw(kind, code, word)
            .write(&mut made, quoted),
        (IpAddr::V6(from), IpAddr::V6(to)) => builder
            .ipv6(from.octets(), to.octets(), 60)
            .icmpv6_raw(kind, code, word)
            .write(&mut made, quoted),
        other => panic!("{other:?}"),
    }
    .unwrap();
    made
}

/// Only the clients of these tests reach the pods.
fn guarded() -> Vec<Object> {
    let mut objects = objects();
    for host in 10..=12 {
        objects.extend(policy(
            &format!("v4/{host}"),
            &format!("10.244.1.{host}"),
            "192.0.2.10/32",
        ));
        objects.extend(policy(
            &format!("v6/{host}"),
            &format!("fd00:10:244:1::{host}"),
            "2001:db8:c::10/128",
        ));
    }
    objects
}

/// A flow whose packets a router refuses.
struct Refused {
    gateway: Gateway,
    /// As its sender made it.
    sent: Vec<u8>,
    /// As the router got it.
    got: Vec<u8>,
    /// Where the router is.
    port: PortId,
}

impl Refused {
    /// A packet to the pod, or the pod's answer.
    fn new(client: &str, vip: &str, transport: Transport<'_>, to_pod: bool, workers: u8) -> Self {
        let mut gateway = Gateway::new(workers, Ownership::Hash);
        gateway.publish(guarded());
        let sent = craft::frame(
            [PEER_MAC, GATEWAY_MACS[0]],
            socket(client),
            socket(vip),
            transport,
        );
        let out = gateway.receive(0, CLIENTS, &sent);
        assert_eq!(out.verdict, Verdict::Forward(PODS));
        if to_pod {
            return Self {
                gateway,
                sent,
                got: out.frame,
                port: PODS,
            };
        }
        let (source, pod) = ends(&out.frame);
        let sent = craft::frame([PEER_MAC, GATEWAY_MACS[1]], pod, source, transport);
        let out = gateway.receive(0, PODS, &sent);
        assert_eq!(out.verdict, Verdict::Forward(CLIENTS));
        Self {
            gateway,
            sent,
            got: out.frame,
            port: CLIENTS,
        }
    }

    fn error(&self, kind: (u8, u8, [u8; 4]), limit: usize) -> Vec<u8> {
        let router = router(self.port == PODS, headers(&self.sent).v6);
        error_about(&self.got, router, kind, limit, usize::from(self.port.0))
    }

    /// Checks what became of `error`: in it, the sender finds what it sent.
    fn check(&self, error: &[u8], translated: &[u8]) {
        let (was, now) = (headers(error), headers(translated));
        assert!(quote::intact(translated, &now), "ICMP checksum");
        let (l4, new_l4) = (usize::from(was.l4), usize::from(now.l4));
        assert_eq!(error[l4..l4 + 2], translated[new_l4..new_l4 + 2], "type and code");
        assert_eq!(
            error[l4 + 4..l4 + 8],
            translated[new_l4 + 4..new_l4 + 8],
            "MTU or pointer"
        );
        let (from, to) = ends(translated);
        let (sender, receiver) = ends(&self.sent);
        assert_eq!((from.ip(), to.ip()), (receiver.ip(), sender.ip()));
        let quoted = &translated[new_l4 + 8..usize::from(now.end)];
        assert_eq!(
            quoted,
            &one_hop_on(&self.sent[14..], now.v6)[..quoted.len()],
            "quotation"
        );
    }
}

/// The IP packet with its TTL or hop limit one lower.
fn one_hop_on(packet: &[u8], v6: bool) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if v6 {
        packet[7] -= 1;
    } else {
        packet[8] -= 1;
        packet[10..12].fill(0);
        let sum = checksum::checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

#[test]
fn errors_about_a_flow_reach_the_end_that_sent_the_packet() {
    for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
        for transport in [UDP, tcp(SYN)] {
            for to_pod in [true, false] {
                // All of the packet, and the eight bytes behind the IP header that RFC 792 promises.
                for limit in [1232, if client == CLIENT6 { 48 } else { 28 }] {
                    for kinds in ERRORS {
                        let mut refused = Refused::new(client, vip, transport, to_pod, 1);
                        let error = refused.error(kinds[usize::from(client == CLIENT6)], limit);
                        let out = refused.gateway.receive(0, refused.port, &error);
                        let back = if to_pod { CLIENTS } else { PODS };
                        assert_eq!(out.verdict, Verdict::Forward(back), "{kinds:?}");
                        refused.check(&error, &out.frame);
                    }
                }
            }
        }
    }
}

#[test]
fn errors_find_the_worker_of_their_flow() {
    for to_pod in [true, false] {
        for worker in [0, 1] {
            let mut refused = Refused::new(CLIENT, VIP, UDP, to_pod, 2);
            let error = refused.error(ERRORS[1][0], 1232);
            let out = refused.gateway.receive(worker, refused.port, &error);
            let back = if to_pod { CLIENTS } else { PODS };
            assert_eq!(out.verdict, Verdict::Forward(back), "worker {worker}");
            refused.check(&error, &out.frame);
        }
    }
}

#[test]
fn errors_about_a_flow_that_is_denied_now_do_not_pass() {
    for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
        for to_pod in [true, false] {
            let mut refused = Refused::new(client, vip, tcp(SYN), to_pod, 1);
            let error = refused.error(ERRORS[1][usize::from(client == CLIENT6)], 1232);
            let mut denied = objects();
            for host in 10..=12 {
                denied.extend(policy(
                    &format!("v4/{host}"),
                    &format!("10.244.1.{host}"),
                    "198.18.0.0/15",
                ));
                denied.extend(policy(
                    &format!("v6/{host}"),
                    &format!("fd00:10:244:1::{host}"),
                    "2001:db8:18::/48",
                ));
            }
            refused.gateway.publish(denied);
            let out = refused.gateway.receive(0, refused.port, &error);
            assert_eq!(out.verdict, unrelated(to_pod));
            assert_eq!(out.frame, error, "as it came");
            assert_eq!(refused.gateway.flows(), 0);
        }
    }
}

/// What becomes of an error about no flow, to the host's own address or to one that is Headgate's alone.
fn unrelated(to_pod: bool) -> Verdict {
    if to_pod {
        Verdict::ToKernel
    } else {
        Verdict::Drop(Reason::NoFlow)
    }
}

#[test]
fn errors_about_nothing_do_not_pass() {
    for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
        for to_pod in [true, false] {
            for kinds in ERRORS {
                let mut refused = Refused::new(client, vip, UDP, to_pod, 1);
                let mut error = refused.error(kinds[usize::from(client == CLIENT6)], 1232);
                // Another port of whoever got the packet: no flow has it.
                let h = headers(&error);
                let at = usize::from(quote::parse_quote(&error, &h).unwrap().headers.l4) + 2;
                error[at] ^= 0x10;
                mend(&mut error);
                let out = refused.gateway.receive(0, refused.port, &error);
                assert_eq!(out.verdict, unrelated(to_pod), "{kinds:?}");
                assert_eq!(refused.gateway.flows(), 1);
            }
        }
    }
}

#[test]
fn errors_about_terminated_connections_are_for_the_l7_stage() {
    for workers in [1, 2] {
        let mut gateway = Gateway::new(workers, Ownership::Hash);
        let owner_of = |out: &Outcome| out.worker;
        let opened = gateway.client_sends(CLIENT, LISTENER, tcp(SYN));
        assert!(matches!(opened.verdict, Verdict::ToL7 { .. }));
        // To the client of a listener, and to a pod from a port of the stage.
        let answer = craft::frame(
            [GATEWAY_MACS[0], PEER_MAC],
            socket(LISTENER),
            socket(CLIENT),
            tcp(ACK),
        );
        let last = workers - 1;
        let source = SocketAddr::new(
            ip("10.244.1.1"),
            *gateway.ports.slice(SourcePortOwner::L7(StageId(last))).start(),
        );
        let request = craft::frame(
            [GATEWAY_MACS[1], PEER_MAC],
            source,
            socket("10.244.1.10:8080"),
            tcp(ACK),
        );
        for (sent, port, owner) in [(answer, CLIENTS, owner_of(&opened)), (request, PODS, last)] {
            let error = error_about(&sent, ip("203.0.113.77"), ERRORS[1][0], 28, usize::from(port.0));
            for worker in 0..workers {
                let out = gateway.receive(worker, port, &error);
                assert_eq!((out.verdict, out.worker), (to_l7(owner, &error), owner));
            }
        }
        // There is no UDP at a listener, and no error about it.
        let datagram = craft::frame([GATEWAY_MACS[0], PEER_MAC], socket(LISTENER), socket(CLIENT), UDP);
        let error = error_about(&datagram, ip("203.0.113.77"), ERRORS[0][0], 28, 0);
        assert_eq!(
            gateway.receive(0, CLIENTS, &error).verdict,
            Verdict::Drop(Reason::NoFlow)
        );
    }
}

#[test]
fn an_error_goes_to_whoever_sent_the_packet_or_nowhere() {
    // Somebody tells the frontend that a packet to the pod was lost: it never sent one.
    let mut refused = Refused::new(CLIENT, VIP, UDP, true, 1);
    let mut error = refused.error(ERRORS[0][0], 1232);
    error[30..34].copy_from_slice(&[198, 51, 100, 10]);
    error[24..26].fill(0);
    let sum = checksum::checksum(&error[14..34]);
    error[24..26].copy_from_slice(&sum.to_be_bytes());
    let out = refused.gateway.receive(0, PODS, &error);
    assert_eq!(out.verdict, Verdict::Drop(Reason::NoFlow));
}

#[test]
fn a_broken_error_is_not_mended() {
    for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
        let mut refused = Refused::new(client, vip, UDP, true, 1);
        let mut error = refused.error(ERRORS[0][usize::from(client == CLIENT6)], 1232);
        *error.last_mut().unwrap() ^= 1;
        let out = refused.gateway.receive(0, refused.port, &error);
        assert_eq!(out.verdict, Verdict::Drop(Reason::BadChecksum));
    }
}

/// Makes the ICMP checksum right again.
fn mend(frame: &mut [u8]) {
    let h = headers(frame);
    let (l4, end) = (usize::from(h.l4), usize::from(h.end));
    frame[l4 + 2..l4 + 4].fill(0);
    let sum = if h.protocol == ICMP {
        checksum::checksum(&frame[l4..end])
    } else {
        checksum::transport_of(frame, &h)
    };
    frame[l4 + 2..l4 + 4].copy_from_slice(&sum.to_be_bytes());
    assert!(quote::intact(frame, &h));
}
