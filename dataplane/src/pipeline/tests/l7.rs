//! L7 stages with cores of their own: a connection has one, whoever gets its packets.

use proptest::prelude::*;

use super::icmp::error_about;
use super::*;
use headgate_net::record::PacketCount;
use headgate_net::wire::tcp_flag::{FIN, RST};

/// Port unreachable, without a second word.
const UNREACHABLE: [(u8, u8, [u8; 4]); 2] = [(3, 3, [0; 4]), (1, 4, [0; 4])];

fn apart(workers: u8, ownership: Ownership, stages: u8) -> Gateway {
    Gateway::build(
        workers,
        ownership,
        Termination::Apart(stages),
        EstablishedFlows::default(),
    )
}

/// What becomes of a frame, which is the same whichever worker gets it; nobody hands it to another.
fn anywhere(gateway: &mut Gateway, port: PortId, frame: &[u8]) -> Verdict {
    let mut verdicts = Vec::new();
    for worker in 0..u8::try_from(gateway.workers.len()).unwrap() {
        let out = gateway.receive(worker, port, frame);
        assert_eq!(out.worker, worker, "handed over");
        verdicts.push(out.verdict);
    }
    assert!(verdicts.iter().all(|v| *v == verdicts[0]), "{verdicts:?}");
    verdicts[0]
}

