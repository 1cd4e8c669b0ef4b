//! Pods that only the kernel reaches: their answers come by the TAP device.

use super::*;
use headgate_net::fib::TapAddresses;
use headgate_net::verdict::Answer;
use icmp::error_about;

const TAP: &str = "169.254.247.1";
const TAP6: &str = "fd7a:61c8:24be::1";
/// Behind a device that is no port, and on the host's own network.
const PODS_OF_THE_KERNEL: [[&str; 2]; 2] = [
    ["203.0.113.10:8080", "[2001:db8:113::10]:8080"],
    ["192.0.2.1:8080", "[2001:db8:c::1]:8080"],
];

fn snapshot_with_tap() -> Snapshot {
    let mut snapshot = snapshot();
    let net = prefix("2001:db8:113::/64");
    snapshot.routes.push(route(net, 4, RouteKind::Unicast));
    own(&mut snapshot, "2001:db8:113::1/64", 4);
    snapshot.tap = TapAddresses {
        v4: Some(TAP.parse().unwrap()),
        v6: Some(TAP6.parse().unwrap()),
    };
    snapshot
}

fn gateway(workers: u8, pods: [&str; 2]) -> Gateway {
    let mut gateway = Gateway::new(workers, Ownership::Hash);
    gateway.fib = Fib::build(&snapshot_with_tap(), 2);
    let mut objects = objects();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        objects.push(service(VIP, protocol, &pods[..1]));
        objects.push(service(VIP6, protocol, &pods[1..]));
    }
    gateway.publish(objects);
    gateway
}

/// What the kernel sends by the TAP device, to the worker that the source port names.
fn kernel_sends(gateway: &mut Gateway, worker: u8, bytes: &[u8]) -> Outcome {
    let ctx = Context {
        tables: &gateway.tables,
        fib: &gateway.fib,
        now: gateway.now,
    };
    let mut frame = gateway.cache.take().unwrap();
    frame.copy_from(bytes).unwrap();
    let (mut frames, mut verdicts) = ([frame], Vec::new());
    let pipeline = &mut gateway.workers[usize::from(worker)];
    pipeline.process_handed_over(&ctx, PortId::KERNEL, &mut frames, &mut verdicts);
    let [frame] = frames;
    let outcome = Outcome {
        verdict: verdicts[0],
        frame: frame.data().to_vec(),
        worker,
    };
    gateway.cache.put(frame);
    outcome
}

fn pod_sends(pod: SocketAddr, to: SocketAddr, transport: Transport<'_>) -> Vec<u8> {
    craft::frame([PEER_MAC, [2, 0, 0, 0, 0, 9]], pod, to, transport)
}

#[test]
fn their_flows_are_from_an_address_of_headgates_and_go_both_ways() {
    for pods in PODS_OF_THE_KERNEL {
        for (client, frontend, pod, tap) in [(CLIENT, VIP, pods[0], TAP), (CLIENT6, VIP6, pods[1], TAP6)] {
            for (there, back) in [(UDP, UDP), (tcp(SYN), tcp(SYN | ACK))] {
                let mut gateway = gateway(3, pods);
                let out = gateway.client_sends(client, frontend, there);
                assert_eq!(out.verdict, Verdict::ToKernel, "{pod}");
                let (source, to) = ends(&out.frame);
                assert_eq!((source.ip(), to), (ip(tap), socket(pod)));
                let part = gateway.ports.owner(source.port());
                assert_eq!(part, Some(SourcePortOwner::L4(WorkerId(out.worker))));
                let answer = kernel_sends(&mut gateway, out.worker, &pod_sends(to, source, back));
                assert_eq!(answer.verdict, Verdict::Forward(CLIENTS));
                assert_eq!(ends(&answer.frame), (socket(frontend), socket(client)));
                let counters = gateway.workers[usize::from(out.worker)].counters();
                assert_eq!(counters.get(PacketCount::FromKernel), 1);
                assert_eq!(counters.to_kernel(Kernel::OtherDevice), 1);
            }
        }
    }
}

#[test]
fn what_a_device_over_a_port_brings_comes_in_by_the_port() {
    let mut gateway = gateway(1, PODS_OF_THE_KERNEL[0]);
    let mut snapshot = snapshot_with_tap();
    snapshot.over_ports = vec![4];
    gateway.fib = Fib::build(&snapshot, 3);
    let (source, pod) = ends(&gateway.client_sends(CLIENT, VIP, UDP).frame);
    assert_eq!(source.ip(), ip("203.0.113.1"));
    let answer = craft::frame([PEER_MAC, GATEWAY_MACS[1]], pod, source, UDP);
    assert_eq!(
        gateway.receive(0, PODS, &answer).verdict,
        Verdict::Forward(CLIENTS)
    );
}

