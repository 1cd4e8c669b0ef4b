//! What becomes of live flows when state, routes and neighbours change.

use super::*;
use headgate_net::record::PacketCount;
use headgate_net::wire::ethernet::set_link;

fn open(gateway: &mut Gateway, transport: Transport<'_>) -> (SocketAddr, SocketAddr) {
    let out = gateway.client_sends(CLIENT, VIP, transport);
    assert_eq!(out.verdict, Verdict::Forward(PODS));
    ends(&out.frame)
}

fn pod_sends(gateway: &mut Gateway, pod: SocketAddr, to: SocketAddr, transport: Transport<'_>) -> Verdict {
    let frame = craft::frame([PEER_MAC, GATEWAY_MACS[1]], pod, to, transport);
    gateway.receive(0, PODS, &frame).verdict
}

/// Opens a connection to the end.
fn establish(gateway: &mut Gateway) -> (SocketAddr, SocketAddr) {
    let (source, pod) = open(gateway, tcp(SYN));
    assert_eq!(
        pod_sends(gateway, pod, source, tcp(SYN | ACK)),
        Verdict::Forward(CLIENTS)
    );
    assert_eq!(
        gateway.client_sends(CLIENT, VIP, tcp(ACK)).verdict,
        Verdict::Forward(PODS)
    );
    (source, pod)
}

/// The objects, with other backends behind the IPv4 frontend.
fn with_backends(backends: &[&str]) -> Vec<Object> {
    let mut objects = objects();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        objects.push(service(VIP, protocol, backends));
    }
    objects
}

#[test]
fn a_change_elsewhere_cuts_nothing() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    let (source, pod) = establish(&mut gateway);
    let mut objects = objects();
    objects.extend(policy("a/b", "10.244.9.9", "192.0.2.0/24"));
    gateway.publish(objects);
    assert_eq!(
        ends(&gateway.client_sends(CLIENT, VIP, tcp(ACK)).frame),
        (source, pod)
    );
    assert_eq!(
        pod_sends(&mut gateway, pod, source, tcp(ACK)),
        Verdict::Forward(CLIENTS)
    );
    assert_eq!(gateway.counters().get(PacketCount::FlowsCut), 0);
}

#[test]
fn a_policy_cuts_what_it_forbids() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    let (source, pod) = establish(&mut gateway);
    gateway.publish(with_doors_shut());
    assert_eq!(
        gateway.client_sends(CLIENT, VIP, tcp(ACK)).verdict,
        Verdict::Drop(Reason::Denied)
    );
    // The kernel resets the pod's end.
    assert_eq!(pod_sends(&mut gateway, pod, source, tcp(ACK)), Verdict::ToKernel);
    assert_eq!((gateway.flows(), gateway.source_ports_in_use()), (0, 0));
    assert_eq!(gateway.counters().get(PacketCount::FlowsCut), 1);
}

/// The objects, and policies that shut everybody out of the pods.
fn with_doors_shut() -> Vec<Object> {
    let mut objects = objects();
    for pod in ["10.244.1.10", "10.244.1.11", "10.244.1.12"] {
        objects.extend(policy(&format!("shop/{pod}"), pod, "203.0.113.0/24"));
    }
    objects
}

#[test]
fn established_flows_are_kept_where_that_is_asked_for() {
    for transport in [tcp(SYN), UDP] {
        let mut gateway = Gateway::keeping(EstablishedFlows::Keep);
        let (source, pod) = if transport == UDP {
            let ends = open(&mut gateway, UDP);
            assert_eq!(
                pod_sends(&mut gateway, ends.1, ends.0, UDP),
                Verdict::Forward(CLIENTS)
            );
            ends
        } else {
            establish(&mut gateway)
        };
        gateway.publish(with_doors_shut());
        let more = if transport == UDP { UDP } else { tcp(ACK) };
        assert_eq!(
            ends(&gateway.client_sends(CLIENT, VIP, more).frame),
            (source, pod)
        );
        assert_eq!(
            pod_sends(&mut gateway, pod, source, more),
            Verdict::Forward(CLIENTS)
        );
        // What is new is decided by the new policies.
        assert_eq!(
            gateway.client_sends("192.0.2.10:40001", VIP, transport).verdict,
            Verdict::Drop(Reason::Denied)
        );
        assert_eq!(
            (gateway.flows(), gateway.counters().get(PacketCount::FlowsCut)),
            (1, 0)
        );
        // Without its Service a flow has no way, kept or not.
        gateway.publish(vec![service(
            "198.51.100.10:81",
            Protocol::Tcp,
            &["10.244.1.10:8080"],
        )]);
        gateway.client_sends(CLIENT, VIP, more);
        assert_eq!(
            (gateway.flows(), gateway.counters().get(PacketCount::FlowsCut)),
            (0, 1)
        );
    }
}

#[test]
fn a_flow_that_nobody_has_answered_is_not_kept() {
    for transport in [tcp(SYN), UDP] {
        let mut gateway = Gateway::keeping(EstablishedFlows::Keep);
        let (source, pod) = open(&mut gateway, transport);
        gateway.publish(with_doors_shut());
        assert_eq!(pod_sends(&mut gateway, pod, source, transport), Verdict::ToKernel);
        assert_eq!(
            gateway.client_sends(CLIENT, VIP, transport).verdict,
            Verdict::Drop(Reason::Denied)
        );
        assert_eq!(
            (gateway.flows(), gateway.counters().get(PacketCount::FlowsCut)),
            (0, 1)
        );
    }
}

