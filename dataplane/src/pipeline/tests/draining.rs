//! A dataplane that is about to end leaves to others what is new.

use super::stages::gateway;
use super::*;
use headgate_net::phase::Phase;
use headgate_net::wire::arp;

const OTHER: &str = "192.0.2.11:40000";

impl Gateway {
    fn enter(&mut self, phase: Phase) {
        self.workers.iter_mut().for_each(|worker| worker.enter(phase));
    }
}

#[test]
fn neighbours_are_not_answered_from_the_signal_on() {
    let mut gateway = gateway();
    let mut request = arp::announcement(PEER_MAC, [192, 0, 2, 10].into());
    request[38..42].copy_from_slice(&[198, 51, 100, 10]);
    let mut solicitation = Vec::new();
    let target: [u8; 16] = Address::from_ip(ip("2001:db8:f::10")).unwrap();
    etherparse::PacketBuilder::ethernet2(PEER_MAC, [0x33, 0x33, 0xff, 0, 0, 0x10])
        .ipv6(
            Address::from_ip(ip("2001:db8:c::10")).unwrap(),
            Address::from_ip(ip("ff02::1:ff00:10")).unwrap(),
            255,
        )
        .icmpv6_raw(135, 0, [0; 4])
        .write(&mut solicitation, &target)
        .unwrap();
    for (phase, verdict) in [
        (Phase::Serving, Verdict::Reply),
        (Phase::Leaving, Verdict::ToKernel),
        (Phase::Closed, Verdict::ToKernel),
    ] {
        gateway.enter(phase);
        for question in [&request[..], &solicitation] {
            assert_eq!(
                gateway.receive(0, CLIENTS, question).verdict,
                verdict,
                "{phase:?}"
            );
        }
    }
}

/// What pods answer to connections that come to their end must still find its way.
#[test]
fn where_it_sends_from_is_told_until_the_end() {
    let mut gateway = gateway();
    let mut request = arp::announcement(PEER_MAC, [10, 244, 1, 10].into());
    request[38..42].copy_from_slice(&[10, 244, 1, 250]);
    for phase in [Phase::Serving, Phase::Leaving, Phase::Closed, Phase::Parting] {
        gateway.enter(phase);
        assert_eq!(
            gateway.receive(0, PODS, &request).verdict,
            Verdict::Reply,
            "{phase:?}"
        );
    }
}

#[test]
fn new_flows_are_served_for_the_delay_and_then_left_to_others_without_an_answer() {
    for (client, vip, listener) in [(CLIENT, VIP, LISTENER), (CLIENT6, VIP6, LISTENER6)] {
        let mut gateway = gateway();
        gateway.enter(Phase::Leaving);
        let opened = gateway.client_sends(client, vip, tcp(SYN));
        assert!(matches!(opened.verdict, Verdict::Forward(_)), "{opened:?}");
        let opened = gateway.client_sends(client, listener, tcp(SYN));
        assert!(matches!(opened.verdict, Verdict::ToL7 { .. }), "{opened:?}");
        for phase in [Phase::Closed, Phase::Parting] {
            gateway.enter(phase);
            // What is there goes on.
            let more = gateway.client_sends(client, vip, tcp(ACK));
            assert!(matches!(more.verdict, Verdict::Forward(_)), "{more:?}");
            let more = gateway.client_sends(client, listener, tcp(ACK));
            assert!(matches!(more.verdict, Verdict::ToL7 { .. }), "{more:?}");
            let late = if client == CLIENT {
                OTHER
            } else {
                "[2001:db8:c::11]:40000"
            };
            for to in [vip, listener] {
                let new = gateway.client_sends(late, to, tcp(SYN));
                assert_eq!(new.verdict, Verdict::Drop(Reason::Draining), "{to} {phase:?}");
            }
            // Who is in the middle of a connection that nobody here knows must begin again anyway, the sooner the better.
            let lost = gateway.client_sends(late, vip, tcp(ACK));
            assert_eq!(lost.verdict, Verdict::Reply, "a reset");
        }
    }
}
