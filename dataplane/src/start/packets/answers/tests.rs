use std::net::SocketAddr;

use etherparse::PacketBuilder;
use headgate_net::wire::craft::{self, Transport};

use super::*;
use crate::worker::Shared;

const POD: &str = "10.247.1.11:8080";

fn addresses() -> TapAddresses {
    TapAddresses {
        v4: Some("169.254.247.1".parse().unwrap()),
        v6: Some("fd7a::1".parse().unwrap()),
    }
}

/// Two workers with 96 source ports each from 50,000 on, and two stages.
fn ports() -> SourcePorts {
    SourcePorts::new(50_000, 50_255, 2).unwrap()
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn frame(from: &str, to: &str, transport: Transport<'_>) -> Vec<u8> {
    craft::frame([[2; 6], [4; 6]], socket(from), socket(to), transport)
}

fn owner_of(frame: &[u8]) -> Option<u8> {
    owner(frame, addresses(), &ports()).map(|worker| worker.0)
}

const UDP: Transport<'_> = Transport::Udp(b"answer");

#[test]
fn the_source_port_names_the_worker() {
    let second = 50_000 + 96;
    for (to, wanted) in [
        ("169.254.247.1:50000".to_owned(), Some(0)),
        (format!("169.254.247.1:{}", second - 1), Some(0)),
        (format!("169.254.247.1:{second}"), Some(1)),
        // Of a stage, of nobody, to somebody else.
        ("169.254.247.1:50250".to_owned(), None),
        ("169.254.247.1:40000".to_owned(), None),
        ("169.254.247.2:50000".to_owned(), None),
    ] {
        assert_eq!(owner_of(&frame(POD, &to, UDP)), wanted, "{to}");
    }
    let pod = "[fd00:10:247::11]:8080";
    assert_eq!(owner_of(&frame(pod, "[fd7a::1]:50000", UDP)), Some(0));
    assert_eq!(owner_of(&frame(pod, "[fd7a::2]:50000", UDP)), None);
    let none = TapAddresses::default();
    let answer = frame(POD, "169.254.247.1:50000", UDP);
    assert_eq!(owner(&answer, none, &ports()), None);
    assert_eq!(owner_of(&answer[..20]), None);
    assert_eq!(owner_of(&[]), None);
}

/// "Fragmentation needed" of the kernel's about what went to the pod.
fn refused(told: [u8; 4], sent: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 244, 1, 1], told, 64)
        .icmpv4_raw(3, 4, [0, 0, 5, 20])
        .write(&mut made, &sent[14..])
        .unwrap();
    made
}

#[test]
fn errors_go_to_whoever_sent_what_they_quote() {
    let sent = frame("169.254.247.1:50100", POD, UDP);
    assert_eq!(owner_of(&refused([169, 254, 247, 1], &sent)), Some(1));
    assert_eq!(owner_of(&refused([169, 254, 247, 2], &sent)), None);
    let foreign = frame("10.0.0.1:50100", POD, UDP);
    assert_eq!(owner_of(&refused([10, 0, 0, 1], &foreign)), None);
}

#[test]
fn packets_reach_their_worker_or_are_told() {
    let (wanted, _questions) = tokio::sync::mpsc::channel(1);
    let shared = Arc::new(Shared::new(2, wanted).unwrap());
    let umem = Umem::heap(4096);
    let mut answers = Answers::new(&shared, umem, addresses(), ports());
    let mut give = |bytes: &[u8]| {
        let mut frame = answers.frame().unwrap();
        frame.copy_from(bytes).unwrap();
        answers.give(frame)
    };
    let answer = frame(POD, "169.254.247.1:50100", UDP);
    assert_eq!(give(&answer), Fate::Given);
    assert_eq!(give(&frame(POD, "10.0.0.1:50100", UDP)), Fate::Ignored);
    let fate = (0..4000).map(|_| give(&answer)).find(|fate| *fate != Fate::Given);
    assert_eq!(fate, Some(Fate::Lost));
    assert_eq!(shared.peers[0].waiting(), 0);
    assert!(shared.peers[1].waiting() > 1000);
}