/// To the kernel they would go round for ever.
#[test]
fn answers_to_nothing_do_not_go_back_to_the_kernel() {
    for (pod, tap) in [("203.0.113.10:8080", TAP), ("[2001:db8:113::10]:8080", TAP6)] {
        let mut gateway = gateway(1, PODS_OF_THE_KERNEL[0]);
        let to = SocketAddr::new(ip(tap), *gateway.ports.range().start());
        let mut send = |transport| kernel_sends(&mut gateway, 0, &pod_sends(socket(pod), to, transport));
        let reset = send(tcp(ACK));
        assert_eq!(reset.verdict, Verdict::Reply);
        assert_eq!(ends(&reset.frame), (to, socket(pod)));
        assert_eq!(send(UDP).verdict, Verdict::Reply);
        assert_eq!(send(tcp(tcp_flag::RST)).verdict, Verdict::Drop(Reason::NoFlow));
        let counters = gateway.counters();
        assert_eq!(counters.answered(Answer::Reset), 1);
        assert_eq!(counters.answered(Answer::PortUnreachable), 1);
        let sent = craft::frame([PEER_MAC; 2], to, socket(pod), UDP);
        let router = ip(if to.is_ipv4() { "10.9.9.9" } else { "2001:db8:9::9" });
        let unreachable = if to.is_ipv4() {
            (3, 3, [0; 4])
        } else {
            (1, 4, [0; 4])
        };
        let error = error_about(&sent, router, unreachable, 1000, 1);
        let verdict = kernel_sends(&mut gateway, 0, &error).verdict;
        assert_eq!(verdict, Verdict::Drop(Reason::NoFlow));
    }
}

/// The kernel, which forwards to the pod, says what its device takes.
#[test]
fn errors_of_the_kernels_reach_the_client() {
    for (client, frontend, message) in [
        (CLIENT, VIP, (3, 4, [0, 0, 5, 20])),
        (CLIENT6, VIP6, (2, 0, [0, 0, 5, 20])),
    ] {
        let mut gateway = gateway(1, PODS_OF_THE_KERNEL[0]);
        let sent = gateway.client_sends(client, frontend, UDP).frame;
        let router = if message.0 == 3 {
            "10.9.9.9"
        } else {
            "2001:db8:9::9"
        };
        let error = error_about(&sent, ip(router), message, 1000, 1);
        let told = kernel_sends(&mut gateway, 0, &error);
        assert_eq!(told.verdict, Verdict::Forward(CLIENTS));
        assert_eq!(ends(&told.frame).1.ip(), socket(client).ip());
    }
}

#[test]
fn nobody_else_has_the_address() {
    let mut gateway = gateway(1, PODS_OF_THE_KERNEL[0]);
    let forged = format!("{TAP}:1");
    assert_eq!(
        gateway.client_sends(&forged, VIP, UDP).verdict,
        Verdict::Drop(Reason::BadSource)
    );
}

/// Policies are asked as for any other pod, again after a change.
#[test]
fn policies_hold_and_cut() {
    let mut gateway = gateway(1, PODS_OF_THE_KERNEL[0]);
    let (source, pod) = ends(&gateway.client_sends(CLIENT, VIP, UDP).frame);
    let answer = pod_sends(pod, source, UDP);
    assert_eq!(
        kernel_sends(&mut gateway, 0, &answer).verdict,
        Verdict::Forward(CLIENTS)
    );
    let mut objects = objects();
    objects.push(service(VIP, Protocol::Udp, &PODS_OF_THE_KERNEL[0][..1]));
    objects.extend(policy("others", "203.0.113.10", "192.0.2.99/32"));
    gateway.publish(objects);
    let verdict = gateway.client_sends("192.0.2.10:2", VIP, UDP).verdict;
    assert_eq!(verdict, Verdict::Drop(Reason::Denied));
    // The flow is cut, and its pod's packet one of no flow.
    assert_eq!(kernel_sends(&mut gateway, 0, &answer).verdict, Verdict::Reply);
    assert_eq!((gateway.flows(), gateway.source_ports_in_use()), (0, 0));
}
