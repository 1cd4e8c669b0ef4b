use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::wire::{TCP, UDP, tcp_flag};

const SOURCE: [u8; 4] = [10, 244, 1, 1];

fn flows(capacity: usize) -> Flows<[u8; 4]> {
    Flows::new(
        capacity,
        40_000..=40_099,
        &Timeouts::default(),
        Secret::new([1, 2]),
    )
}

fn new(client_port: u16, backend: u8, protocol: u8) -> NewFlow<[u8; 4]> {
    NewFlow {
        client: Tuple {
            source: [192, 0, 2, 10],
            destination: [198, 51, 100, 10],
            source_port: client_port,
            destination_port: 80,
        },
        protocol,
        backend: [10, 244, 1, backend],
        backend_port: 8080,
        source: SOURCE,
        tables_publication: 1,
        service: 7,
    }
}

fn find<A: Address>(flows: &Flows<A>, tuple: &Tuple<A>, protocol: u8) -> Option<usize> {
    flows.find(flows.hash(tuple, protocol), tuple, protocol)
}

/// The slot of a flow's direction from the client.
fn slot(flows: &Flows<[u8; 4]>, new: &NewFlow<[u8; 4]>) -> usize {
    find(flows, &new.client, new.protocol).expect("the flow is there")
}

fn at(seconds: u64) -> Nanos {
    Nanos(seconds * 1_000_000_000)
}

#[test]
fn either_direction_is_found() {
    let mut flows = flows(8);
    let new = new(4_000, 10, TCP);
    let forward = flows.create(&new, at(0)).unwrap();
    let pod = flows.entry(forward).rewrite;
    assert_eq!(
        (pod.source, pod.destination, pod.destination_port),
        (SOURCE, [10, 244, 1, 10], 8080)
    );
    assert!((40_000..=40_099).contains(&pod.source_port));
    let reverse = find(&flows, &pod.reversed(), TCP).unwrap();
    assert_eq!(flows.entry(reverse).rewrite, new.client.reversed());
    assert_eq!(flows.entry(reverse).direction(), Direction::FromPod);
    for slot in [forward, reverse] {
        assert_eq!(
            (flows.entry(slot).client(), flows.entry(slot).pod()),
            (new.client, pod)
        );
    }
    assert_eq!(find(&flows, &new.client, UDP), None);
    flows.remove(reverse);
    assert_eq!(find(&flows, &new.client, TCP), None);
    assert_eq!((flows.len(), flows.source_ports_in_use()), (0, 0));
}

#[test]
fn full_tables_and_used_up_ports() {
    let mut few = flows(3);
    for port in 0..3 {
        few.create(&new(port, 10, UDP), at(0)).unwrap();
    }
    assert_eq!(few.create(&new(3, 10, UDP), at(0)), Err(NoRoom::Flows));
    let mut many = flows(1_000);
    for port in 0..100 {
        many.create(&new(port, 10, UDP), at(0)).unwrap();
    }
    assert_eq!(many.create(&new(100, 10, UDP), at(0)), Err(NoRoom::SourcePorts));
    assert!(many.create(&new(100, 11, UDP), at(0)).is_ok());
    assert!(many.create(&new(101, 10, TCP), at(0)).is_ok());
    assert_eq!(many.len(), 102);
}

/// A frontend at the source address whose client is the pod itself: the one key cannot name both directions.
#[test]
fn a_flow_that_would_meet_itself_is_refused() {
    let mut flows = Flows::<[u8; 4]>::new(8, 40_000..=40_000, &Timeouts::default(), Secret::new([1, 2]));
    let odd = NewFlow {
        client: Tuple {
            source: [10, 244, 1, 10],
            destination: SOURCE,
            source_port: 8080,
            destination_port: 40_000,
        },
        backend: [10, 244, 1, 11],
        ..new(0, 0, UDP)
    };
    flows.create(&odd, at(0)).unwrap();
    assert_eq!(flows.create(&new(5, 10, UDP), at(0)), Err(NoRoom::SourcePorts));
    assert_eq!(flows.source_ports_in_use(), 1);
}

/// The state after the packets, each by whether the pod sends it and its flags.
fn after(packets: &[(bool, u8)]) -> FlowState {
    let mut flows = flows(8);
    let new = new(4_000, 10, TCP);
    let slot = flows.create(&new, at(0)).unwrap();
    let pod = flows.entry(slot).rewrite;
    for (from_pod, tcp_flags) in packets {
        let tuple = if *from_pod { pod.reversed() } else { new.client };
        let slot = find(&flows, &tuple, TCP).unwrap();
        assert_eq!(flows.track(slot, *tcp_flags), Tracked::Continue);
    }
    let reverse = find(&flows, &pod.reversed(), TCP).unwrap();
    assert_eq!(flows.entry(slot).state, flows.entry(reverse).state);
    flows.entry(slot).state
}