#[test]
fn a_tuple_that_is_used_again_is_a_new_flow() {
    let mut gateway = Gateway::keeping(EstablishedFlows::Keep);
    let (source, pod) = establish(&mut gateway);
    pod_sends(&mut gateway, pod, source, tcp(tcp_flag::FIN | ACK));
    gateway.client_sends(CLIENT, VIP, tcp(tcp_flag::FIN | ACK));
    gateway.publish(with_doors_shut());
    assert_eq!(
        gateway.client_sends(CLIENT, VIP, tcp(SYN)).verdict,
        Verdict::Drop(Reason::Denied)
    );
}

#[test]
fn a_reply_notices_too() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    let (source, pod) = establish(&mut gateway);
    gateway.publish(vec![service(
        "198.51.100.10:81",
        Protocol::Tcp,
        &["10.244.1.10:8080"],
    )]);
    assert_eq!(pod_sends(&mut gateway, pod, source, tcp(ACK)), Verdict::ToKernel);
    assert_eq!(gateway.flows(), 0);
    // The Service is gone, the address is not.
    assert_eq!(
        gateway.client_sends(CLIENT, VIP, tcp(ACK)).verdict,
        Verdict::Reply
    );
}

#[test]
fn established_connections_outlive_their_backend() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    let (source, pod) = establish(&mut gateway);
    gateway.publish(with_backends(&["10.244.1.20:8080"]));
    assert_eq!(
        ends(&gateway.client_sends(CLIENT, VIP, tcp(ACK)).frame),
        (source, pod)
    );
    assert_eq!(
        pod_sends(&mut gateway, pod, source, tcp(ACK)),
        Verdict::Forward(CLIENTS)
    );
}

#[test]
fn datagrams_and_unanswered_connections_move_to_another_backend() {
    for transport in [UDP, tcp(SYN)] {
        let mut gateway = Gateway::new(1, Ownership::Hash);
        open(&mut gateway, transport);
        gateway.publish(with_backends(&["10.244.1.20:8080"]));
        let out = gateway.client_sends(CLIENT, VIP, transport);
        assert_eq!(ends(&out.frame).1, socket("10.244.1.20:8080"));
        assert_eq!((gateway.flows(), gateway.source_ports_in_use()), (1, 1));
    }
}

#[test]
fn the_last_backend_goes() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    open(&mut gateway, UDP);
    gateway.publish(with_backends(&[]));
    assert_eq!(gateway.client_sends(CLIENT, VIP, UDP).verdict, Verdict::Reply);
    assert_eq!(gateway.counters().answered(Answer::PortUnreachable), 1);
}

#[test]
fn hops_follow_the_forwarding_table() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    let (source, pod) = open(&mut gateway, UDP);
    let mut snapshot = snapshot();
    snapshot.neighbours.retain(|n| n.address != pod.ip());
    gateway.fib = Fib::build(&snapshot, 2);
    let mut out = gateway.client_sends(CLIENT, VIP, UDP);
    assert_eq!(
        out.verdict,
        Verdict::Resolve {
            port: PODS,
            neighbour: pod.ip()
        }
    );
    // The worker completes it once the neighbour is known.
    assert_eq!(ends(&out.frame), (source, pod));
    set_link(&mut out.frame, GATEWAY_MACS[1], PEER_MAC);
    assert_eq!(ends(&out.frame), (source, pod));

    snapshot.neighbours.push(fib::Neighbour {
        interface: 3,
        address: pod.ip(),
        mac: Some([2, 9, 9, 9, 9, 9]),
    });
    gateway.fib = Fib::build(&snapshot, 3);
    let out = gateway.client_sends(CLIENT, VIP, UDP);
    assert_eq!(
        (out.verdict, &out.frame[..6]),
        (Verdict::Forward(PODS), &[2, 9, 9, 9, 9, 9][..])
    );

    snapshot.routes.retain(|r| !r.destination.contains(&pod.ip()));
    gateway.fib = Fib::build(&snapshot, 4);
    assert_eq!(
        gateway.client_sends(CLIENT, VIP, UDP).verdict,
        Verdict::Drop(Reason::NoRoute)
    );
    assert_eq!(
        gateway.client_sends("192.0.2.10:2", VIP, UDP).verdict,
        Verdict::Drop(Reason::NoRoute)
    );
}

#[test]
fn backends_behind_other_devices_and_on_the_host() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    gateway.publish(with_backends(&["203.0.113.10:8080"]));
    let out = gateway.client_sends(CLIENT, VIP, UDP);
    assert_eq!(out.verdict, Verdict::ToKernel);
    assert_eq!(ends(&out.frame).1, socket("203.0.113.10:8080"));
    assert_eq!(ends(&out.frame).0.ip(), ip("203.0.113.1"));
    assert_eq!(gateway.counters().to_kernel(Kernel::OtherDevice), 1);
    gateway.publish(with_backends(&["192.0.2.1:8080"]));
    let verdict = gateway.client_sends("192.0.2.10:2", VIP, UDP).verdict;
    assert_eq!(verdict, Verdict::Drop(Reason::LocalBackend));
}

#[test]
fn a_tuple_is_used_again() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    let (first, pod) = establish(&mut gateway);
    assert_eq!(
        pod_sends(&mut gateway, pod, first, tcp(tcp_flag::FIN | ACK)),
        Verdict::Forward(CLIENTS)
    );
    gateway.client_sends(CLIENT, VIP, tcp(tcp_flag::FIN | ACK));
    let (second, _) = open(&mut gateway, tcp(SYN));
    assert_ne!(first, second);
    assert_eq!((gateway.flows(), gateway.source_ports_in_use()), (1, 1));
}
