//! Flows, listed while packets go on.

use std::collections::BTreeSet;

use headgate_net::flow::{Carried, FlowCopy, FlowState};

use super::*;

impl Bench {
    /// Lists all flows on a thread of its own, while every worker takes its turns and `meanwhile` happens between them.
    fn list(&mut self, mut meanwhile: impl FnMut(&mut Self)) -> (bool, Vec<(u8, FlowCopy)>) {
        let shared = Arc::clone(&self.shared);
        let lister = std::thread::spawn(move || {
            let mut flows = Vec::new();
            let complete = shared.each_flow(Duration::from_secs(60), |worker, flow| {
                flows.push((worker.0, flow));
            });
            (complete, flows)
        });
        while !lister.is_finished() {
            meanwhile(self);
            self.settle();
        }
        lister.join().unwrap()
    }
}

#[test]
fn every_flow_of_every_worker_is_listed_while_packets_go_on() {
    let mut bench = Bench::new(2);
    for port in 1..=1_500_u16 {
        bench.send(usize::from(port) % 2, 10, port, SERVICE);
        if port % 100 == 0 {
            bench.settle();
            bench.arrived(1);
        }
    }
    bench.settle();
    bench.arrived(1);
    for _ in 0..2 {
        let mut more = 0;
        let (complete, flows) = bench.list(|bench| {
            bench.send(0, 20, 7, SERVICE);
            more += 1;
        });
        assert!(complete && more > 0);
        bench.arrived(1);
        let ports: BTreeSet<u16> = flows
            .iter()
            .filter(|(_, flow)| flow.client.ip().to_string() == "192.0.2.10")
            .map(|(_, flow)| flow.client.port())
            .collect();
        assert_eq!(ports, (1..=1_500).collect());
        let workers: BTreeSet<u8> = flows.iter().map(|(worker, _)| *worker).collect();
        assert_eq!(workers, [0, 1].into());
        let (_, flow) = flows
            .iter()
            .find(|(_, flow)| flow.client.port() == 1_000)
            .unwrap();
        assert_eq!((flow.state, flow.protocol), (FlowState::UdpUnreplied, 17));
        assert_eq!(
            (flow.frontend, flow.pod),
            (socket(SERVICE), socket("10.244.1.10:7"))
        );
        assert_eq!(
            flow.from_client,
            Carried {
                packets: 1,
                bytes: 33
            }
        );
        assert_eq!(flow.from_pod, Carried::default());
    }
}

/// A worker that takes no turn holds nobody up for longer than asked, and what it tells later is nobody else's.
#[test]
fn a_worker_that_is_stuck_is_waited_for_and_given_up() {
    let mut bench = Bench::new(2);
    (1..=20).for_each(|port| bench.send(0, 10, port, SERVICE));
    bench.settle();
    let none = |_, _| panic!("nobody tells anything");
    assert!(!bench.shared.each_flow(Duration::from_millis(5), none));
    bench.settle();
    let (complete, flows) = bench.list(|_| ());
    assert!(complete);
    assert_eq!(flows.len(), 20);
}

#[test]
fn nobody_lists_and_nothing_is_done() {
    let mut bench = Bench::new(1);
    bench.send(0, 10, 1, SERVICE);
    bench.settle();
    assert!(!bench.engines[0].ready());
}