#[test]
fn tcp_states() {
    use tcp_flag::{ACK, FIN, RST, SYN};
    const CLIENT: bool = false;
    const POD: bool = true;
    let open = [(CLIENT, SYN), (POD, SYN | ACK), (CLIENT, ACK)];
    let then = |more: &[(bool, u8)]| after(&[&open[..], more].concat());
    assert_eq!(after(&open[..1]), FlowState::TcpOpening);
    assert_eq!(after(&open[..2]), FlowState::TcpAnswered);
    assert_eq!(then(&[]), FlowState::TcpEstablished);
    assert_eq!(then(&[(CLIENT, FIN | ACK)]), FlowState::TcpHalfClosed);
    assert_eq!(
        then(&[(POD, FIN | ACK), (POD, FIN | ACK)]),
        FlowState::TcpHalfClosed
    );
    assert_eq!(
        then(&[(POD, FIN | ACK), (CLIENT, ACK), (CLIENT, FIN | ACK), (POD, ACK)]),
        FlowState::TcpClosed
    );
    assert_eq!(then(&[(CLIENT, RST)]), FlowState::TcpReset);
    assert_eq!(after(&[(CLIENT, SYN), (POD, RST | ACK)]), FlowState::TcpReset);
    // A reset that its alleged sender knows nothing of.
    assert_eq!(then(&[(CLIENT, RST), (CLIENT, ACK)]), FlowState::TcpEstablished);
    assert_eq!(then(&[(CLIENT, RST), (POD, ACK)]), FlowState::TcpReset);
    // Client's FIN comes with the acknowledgement; the pod's before it.
    assert_eq!(
        after(&[(CLIENT, SYN), (POD, SYN | ACK), (CLIENT, FIN | ACK)]),
        FlowState::TcpHalfClosed
    );
    assert_eq!(
        after(&[(CLIENT, SYN), (POD, SYN | ACK), (POD, FIN | ACK), (CLIENT, ACK)]),
        FlowState::TcpHalfClosed
    );
    // A second SYN on an open connection is the ends' affair.
    assert_eq!(then(&[(CLIENT, SYN)]), FlowState::TcpEstablished);
}

#[test]
fn a_syn_reopens_what_is_over() {
    for end in [[tcp_flag::RST; 2], [tcp_flag::FIN | tcp_flag::ACK; 2]] {
        let mut flows = flows(8);
        let new = new(4_000, 10, TCP);
        let forward = flows.create(&new, at(0)).unwrap();
        let pod = flows.entry(forward).rewrite;
        let reverse = find(&flows, &pod.reversed(), TCP).unwrap();
        for (slot, tcp_flags) in [
            (reverse, tcp_flag::SYN | tcp_flag::ACK),
            (forward, tcp_flag::ACK),
            (forward, end[0]),
            (reverse, end[1]),
        ] {
            flows.track(slot, tcp_flags);
        }
        assert_eq!(flows.track(reverse, tcp_flag::SYN), Tracked::Continue);
        assert_eq!(flows.track(forward, tcp_flag::SYN), Tracked::Reopen);
    }
}

#[test]
fn idle_flows_go_and_busy_ones_stay() {
    let mut flows = flows(64);
    let (idle, busy, answered) = (new(1, 10, UDP), new(2, 10, UDP), new(3, 10, UDP));
    for new in [&idle, &busy, &answered] {
        flows.create(new, at(0)).unwrap();
    }
    // Only the pod still sends on one; that counts for both directions.
    let pod = flows.entry(slot(&flows, &answered)).rewrite.reversed();
    let reverse = find(&flows, &pod, UDP).unwrap();
    flows.track(reverse, 0);
    flows.entry_mut(reverse).count(100, Tick::of(at(20)));
    let forward = slot(&flows, &busy);
    flows.entry_mut(forward).count(100, Tick::of(at(25)));
    let round = flows.slots();
    assert_eq!(flows.sweep(at(29), round), 0);
    assert_eq!(flows.sweep(at(31), round), 1);
    assert_eq!(find(&flows, &idle.client, UDP), None);
    assert_eq!(flows.sweep(at(56), round), 1);
    assert_eq!(flows.sweep(at(139), round), 0);
    assert_eq!(flows.sweep(at(141), round), 1);
    assert_eq!((flows.len(), flows.source_ports_in_use()), (0, 0));
}

