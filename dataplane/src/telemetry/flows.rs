//! The flows that workers follow now, for `headgate status flows`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use headgate_net::flow::{Carried, FlowCopy};
use headgate_net::ids::WorkerId;
use headgate_net::lb::Services;
use headgate_net::wire;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// How long workers may take to tell their flows. Tens of milliseconds are usual.
const PATIENCE: Duration = Duration::from_secs(4);
/// Flows of an answer at most.
const MOST: usize = 1_000_000;

/// Which flows are asked for: one of each list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowQuery {
    /// `tcp` or `udp`.
    pub protocols: Vec<String>,
    /// As [`FlowState::name`](headgate_net::flow::FlowState::name) spells them.
    pub states: Vec<String>,
    /// The client's address.
    pub from: Vec<IpNet>,
    /// The frontend's or the pod's address.
    pub to: Vec<IpNet>,
    /// The frontend's or the pod's port.
    pub ports: Vec<u16>,
    /// `namespace/name` of the Service, or a namespace.
    pub services: Vec<String>,
    /// So many of those that match; all of them without.
    pub top: Option<usize>,
    /// Which of them come first.
    pub by: FlowOrder,
}

/// An order of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowOrder {
    /// Most bytes of both directions first.
    #[default]
    Bytes,
    /// Most packets of both directions first.
    Packets,
    /// Longest without a packet first.
    Idle,
}

/// The flows that match, at one moment or little more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowList {
    /// All flows that were looked at.
    pub followed: usize,
    /// Those that match.
    pub matched: usize,
    /// Of these, how many there are in each state.
    pub states: BTreeMap<String, usize>,
    /// Whether every worker has told all of its flows in time.
    pub complete: bool,
    /// Those that come first, in their order.
    pub flows: Vec<FlowStatus>,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStatus {
    /// The worker that follows it.
    pub worker: u8,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// As [`FlowState::name`](headgate_net::flow::FlowState::name) spells it.
    pub state: String,
    /// `namespace/name` of the Service that is at the frontend now.
    pub service: Option<String>,
    /// Who opened it.
    pub client: SocketAddr,
    /// Where the client connected to.
    pub frontend: SocketAddr,
    /// What the pod takes for the client.
    pub source: SocketAddr,
    /// The pod.
    pub pod: SocketAddr,
    /// Packets from the client.
    pub packets_in: u64,
    /// Bytes of these.
    pub bytes_in: u64,
    /// Packets from the pod.
    pub packets_out: u64,
    /// Bytes of these.
    pub bytes_out: u64,
    /// Since the last packet of either.
    pub idle_milliseconds: u64,
}

impl FlowQuery {
    fn takes(&self, flow: &FlowCopy, service: Option<&str>) -> bool {
        let protocol = protocol(flow.protocol);
        let in_one = |nets: &[IpNet], addresses: &[IpAddr]| {
            nets.is_empty()
                || nets
                    .iter()
                    .any(|net| addresses.iter().any(|address| net.contains(address)))
        };
        one_of(&self.protocols, |wanted| wanted.eq_ignore_ascii_case(protocol))
            && one_of(&self.states, |wanted| wanted == flow.state.name())
            && in_one(&self.from, &[flow.client.ip()])
            && in_one(&self.to, &[flow.frontend.ip(), flow.pod.ip()])
            && one_of(&self.ports, |port| {
                [flow.frontend.port(), flow.pod.port()].contains(port)
            })
            && one_of(&self.services, |wanted| {
                let namespace = |name: &str| {
                    name.split_once('/')
                        .is_some_and(|(namespace, _)| namespace == wanted)
                };
                service.is_some_and(|name| name == wanted || namespace(name))
            })
    }
}

fn one_of<T>(list: &[T], takes: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(takes)
}

fn protocol(number: u8) -> &'static str {
    match number {
        wire::TCP => "tcp",
        wire::UDP => "udp",
        _ => "other",
    }
}