fn stage_of(verdict: Verdict) -> StageId {
    match verdict {
        Verdict::ToL7 { stage, .. } => stage,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a client sends, and errors about what it is sent, go to one stage.
    #[test]
    fn a_client_has_one_stage(
        host in 10..=40_u8,
        port in 1024_u16..,
        v6: bool,
        queue: bool,
        workers in 1..=4_u8,
        stages in 1..=8_u8,
    ) {
        let ownership = if queue { Ownership::Queue } else { Ownership::Hash };
        let mut gateway = apart(workers, ownership, stages);
        let (client, listener, router) = if v6 {
            (format!("[2001:db8:c::{host}]:{port}"), LISTENER6, ip("2001:db8:77::1"))
        } else {
            (format!("192.0.2.{host}:{port}"), LISTENER, ip("203.0.113.77"))
        };
        let link = [PEER_MAC, GATEWAY_MACS[0]];
        let mut found = Vec::new();
        for flags in [SYN, ACK, FIN | ACK, RST] {
            let frame = craft::frame(link, socket(&client), socket(listener), tcp(flags));
            found.push(stage_of(anywhere(&mut gateway, CLIENTS, &frame)));
        }
        let answer = craft::frame(link, socket(listener), socket(&client), tcp(ACK));
        let error = error_about(&answer, router, UNREACHABLE[usize::from(v6)], 28 + 20 * usize::from(v6), 0);
        found.push(stage_of(anywhere(&mut gateway, CLIENTS, &error)));
        prop_assert!(found.iter().all(|stage| *stage == found[0] && stage.0 < stages), "{:?}", found);
    }
}

/// What pods answer goes to the stage whose source port it is for, and so do errors about what pods are sent.
#[test]
fn a_source_port_names_its_stage() {
    let mut gateway = apart(2, Ownership::Hash, 3);
    let pod = socket("10.244.1.10:8080");
    for stage in 0..3 {
        for port in gateway.ports.slice(SourcePortOwner::L7(StageId(stage))) {
            let source = SocketAddr::new(ip("10.244.1.1"), port);
            let answer = craft::frame([PEER_MAC, GATEWAY_MACS[1]], pod, source, tcp(SYN | ACK));
            assert_eq!(anywhere(&mut gateway, PODS, &answer), to_l7(stage, &answer));
            let request = craft::frame([GATEWAY_MACS[1], PEER_MAC], source, pod, tcp(ACK));
            let error = error_about(&request, ip("203.0.113.77"), UNREACHABLE[0], 28, 1);
            assert_eq!(anywhere(&mut gateway, PODS, &error), to_l7(stage, &error));
        }
    }
    // UDP to such a port is of no flow.
    let source = SocketAddr::new(ip("10.244.1.1"), *gateway.ports.range().end());
    let datagram = craft::frame([PEER_MAC, GATEWAY_MACS[1]], pod, source, UDP);
    assert_eq!(anywhere(&mut gateway, PODS, &datagram), Verdict::ToKernel);
}

/// At an address that only Headgate has, every port from 1024 on is a stage's; nobody else is there.
#[test]
fn an_address_to_send_from_is_the_stages() {
    let mut gateway = apart(2, Ownership::Hash, 3);
    for (own, pod) in OWN.iter().zip(["10.244.1.10:8080", "[fd00:10:244:1::10]:8080"]) {
        for (port, stage) in [(1_024, 0), (22_600, 1), (65_500, 2)] {
            let source = SocketAddr::new(*own, port);
            let answer = craft::frame([PEER_MAC, GATEWAY_MACS[1]], socket(pod), source, tcp(SYN | ACK));
            assert_eq!(anywhere(&mut gateway, PODS, &answer), to_l7(stage, &answer));
        }
        let request = craft::frame(
            [GATEWAY_MACS[1], PEER_MAC],
            SocketAddr::new(*own, 1_024),
            socket(pod),
            tcp(ACK),
        );
        let v6 = own.is_ipv6();
        let router = ip(if v6 { "2001:db8:77::1" } else { "203.0.113.77" });
        let error = error_about(
            &request,
            router,
            UNREACHABLE[usize::from(v6)],
            28 + 20 * usize::from(v6),
            1,
        );
        assert_eq!(anywhere(&mut gateway, PODS, &error), to_l7(0, &error));
        for (port, transport) in [(1_023, tcp(SYN)), (5_000, UDP)] {
            let stray = craft::frame(
                [PEER_MAC, GATEWAY_MACS[1]],
                socket(pod),
                SocketAddr::new(*own, port),
                transport,
            );
            assert_eq!(
                anywhere(&mut gateway, PODS, &stray),
                Verdict::Reply,
                "{own} {port}"
            );
        }
        // Who claims to be there is nobody.
        let forged = craft::frame(
            [PEER_MAC, GATEWAY_MACS[0]],
            SocketAddr::new(*own, 5),
            socket(if v6 { LISTENER6 } else { LISTENER }),
            tcp(SYN),
        );
        assert_eq!(
            anywhere(&mut gateway, CLIENTS, &forged),
            Verdict::Drop(Reason::BadSource)
        );
    }
}

/// Many clients are spread over all stages.
#[test]
fn stages_share_the_clients() {
    let mut gateway = apart(1, Ownership::Hash, 4);
    let mut counts = [0; 4];
    for port in 1024..2024 {
        let client = format!("192.0.2.10:{port}");
        let out = gateway.client_sends(&client, LISTENER, tcp(SYN));
        counts[usize::from(stage_of(out.verdict).0)] += 1;
    }
    // 250 on average, with a deviation of 14.
    assert!(
        counts.iter().all(|count| (180..=320).contains(count)),
        "{counts:?}"
    );
    assert_eq!(gateway.counters().get(PacketCount::ToL7), 1000);
}

/// Services stay on the workers that own their flows.
#[test]
fn services_do_not_notice() {
    let mut gateway = apart(2, Ownership::Hash, 1);
    let mut owners = std::collections::BTreeSet::new();
    for port in 1024..1054 {
        let client = format!("192.0.2.10:{port}");
        let frame = craft::frame(
            [PEER_MAC, GATEWAY_MACS[0]],
            socket(&client),
            socket(VIP),
            tcp(SYN),
        );
        let out = gateway.receive(0, CLIENTS, &frame);
        assert_eq!(out.verdict, Verdict::Forward(PODS));
        owners.insert(out.worker);
        let (source, pod) = ends(&out.frame);
        assert_eq!(
            gateway.ports.owner(source.port()),
            Some(SourcePortOwner::L4(WorkerId(out.worker)))
        );
        let answer = craft::frame([PEER_MAC, GATEWAY_MACS[1]], pod, source, tcp(SYN | ACK));
        for worker in [0, 1] {
            let back = gateway.receive(worker, PODS, &answer);
            assert_eq!(
                (back.verdict, back.worker),
                (Verdict::Forward(CLIENTS), out.worker)
            );
        }
    }
    assert_eq!(owners.len(), 2);
    // An address of Headgate's without the listener's port: nobody.
    let nobody = "198.51.100.12:444";
    let out = gateway.client_sends(CLIENT, nobody, tcp(SYN));
    assert_eq!(out.verdict, Verdict::Reply);
}