#[test]
fn unanswered_flows_go_sooner_under_pressure() {
    let mut flows = Flows::<[u8; 4]>::new(64, 40_000..=40_099, &Timeouts::default(), Secret::new([1, 2]));
    let round = flows.slots();
    let answered = new(1_000, 10, UDP);
    let forward = flows.create(&answered, at(0)).unwrap();
    let reverse = find(&flows, &flows.entry(forward).rewrite.reversed(), UDP).unwrap();
    flows.track(reverse, 0);
    for port in 1..64 {
        flows.create(&new(port, 10, UDP), at(0)).unwrap();
    }
    assert_eq!(flows.sweep(at(1), round), 0);
    // Full: 2 s instead of 30, and more again with every one that goes.
    let gone = flows.sweep(at(3), round);
    assert!((1..32).contains(&gone), "{gone}");
    assert!(find(&flows, &answered.client, UDP).is_some());
    while flows.sweep(at(29), round) > 0 {}
    assert!(flows.len() >= 31, "half full: no hurry");
    while flows.sweep(at(31), round) > 0 {}
    assert_eq!(flows.len(), 1);
}

/// The clock of entries wraps after 52 days.
#[test]
fn ticks_wrap() {
    let wrap = (1_u64 << 32) << 20;
    let mut flows = flows(8);
    flows
        .create(&new(1, 10, UDP), Nanos(wrap - 1_000_000_000))
        .unwrap();
    let round = flows.slots();
    assert_eq!(flows.sweep(Nanos(wrap + 20_000_000_000), round), 0);
    assert_eq!(flows.sweep(Nanos(wrap + 40_000_000_000), round), 1);
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Create {
        client_port: u16,
        backend: u8,
        protocol: u8,
    },
    Remove {
        which: usize,
        reverse: bool,
    },
    Find {
        client_port: u16,
        protocol: u8,
    },
    Sweep {
        seconds: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let protocol = prop_oneof![Just(TCP), Just(UDP)];
    prop_oneof![
        6 => (0..200_u16, 0..3_u8, protocol.clone())
            .prop_map(|(client_port, backend, protocol)| Operation::Create { client_port, backend, protocol }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, reverse)| Operation::Remove { which, reverse }),
        2 => (0..200_u16, protocol).prop_map(|(client_port, protocol)| Operation::Find { client_port, protocol }),
        1 => (0..40_u64).prop_map(|seconds| Operation::Sweep { seconds }),
    ]
}

/// What the model knows of a flow: the tuple towards the pod, and when it was made.
type Model = HashMap<(u16, u8), (Tuple<[u8; 4]>, u64)>;

fn check(flows: &Flows<[u8; 4]>, model: &Model) {
    assert_eq!(flows.len(), model.len());
    assert_eq!(flows.source_ports_in_use(), model.len());
    for ((client_port, protocol), (pod, _)) in model {
        let forward = slot(flows, &new(*client_port, 0, *protocol));
        assert_eq!(flows.entry(forward).rewrite, *pod);
        assert!(find(flows, &pod.reversed(), *protocol).is_some());
    }
}

proptest! {
    /// The table against a map, with a capacity that is reached. Timeouts are those of a table without pressure, so
    /// time goes by only while it is at most half full.
    #[test]
    fn as_a_map(operations in proptest::collection::vec(operation(), 0..400)) {
        let mut flows = flows(90);
        let mut model = Model::new();
        let mut now = 0;
        for operation in operations {
            match operation {
                Operation::Create { client_port, backend, protocol } => {
                    let new = new(client_port, backend, protocol);
                    if model.contains_key(&(client_port, protocol)) {
                        continue;
                    }
                    match flows.create(&new, at(now)) {
                        Ok(slot) => {
                            let pod = flows.entry(slot).rewrite;
                            prop_assert!(
                                model.iter().all(|((_, p), (other, _))| *p != protocol || *other != pod)
                            );
                            model.insert((client_port, protocol), (pod, now));
                        }
                        Err(NoRoom::Flows) => prop_assert_eq!(model.len(), 90),
                        Err(NoRoom::SourcePorts) => prop_assert!(false, "100 ports for 90 flows"),
                    }
                }
                Operation::Remove { which, reverse } => {
                    let mut keys: Vec<_> = model.keys().copied().collect();
                    keys.sort_unstable();
                    let Some(key) = keys.get(which.checked_rem(keys.len()).unwrap_or(0)) else { continue };
                    let (pod, _) = model.remove(key).unwrap();
                    let tuple = if reverse { pod.reversed() } else { new(key.0, 0, key.1).client };
                    let slot = find(&flows, &tuple, key.1).unwrap();
                    flows.remove(slot);
                }
                Operation::Find { client_port, protocol } => {
                    let found = find(&flows, &new(client_port, 0, protocol).client, protocol);
                    prop_assert_eq!(found.is_some(), model.contains_key(&(client_port, protocol)));
                }
                Operation::Sweep { seconds } => {
                    if model.len() > 45 {
                        continue;
                    }
                    now += seconds;
                    // One round may miss what a removal moves from before the cursor's start to behind it.
                    let round = flows.slots();
                    while flows.sweep(at(now), round) > 0 {}
                    let timeouts = Timeouts::default();
                    model.retain(|(_, protocol), (_, made)| {
                        let limit = if *protocol == TCP { timeouts.tcp_opening } else { timeouts.udp_unreplied };
                        now - *made <= limit.as_secs()
                    });
                }
            }
            check(&flows, &model);
        }
    }
}

