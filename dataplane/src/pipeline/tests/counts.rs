//! What is counted of each Service.

use headgate_net::record::{ServiceCount, Snapshot};

use super::*;

/// What the first worker has counted of the Service at a frontend.
fn counted(gateway: &Gateway, frontend: &str, protocol: u8) -> Snapshot<ServiceCount> {
    let frontend = socket(frontend);
    let services = &gateway.tables.services;
    let service = services
        .lookup(frontend.ip(), protocol, frontend.port())
        .expect("a Service");
    let record = gateway.counters().record();
    record
        .services
        .read(service.number())
        .map(|record| record.snapshot())
        .unwrap_or_default()
}

fn packets(counts: &Snapshot<ServiceCount>) -> [u64; 5] {
    use ServiceCount::{BytesIn, BytesOut, Flows, PacketsIn, PacketsOut};
    [Flows, PacketsIn, BytesIn, PacketsOut, BytesOut].map(|id| counts[id])
}

/// A frame of TCP without data is 40 bytes of IPv4, a query 33.
#[test]
fn each_direction_of_a_service_is_counted() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    let opened = gateway.client_sends(CLIENT, VIP, tcp(SYN));
    let (source, pod) = ends(&opened.frame);
    let answer = craft::frame([PEER_MAC, GATEWAY_MACS[1]], pod, source, tcp(SYN | ACK));
    assert_eq!(
        gateway.receive(0, PODS, &answer).verdict,
        Verdict::Forward(CLIENTS)
    );
    gateway.client_sends(CLIENT, VIP, tcp(ACK));
    gateway.client_sends(CLIENT, VIP, UDP);
    gateway.client_sends(CLIENT6, VIP6, UDP);
    assert_eq!(packets(&counted(&gateway, VIP, wire::TCP)), [1, 2, 80, 1, 40]);
    assert_eq!(packets(&counted(&gateway, VIP, wire::UDP)), [1, 1, 33, 0, 0]);
    assert_eq!(packets(&counted(&gateway, VIP6, wire::UDP)), [1, 1, 53, 0, 0]);
    assert_eq!(packets(&counted(&gateway, VIP6, wire::TCP)), [0; 5]);
}

#[test]
fn who_gets_nowhere_is_counted_of_the_service() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    gateway.client_sends(CLIENT, EMPTY, tcp(SYN));
    gateway.client_sends(CLIENT, EMPTY, tcp(SYN));
    let counts = counted(&gateway, EMPTY, wire::TCP);
    assert_eq!(counts[ServiceCount::WithoutBackend], 2);
    let mut objects = objects();
    for pod in ["10.244.1.10", "10.244.1.11", "10.244.1.12"] {
        objects.extend(policy(&format!("shop/{pod}"), pod, "203.0.113.0/24"));
    }
    gateway.publish(objects);
    gateway.client_sends(CLIENT, VIP, UDP);
    let counts = counted(&gateway, VIP, wire::UDP);
    assert_eq!(
        (counts[ServiceCount::Denied], counts[ServiceCount::Flows]),
        (1, 0)
    );
}

/// Changes go on under a flow: its Service keeps its counts, one that comes gets the place of one that went and begins at 0.
#[test]
fn counts_go_on_through_changes_and_are_nobody_elses() {
    let mut gateway = Gateway::new(1, Ownership::Hash);
    gateway.client_sends(CLIENT, VIP, tcp(SYN));
    gateway.client_sends(CLIENT, VIP, UDP);
    let is_udp = |object: &Object| matches!(object, Object::Service(s) if s.name == format!("default/{VIP}") && s.frontend.protocol == Protocol::Udp);
    let mut without: Vec<_> = objects();
    without.retain(|object| !is_udp(object));
    gateway.publish(without.clone());
    gateway.client_sends(CLIENT, VIP, tcp(SYN));
    assert_eq!(packets(&counted(&gateway, VIP, wire::TCP))[..3], [1, 2, 80]);

    // Another at the frontend of the one that is gone, whose flow is still in the table.
    let Object::Service(mut other) = service(
        VIP,
        Protocol::Udp,
        &["10.244.1.10:8080", "10.244.1.11:8080", "10.244.1.12:8080"],
    ) else {
        unreachable!();
    };
    other.name = "default/other".to_owned();
    without.push(Object::Service(other));
    gateway.publish(without);
    assert_eq!(packets(&counted(&gateway, VIP, wire::UDP)), [0; 5]);
    assert_eq!(gateway.flows(), 2);
    // It goes on as a flow of the Service that is there now.
    gateway.client_sends(CLIENT, VIP, UDP);
    assert_eq!(packets(&counted(&gateway, VIP, wire::UDP))[..3], [0, 1, 33]);
    gateway.client_sends(CLIENT, VIP, tcp(SYN));
    assert_eq!(packets(&counted(&gateway, VIP, wire::TCP))[..3], [1, 3, 120]);
}
