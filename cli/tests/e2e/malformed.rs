//! Frames that no stack would send, from the wire into a gateway at work.

use std::{net::IpAddr, time::Duration};

use headgate_lab::{
    Injector, Namespace, Shop, address,
    client::nc_tcp,
    malformed::{Route, corpus},
    wait_until,
};
use serde_json::Value;

use crate::support::Bed;

pub(crate) fn mac(namespace: &Namespace, interface: &str) -> [u8; 6] {
    let text = namespace.mac(interface).unwrap();
    let bytes: Vec<u8> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

fn route(bed: &Bed, to: (IpAddr, IpAddr), port: u16) -> Route {
    let (IpAddr::V4(from4), IpAddr::V6(from6)) = address::client(0) else {
        unreachable!("a pair of both families")
    };
    let (IpAddr::V4(to4), IpAddr::V6(to6)) = to else {
        unreachable!("a pair of both families")
    };
    Route {
        mac: (mac(&bed.lab.clients, "c0"), mac(&bed.lab.gateway, "g0")),
        v4: (from4, to4),
        v6: (from6, to6),
        port,
    }
}

/// What a packet can be dropped for after the pipeline has decided on it and counted it.
const LATER: [&str; 5] = [
    "unresolved",
    "resolve-full",
    "hand-over-full",
    "transmit-full",
    "kernel-full",
];

/// Sum of the values of an object of counters.
fn sum(status: &Value, pointer: &str) -> u64 {
    let counters = status
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let decided = counters.filter(|(name, _)| !LATER.contains(&name.as_str()));
    decided.filter_map(|(_, count)| count.as_u64()).sum()
}

/// Packets that ended in one way or another.
fn ended(status: &Value) -> u64 {
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let named = ["/totals/drops", "/totals/kernel", "/totals/answers"].map(|counters| sum(status, counters));
    let single = [
        "/totals/forwarded",
        "/totals/to_l7",
        "/totals/handed_over",
        "/totals/resolving",
    ]
    .map(number);
    named.iter().sum::<u64>() + single.iter().sum::<u64>()
}

#[test]
fn no_frame_stops_the_gateway_and_each_ends_with_a_reason() {
    let Some(bed) = Bed::make() else { return };
    let planes = bed.gateway.planes().unwrap();
    let mut injector = Injector::open(&bed.lab.clients, "c0").unwrap();
    for (to, port) in [
        (Shop::ECHO, 7),
        (Shop::INGRESS, 443),
        (Shop::INGRESS, 80),
        (Shop::ECHO_ON_LINK, 7),
    ] {
        let frames = corpus(&route(&bed, to, port));
        injector.send(frames.iter().map(Vec::as_slice)).unwrap();
        assert!(
            nc_tcp(&bed.lab.clients, Shop::ECHO.0, 7, "x")
                .unwrap()
                .starts_with("echo-")
        );
        assert_eq!(bed.curl().get("https://shop.example.com/").unwrap().status, 200);
    }
    assert_eq!(
        bed.gateway.planes().unwrap(),
        planes,
        "both planes are the same processes"
    );
    // A frame that is handed over is seen twice and ends twice, once as handed over.
    wait_until("every packet has ended", Duration::from_secs(5), || {
        let status = bed.gateway.status().unwrap();
        status.pointer("/totals/packets").and_then(Value::as_u64) == Some(ended(&status))
    })
    .unwrap_or_else(|error| panic!("{error}: {:#}", bed.gateway.status().unwrap()["totals"]));
    let status = bed.gateway.status().unwrap();
    for reason in ["truncated", "bad-header-length", "bad-length", "bad-checksum"] {
        let count = status
            .pointer("/totals/drops")
            .and_then(|d| d[reason].as_u64())
            .unwrap_or(0);
        assert!(
            count > 0,
            "nothing was dropped as {reason}: {:#}",
            status["totals"]
        );
    }
}