#[test]
fn packets_and_the_service_share_a_word_and_never_meet() {
    let mut flows = flows(4);
    let slot = flows.create(&new(1, 1, TCP), Nanos::default()).unwrap();
    let entry = flows.entry_mut(slot);
    for _ in 0..3 {
        entry.count(1_500, Tick::default());
    }
    assert_eq!((entry.packets(), entry.bytes(), entry.service()), (3, 4_500, 7));
    entry.set_allowed_by(2, u16::MAX);
    assert_eq!(
        (entry.packets(), entry.bytes(), entry.service()),
        (3, 4_500, u16::MAX)
    );
    entry.count(40, Tick::default());
    assert_eq!((entry.packets(), entry.service()), (4, u16::MAX));
}

/// Copies all flows in portions of so many slots, with room for so many copies each time; `between` happens in between.
fn copies(
    flows: &mut Flows<[u8; 4]>,
    budget: usize,
    room: usize,
    mut between: impl FnMut(&mut Flows<[u8; 4]>),
) -> Vec<FlowCopy> {
    let mut all = Vec::new();
    let mut cursor = flows.slots();
    while cursor > 0 {
        let before = all.len();
        flows.copy(&mut cursor, budget, Nanos(5_000_000_000), |flow| {
            let fits = all.len() < before + room;
            if fits {
                all.push(flow);
            }
            fits
        });
        between(flows);
    }
    all
}

#[test]
fn a_copy_tells_both_directions() {
    let mut flows = flows(4);
    let slot = flows.create(&new(1, 2, TCP), Nanos(1_000_000_000)).unwrap();
    flows.entry_mut(slot).count(60, Tick::of(Nanos(1_000_000_000)));
    flows.track(slot, tcp_flag::SYN);
    let answer = flows.partner(slot).unwrap();
    flows
        .entry_mut(answer)
        .count(1_500, Tick::of(Nanos(3_000_000_000)));
    flows.track(answer, tcp_flag::SYN | tcp_flag::ACK);
    let [copy] = copies(&mut flows, 3, 9, |_| ())[..] else {
        panic!("one flow")
    };
    assert_eq!(copy.client, "192.0.2.10:1".parse().unwrap());
    assert_eq!(copy.frontend, "198.51.100.10:80".parse().unwrap());
    assert_eq!(copy.source.ip(), std::net::IpAddr::from(SOURCE));
    assert_eq!(copy.pod, "10.244.1.2:8080".parse().unwrap());
    assert_eq!((copy.protocol, copy.state), (TCP, FlowState::TcpAnswered));
    assert_eq!(
        copy.from_client,
        Carried {
            packets: 1,
            bytes: 60
        }
    );
    assert_eq!(
        copy.from_pod,
        Carried {
            packets: 1,
            bytes: 1_500
        }
    );
    assert!(
        (1_998..=2_002).contains(&copy.idle.as_millis()),
        "{:?}",
        copy.idle
    );
}

proptest! {
    /// Whatever the portions and the room, and though other flows end meanwhile: a flow that stays is found, and no other.
    #[test]
    fn flows_that_stay_are_copied(
        budget in 1_usize..40,
        room in 1_usize..8,
        count in 1_u16..60,
        ends in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut flows = flows(80);
        for port in 1..=count {
            flows.create(&new(port, 1, UDP), Nanos::default()).unwrap();
        }
        let mut leaving: Vec<u16> = (1..=count).filter(|port| ends[usize::from(*port) - 1]).collect();
        let staying: Vec<u16> = (1..=count).filter(|port| !leaving.contains(port)).collect();
        // Entries of the first slots may go round the end.
        let round = |flows: &Flows<[u8; 4]>, port: u16| {
            find(flows, &new(port, 1, UDP).client, UDP).is_some_and(|slot| slot < 40)
        };
        let exempt: Vec<u16> = staying.iter().copied().filter(|port| round(&flows, *port)).collect();
        let found = copies(&mut flows, budget, room, |flows| {
            if let Some(port) = leaving.pop()
                && let Some(slot) = find(flows, &new(port, 1, UDP).client, UDP)
            {
                flows.remove(slot);
            }
        });
        let ports: std::collections::HashSet<u16> = found.iter().map(|flow| flow.client.port()).collect();
        for port in staying {
            prop_assert!(ports.contains(&port) || exempt.contains(&port), "{} of {:?}", port, ports);
        }
        prop_assert!(ports.iter().all(|port| (1..=count).contains(port)));
    }
}
