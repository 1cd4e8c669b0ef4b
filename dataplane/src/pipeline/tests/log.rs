//! What the flow log is told.

use super::*;
use crate::telemetry::flow_log::{Event, FlowLog, Record, Recorded, Settings};
use headgate_net::record::PacketCount;

/// A gateway of one worker that records like this.
fn gateway(settings: Settings) -> Gateway {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    gateway.flow_log = Arc::new(FlowLog::new(settings, 1));
    let config = PipelineConfig {
        worker: WorkerId(0),
        workers: 1,
        ownership: Ownership::Hash,
        termination: Termination::Inline,
        source_ports: gateway.ports,
        flow_capacity: 4_096,
        timeouts: Timeouts::default(),
        established: EstablishedFlows::Cut,
        flow_log: Arc::clone(&gateway.flow_log),
        seed: [7, 9],
    };
    gateway.workers = vec![Pipeline::new(&config)];
    gateway
}

fn all() -> Settings {
    Settings {
        recorded: Recorded::All,
        ..Settings::default()
    }
}

fn doors_shut() -> Vec<Object> {
    let mut objects = objects();
    for pod in ["10.244.1.10", "10.244.1.11", "10.244.1.12"] {
        objects.extend(policy(&format!("shop/{pod}"), pod, "203.0.113.0/24"));
    }
    objects
}

#[test]
fn a_flow_is_told_once_and_its_end_too() {
    for (client, vip, transport, protocol) in [
        (CLIENT, VIP, tcp(SYN), 6),
        (CLIENT, VIP, UDP, 17),
        (CLIENT6, VIP6, UDP, 17),
    ] {
        let mut gateway = gateway(all());
        let out = gateway.client_sends(client, vip, transport);
        let (source, pod) = ends(&out.frame);
        let record = Record {
            at: gateway.now,
            publication: gateway.tables.publication,
            client: socket(client),
            frontend: socket(vip),
            pod,
            protocol,
            event: Event::FlowAllowed,
        };
        assert_eq!(gateway.flow_log.take(), [record]);
        gateway.client_sends(client, vip, transport);
        let answer = craft::frame([PEER_MAC, GATEWAY_MACS[1]], pod, source, transport);
        gateway.receive(0, PODS, &answer);
        assert_eq!(gateway.flow_log.take(), []);

        let mut shut = doors_shut();
        shut.extend(policy("shop/six", &pod.ip().to_string(), "2001:db8:77::/48"));
        gateway.publish(shut);
        gateway.pass(1);
        gateway.client_sends(client, vip, transport);
        let now = |event| Record {
            at: gateway.now,
            publication: gateway.tables.publication,
            event,
            ..record
        };
        // The flow, and then its packet, which opens none.
        assert_eq!(
            gateway.flow_log.take(),
            [now(Event::FlowCut), now(Event::FlowDenied)]
        );
    }
}

#[test]
fn an_error_of_a_router_that_finds_a_flow_denied_tells_of_the_flow() {
    let mut gateway = gateway(all());
    let out = gateway.client_sends(CLIENT, VIP, UDP);
    let h = headers(&out.frame);
    let mut error = out.frame;
    error.resize(1024, 0);
    let length = wire::error::answer(&mut error, &h, wire::error::Error::PortUnreachable).unwrap();
    error.truncate(length);
    let _ = gateway.flow_log.take();
    gateway.publish(doors_shut());
    assert_eq!(gateway.receive(0, PODS, &error).verdict, Verdict::ToKernel);
    let told = gateway.flow_log.take();
    assert_eq!(
        (told.len(), told[0].event, told[0].protocol),
        (1, Event::FlowCut, 17)
    );
}

#[test]
fn what_has_no_service_any_more_is_no_decision() {
    let mut gateway = gateway(all());
    gateway.client_sends(CLIENT, VIP, UDP);
    let _ = gateway.flow_log.take();
    gateway.publish(vec![service(
        "198.51.100.10:81",
        Protocol::Udp,
        &["10.244.1.10:8080"],
    )]);
    gateway.client_sends(CLIENT, VIP, UDP);
    assert_eq!(
        (
            gateway.counters().get(PacketCount::FlowsCut),
            gateway.flow_log.take()
        ),
        (1, vec![])
    );
}

#[test]
fn only_what_is_asked_for_is_recorded() {
    for (recorded, expected) in [
        (Recorded::None, [0, 0]),
        (Recorded::Denied, [0, 1]),
        (Recorded::All, [1, 1]),
    ] {
        let settings = Settings {
            recorded,
            ..Settings::default()
        };
        let mut gateway = gateway(settings);
        gateway.client_sends(CLIENT, VIP, UDP);
        let allowed = gateway.flow_log.take().len();
        gateway.publish(doors_shut());
        gateway.client_sends("192.0.2.10:2", VIP, UDP);
        assert_eq!([allowed, gateway.flow_log.take().len()], expected, "{recorded:?}");
    }
}

#[test]
fn a_flood_of_denials_leaves_room_for_what_is_allowed() {
    let mut gateway = gateway(Settings { rate: 50, ..all() });
    let mut objects = doors_shut();
    objects.push(service(EMPTY, Protocol::Udp, &["10.244.1.20:8080"]));
    gateway.publish(objects);
    for port in 1..=500 {
        gateway.client_sends(&format!("192.0.2.10:{port}"), VIP, tcp(SYN));
    }
    gateway.client_sends(CLIENT, EMPTY, UDP);
    let count = |told: &[Record], event| told.iter().filter(|r| r.event == event).count();
    let told = gateway.flow_log.take();
    assert_eq!(
        (count(&told, Event::FlowDenied), count(&told, Event::FlowAllowed)),
        (50, 1)
    );
    gateway.pass(10);
    for port in 1..=500 {
        gateway.client_sends(&format!("192.0.2.10:{port}"), VIP, tcp(SYN));
    }
    assert_eq!(
        gateway.flow_log.take().len(),
        50,
        "a second's worth, however long it was quiet"
    );
}
