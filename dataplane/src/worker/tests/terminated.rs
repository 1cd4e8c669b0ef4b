//! Connections that end here, frame by frame.

use std::rc::Rc;

use headgate_net::wire::ethernet::{HEADER, ether_type, set_link, set_type};
use headgate_net::wire::{Parsed, ipv6, parse};
use headgate_ring::message::{Listener, ListenerProtocol};
use headgate_tcp::network::run;
use headgate_tcp::{Stack, StackConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use headgate_net::record::TcpCount;

pub(super) const LISTENER: &str = "[2001:db8:f::12]:80";
pub(super) const CLIENT_ADDRESS: &str = "2001:db8:c::10";
/// Destination options (RFC 8200, 4.6) in front of TCP: padding.
const OPTIONS: [u8; 8] = [6, 0, 1, 4, 0, 0, 0, 0];
const DESTINATION_OPTIONS: u8 = 60;

/// A gateway with a listener and no routes behind it.
pub(super) fn listening(mut bench: Bench) -> Bench {
    let listener = Object::Listener(Listener {
        address: socket(LISTENER),
        protocol: ListenerProtocol::Http,
        balancers: Vec::new(),
    });
    let transaction = Transaction {
        generation: 2,
        full: true,
        operations: vec![Operation::Put(listener)],
    };
    bench.tables = Tables::transact(&mut State::default(), transaction, None).unwrap();
    bench.tables.publication = 2;
    let neighbours = [(CLIENT_ADDRESS.parse().unwrap(), 2, CLIENT)].into_iter();
    let nets = [("2001:db8:c::1/64", 2), ("fd00:10:244:1::1/64", 3)];
    bench.fib = gateway(2, &nets, neighbours);
    bench
}

impl Bench {
    /// Carries packets between a client's stack and the gateway, each to another worker; those of the client have an
    /// extension header.
    pub(super) fn carry(&mut self, client: &Stack) {
        let mut sent = Vec::new();
        client.egress(self.now, &mut |length, fill| {
            let mut frame = vec![0; HEADER + length];
            fill(&mut frame[HEADER..]);
            sent.push(extended(frame));
            true
        });
        for (index, frame) in sent.iter().enumerate() {
            self.inject(index % self.engines.len(), 0, frame);
        }
        self.settle();
        for frame in self.arrived(0) {
            match parse(&frame) {
                Ok(Parsed::Ip(headers)) => client.ingress(&frame, &headers, self.now),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets a client ask for a host that nobody serves, over a connection of its own.
    pub(super) async fn ask(&mut self, client: &Stack) {
        let exchange = async {
            let mut stream = client.connect(socket(LISTENER)).unwrap().await.unwrap();
            let request = b"GET / HTTP/1.1\r\nHost: nobody.example\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let carry = async {
            loop {
                self.carry(client);
                tokio::task::yield_now().await;
            }
        };
        let answer = tokio::select! {
            answer = exchange => answer,
            () = carry => unreachable!("it has no end"),
        };
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
}

pub(super) fn client() -> Stack {
    let source = Rc::new(|_| Some(CLIENT_ADDRESS.parse().unwrap()));
    Stack::new(StackConfig::new(40_000..=40_063, source))
}

fn extended(mut frame: Vec<u8>) -> Vec<u8> {
    set_link(&mut frame, CLIENT, GATEWAY[0]);
    set_type(&mut frame, ether_type::IPV6);
    let at = HEADER + ipv6::HEADER;
    frame.splice(at..at, OPTIONS);
    frame[HEADER + ipv6::field::NEXT] = DESTINATION_OPTIONS;
    let payload = u16::try_from(frame.len() - at).unwrap();
    frame[HEADER..][ipv6::field::PAYLOAD].copy_from_slice(&payload.to_be_bytes());
    frame
}

/// Hosts process extension headers of packets that are for them (RFC 8200, section 4).
#[test]
fn a_request_behind_extension_headers_is_answered() {
    run(async {
        let mut bench = listening(Bench::new(1));
        bench.ask(&client()).await;
        let status = bench.status(0);
        assert_eq!(status.l7.tcp.counters[TcpCount::Accepted], 1);
        assert_eq!(status.l7.tcp.counters[TcpCount::BadHeader], 0);
    });
}
