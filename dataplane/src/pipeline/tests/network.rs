//! Random traffic between clients and pods over a gateway of two workers, against what each end expects.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// A connection or a series of datagrams, by its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Client {
    host: u8,
    port: u16,
    v6: bool,
    tcp: bool,
}

impl Client {
    fn address(self) -> SocketAddr {
        let host = self.host;
        if self.v6 {
            socket(&format!("[2001:db8:c::{host}]:{}", self.port))
        } else {
            socket(&format!("192.0.2.{host}:{}", self.port))
        }
    }

    fn vip(self) -> SocketAddr {
        socket(if self.v6 { VIP6 } else { VIP })
    }
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    /// Opens the connection, or closes it if it is open.
    Toggle {
        client: Client,
        by_pod: bool,
    },
    /// Sends data if there is a connection.
    Data {
        client: Client,
        from_pod: bool,
    },
    Pass {
        seconds: u64,
    },
    /// A route or neighbour changes somewhere.
    Fib,
    /// A policy changes that concerns nobody.
    Tables,
}

fn client() -> impl Strategy<Value = Client> {
    (10..14_u8, 1..12_u16, any::<bool>(), any::<bool>()).prop_map(|(host, port, v6, tcp)| Client {
        host,
        port,
        v6,
        tcp,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (client(), any::<bool>()).prop_map(|(client, by_pod)| Operation::Toggle { client, by_pod }),
        8 => (client(), any::<bool>()).prop_map(|(client, from_pod)| Operation::Data { client, from_pod }),
        1 => (0..20_u64).prop_map(|seconds| Operation::Pass { seconds }),
        1 => Just(Operation::Fib),
        1 => Just(Operation::Tables),
    ]
}

/// The network: what the ends know of each other.
struct Network {
    gateway: Gateway,
    /// The source and pod of each open connection.
    open: HashMap<Client, (SocketAddr, SocketAddr)>,
    /// Changes the queue on which packets arrive.
    packets: u64,
    by_queue: bool,
}

impl Network {
    /// Any queue in `Hash`, and one for a client's packets in `Queue`, as RSS would; answers come anywhere.
    fn queue(&mut self, client: Client, from_pod: bool) -> u8 {
        self.packets += 1;
        let fixed = self.by_queue && !from_pod;
        let random = if fixed {
            u64::from(client.port)
        } else {
            self.packets * 7 / 3
        };
        u8::from(random % 2 == 1)
    }

    fn sent_by(&mut self, client: Client, flags: u8, payload: &[u8]) -> Outcome {
        let frame = packet_of(client, 0, client.address(), client.vip(), flags, payload);
        let queue = self.queue(client, false);
        self.gateway.receive(queue, CLIENTS, &frame)
    }

    /// Sends from the client, and checks what the pod gets.
    fn client_sends(&mut self, client: Client, flags: u8, payload: &[u8]) {
        let out = self.sent_by(client, flags, payload);
        assert_eq!(out.verdict, Verdict::Forward(PODS), "{client:?}");
        let (source, pod) = ends(&out.frame);
        if let Some(known) = self.open.get(&client) {
            assert_eq!((source, pod), *known, "the pod sees one connection");
        } else {
            // By whoever else it is used, it is towards another pod or over another protocol.
            let clash = self
                .open
                .iter()
                .find(|(c, ends)| c.tcp == client.tcp && **ends == (source, pod));
            assert_eq!(clash, None, "{client:?}");
            self.open.insert(client, (source, pod));
        }
        let owner = self.gateway.ports.owner(source.port());
        assert_eq!(
            owner,
            Some(SourcePortOwner::L4(WorkerId(out.worker))),
            "the port names the worker"
        );
        assert!(out.frame.ends_with(payload));
    }

    /// Sends from the pod, and checks what the client gets.
    fn pod_sends(&mut self, client: Client, flags: u8, payload: &[u8]) {
        let (source, pod) = self.open[&client];
        let frame = packet_of(client, 1, pod, source, flags, payload);
        let queue = self.queue(client, true);
        let out = self.gateway.receive(queue, PODS, &frame);
        assert_eq!(out.verdict, Verdict::Forward(CLIENTS), "{client:?}");
        assert_eq!(ends(&out.frame), (client.vip(), client.address()));
        assert!(out.frame.ends_with(payload));
    }

    fn toggle(&mut self, client: Client, by_pod: bool) {
        let close = tcp_flag::FIN | ACK;
        match (self.open.contains_key(&client), client.tcp) {
            (false, true) => {
                self.client_sends(client, SYN, b"");
                self.pod_sends(client, SYN | ACK, b"");
                self.client_sends(client, ACK, b"");
            }
            (true, true) if by_pod => {
                self.pod_sends(client, close, b"");
                self.client_sends(client, close, b"");
                self.pod_sends(client, ACK, b"");
                self.open.remove(&client);
            }
            (true, true) => {
                self.client_sends(client, close, b"");
                self.client_sends(client, tcp_flag::RST, b"");
                self.open.remove(&client);
            }
            (_, false) => self.client_sends(client, 0, b"question"),
        }
    }

    fn data(&mut self, client: Client, from_pod: bool) {
        let payload = self.packets.to_be_bytes();
        match (self.open.contains_key(&client), from_pod) {
            (true, true) => self.pod_sends(client, ACK, &payload),
            (true, false) => self.client_sends(client, ACK, &payload),
            // In the middle of nothing: a reset, even if the tuple was in use a moment ago.
            (false, _) if client.tcp => {
                let out = self.sent_by(client, ACK, &payload);
                assert!(matches!(out.verdict, Verdict::Reply | Verdict::Forward(PODS)));
            }
            (false, _) => {}
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.gateway.pass(seconds);
        self.gateway.sweep_all();
        let alive = |flow: &Client, gateway: &Gateway| {
            let client = flow.address();
            let workers = gateway.workers.iter();
            if flow.v6 {
                let source = <[u8; 16]>::from_ip(client.ip()).unwrap();
                let mut flows = workers.flat_map(Pipeline::flows_v6);
                flows.any(|e| {
                    e.key.source == source
                        && e.key.source_port == client.port()
                        && (e.protocol == 6) == flow.tcp
                })
            } else {
                let source = <[u8; 4]>::from_ip(client.ip()).unwrap();
                let mut flows = workers.flat_map(Pipeline::flows_v4);
                flows.any(|e| {
                    e.key.source == source
                        && e.key.source_port == client.port()
                        && (e.protocol == 6) == flow.tcp
                })
            }
        };
        let gateway = &self.gateway;
        assert!(
            self.open.keys().all(|c| !c.tcp || alive(c, gateway)),
            "established connections stay"
        );
        self.open.retain(|c, _| alive(c, gateway));
    }

    fn change(&mut self, operation: Operation) {
        match operation {
            Operation::Toggle { client, by_pod } => self.toggle(client, by_pod),
            Operation::Data { client, from_pod } => self.data(client, from_pod),
            Operation::Pass { seconds } => self.pass(seconds),
            Operation::Fib => self.gateway.fib.publication += 1,
            Operation::Tables => {
                let mut objects = objects();
                objects.extend(policy(
                    &format!("a/{}", self.packets),
                    "10.244.9.9",
                    "192.0.2.0/24",
                ));
                self.gateway.publish(objects);
            }
        }
    }

    /// As many source ports as flows, each with its own towards its pod.
    fn check(&self) {
        assert_eq!(self.gateway.flows(), self.gateway.source_ports_in_use());
        let mut seen = HashSet::new();
        for entry in self.gateway.workers.iter().flat_map(Pipeline::flows_v4) {
            let pod = entry.rewrite;
            let key = (
                pod.source,
                pod.source_port,
                pod.destination,
                pod.destination_port,
                entry.protocol,
            );
            assert!(seen.insert(key), "{entry:?}");
        }
    }
}

fn packet_of(
    client: Client,
    port: usize,
    from: SocketAddr,
    to: SocketAddr,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let transport = if client.tcp {
        Transport::Tcp(
            Segment {
                sequence: 1,
                acknowledgement: 1,
                flags,
            },
            payload,
        )
    } else {
        Transport::Udp(payload)
    };
    craft::frame([PEER_MAC, GATEWAY_MACS[port]], from, to, transport)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_packet_arrives_and_nothing_is_left_behind(
        operations in proptest::collection::vec(operation(), 1..200),
        by_queue in any::<bool>(),
    ) {
        let ownership = if by_queue { Ownership::Queue } else { Ownership::Hash };
        let mut network =
            Network { gateway: Gateway::new(2, ownership), open: HashMap::new(), packets: 0, by_queue };
        for operation in operations {
            network.change(operation);
            network.check();
        }
        network.gateway.pass(24 * 3600);
        network.gateway.sweep_all();
        prop_assert_eq!(network.gateway.flows(), 0);
        prop_assert_eq!(network.gateway.source_ports_in_use(), 0);
    }
}