impl FlowOrder {
    fn key(self, flow: &FlowCopy) -> u64 {
        let Carried { packets, bytes } = flow.from_client;
        match self {
            Self::Bytes => bytes + flow.from_pod.bytes,
            Self::Packets => packets + flow.from_pod.packets,
            Self::Idle => milliseconds(flow.idle),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl FlowList {
    /// Picks from the flows that `each_flow` calls with within the time that it is given; it says whether these are all.
    pub fn pick(
        services: &Services,
        query: &FlowQuery,
        each_flow: impl FnOnce(Duration, &mut dyn FnMut(WorkerId, FlowCopy)) -> bool,
    ) -> Self {
        let mut gathering = Gathering::new(query, services);
        let complete = each_flow(PATIENCE, &mut |worker, flow| gathering.add(worker.0, flow));
        gathering.end(complete)
    }
}

/// What of the flows is kept while they come.
struct Gathering<'a> {
    query: &'a FlowQuery,
    services: &'a Services,
    most: usize,
    /// Flows by worker, client, frontend and protocol: one may come twice.
    seen: HashSet<(u8, SocketAddr, SocketAddr, u8)>,
    list: FlowList,
    /// The first ones so far, the last of them on top. Where keys are the same, who came first stands first.
    first: BinaryHeap<Reverse<Ranked>>,
}

struct Ranked {
    key: u64,
    number: Reverse<usize>,
    worker: u8,
    flow: FlowCopy,
}

impl Ranked {
    const fn rank(&self) -> (u64, Reverse<usize>) {
        (self.key, self.number)
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<'a> Gathering<'a> {
    fn new(query: &'a FlowQuery, services: &'a Services) -> Self {
        Self {
            query,
            services,
            most: query.top.unwrap_or(MOST).min(MOST),
            seen: HashSet::new(),
            list: FlowList::default(),
            first: BinaryHeap::new(),
        }
    }

    fn service(&self, flow: &FlowCopy) -> Option<&'a str> {
        let (address, port) = (flow.frontend.ip(), flow.frontend.port());
        let service = self.services.lookup(address, flow.protocol, port)?;
        Some(service.name())
    }

    fn add(&mut self, worker: u8, flow: FlowCopy) {
        if !self
            .seen
            .insert((worker, flow.client, flow.frontend, flow.protocol))
        {
            return;
        }
        self.list.followed += 1;
        if !self.query.takes(&flow, self.service(&flow)) {
            return;
        }
        self.list.matched += 1;
        let state = flow.state.name();
        match self.list.states.get_mut(state) {
            Some(count) => *count += 1,
            None => {
                self.list.states.insert(state.to_owned(), 1);
            }
        }
        self.first.push(Reverse(Ranked {
            key: self.query.by.key(&flow),
            number: Reverse(self.list.matched),
            worker,
            flow,
        }));
        if self.first.len() > self.most {
            let _ = self.first.pop();
        }
    }

    fn end(mut self, complete: bool) -> FlowList {
        let first = std::mem::take(&mut self.first).into_sorted_vec();
        let status = |Reverse(ranked): &Reverse<Ranked>| {
            let flow = &ranked.flow;
            FlowStatus {
                worker: ranked.worker,
                protocol: protocol(flow.protocol).to_owned(),
                state: flow.state.name().to_owned(),
                service: self.service(flow).map(str::to_owned),
                client: flow.client,
                frontend: flow.frontend,
                source: flow.source,
                pod: flow.pod,
                packets_in: flow.from_client.packets,
                bytes_in: flow.from_client.bytes,
                packets_out: flow.from_pod.packets,
                bytes_out: flow.from_pod.bytes,
                idle_milliseconds: milliseconds(flow.idle),
            }
        };
        let flows = first.iter().map(status).collect();
        FlowList {
            complete,
            flows,
            ..self.list
        }
    }
}

#[cfg(test)]
mod tests {
    use headgate_net::flow::FlowState;

    use super::*;

    fn flow(client: &str, protocol: u8, state: FlowState, packets: u64, bytes: u64) -> FlowCopy {
        FlowCopy {
            protocol,
            state,
            client: client.parse().unwrap(),
            frontend: "198.51.100.10:80".parse().unwrap(),
            source: "10.244.1.1:50000".parse().unwrap(),
            pod: "10.244.1.10:8080".parse().unwrap(),
            from_client: Carried { packets, bytes },
            from_pod: Carried {
                packets: 1,
                bytes: 40,
            },
            idle: Duration::from_millis(packets),
        }
    }

    fn flows() -> [FlowCopy; 4] {
        [
            flow("192.0.2.10:1000", wire::TCP, FlowState::TcpEstablished, 5, 9_000),
            flow("192.0.2.11:1001", wire::TCP, FlowState::TcpOpening, 1, 60),
            flow("203.0.113.9:1002", wire::TCP, FlowState::TcpOpening, 2, 120),
            flow("203.0.113.9:1003", wire::UDP, FlowState::UdpReplied, 900, 3_000),
        ]
    }

    fn list(query: &FlowQuery) -> FlowList {
        let services = Services::default();
        let mut gathering = Gathering::new(query, &services);
        for flow in flows() {
            // Whatever comes twice counts once.
            (0..2).for_each(|_| gathering.add(0, flow));
        }
        gathering.end(true)
    }

    fn clients(query: &FlowQuery) -> Vec<u16> {
        list(query).flows.iter().map(|flow| flow.client.port()).collect()
    }

    #[test]
    fn each_filter_takes_what_it_says() {
        let any = FlowQuery::default();
        assert_eq!(clients(&any), [1000, 1003, 1002, 1001]);
        let of = |change: &dyn Fn(&mut FlowQuery)| {
            let mut query = any.clone();
            change(&mut query);
            clients(&query)
        };
        assert_eq!(of(&|q| q.protocols = vec!["UDP".into()]), [1003]);
        assert_eq!(of(&|q| q.states = vec!["tcp-opening".into()]), [1002, 1001]);
        assert_eq!(
            of(&|q| q.from = vec!["203.0.113.0/24".parse().unwrap()]),
            [1003, 1002]
        );
        assert_eq!(of(&|q| q.to = vec!["10.244.1.10/32".parse().unwrap()]).len(), 4);
        let none: [u16; 0] = [];
        assert_eq!(of(&|q| q.to = vec!["192.0.2.0/24".parse().unwrap()]), none);
        assert_eq!(of(&|q| q.ports = vec![80]).len(), 4);
        assert_eq!(of(&|q| q.ports = vec![8080]).len(), 4);
        assert_eq!(of(&|q| q.ports = vec![1000]), none);
        assert_eq!(of(&|q| q.services = vec!["shop".into()]), none);
        assert_eq!(
            of(&|q| {
                q.states = vec!["tcp-opening".into(), "udp-replied".into()];
                q.from = vec!["203.0.113.9/32".parse().unwrap()];
            }),
            [1003, 1002]
        );
    }

    #[test]
    fn the_first_ones_are_kept_in_their_order_and_all_are_counted() {
        let mut query = FlowQuery {
            top: Some(2),
            by: FlowOrder::Packets,
            ..FlowQuery::default()
        };
        assert_eq!(clients(&query), [1003, 1000]);
        query.by = FlowOrder::Idle;
        assert_eq!(clients(&query), [1003, 1000]);
        let list = list(&query);
        assert_eq!((list.followed, list.matched, list.complete), (4, 4, true));
        assert_eq!(list.states["tcp-opening"], 2);
        let first = &list.flows[0];
        assert_eq!(
            (
                first.packets_in,
                first.bytes_in,
                first.packets_out,
                first.bytes_out
            ),
            (900, 3_000, 1, 40)
        );
        assert_eq!(
            (first.state.as_str(), first.idle_milliseconds),
            ("udp-replied", 900)
        );
    }

    #[test]
    fn a_service_is_named_by_itself_or_its_namespace() {
        let query = |service: &str| FlowQuery {
            services: vec![service.into()],
            ..FlowQuery::default()
        };
        let [flow, ..] = flows();
        for (wanted, takes) in [
            ("shop/echo", true),
            ("shop", true),
            ("echo", false),
            ("shop/echo-2", false),
            ("sho", false),
        ] {
            assert_eq!(query(wanted).takes(&flow, Some("shop/echo")), takes, "{wanted}");
        }
        assert!(!query("shop").takes(&flow, None));
    }
}
