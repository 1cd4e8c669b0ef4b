//! NetworkPolicies, by the client's own address.

use std::time::Duration;

use headgate_lab::{Shop, address, client::nc_tcp};

use crate::support::Bed;

/// nc from `client`; how it ended.
fn nc_from(bed: &Bed, client: std::net::IpAddr, to: std::net::IpAddr, flags: &str) -> (bool, String) {
    let script = format!("printf x | nc -n {flags} -s {client} {to} 7");
    let finished = bed
        .lab
        .clients
        .run("sh", &["-c", &script], Duration::from_secs(10))
        .unwrap();
    (finished.success(), finished.stdout)
}

#[test]
fn a_denied_client_times_out_and_its_drop_is_counted_under_its_policy() {
    let Some(bed) = Bed::make() else { return };
    let (denied, allowed) = (address::client(3), address::client(2));
    for (denied, allowed, to) in [
        (denied.0, allowed.0, Shop::ECHO.0),
        (denied.1, allowed.1, Shop::ECHO.1),
    ] {
        let before = bed.gateway.denied_by("shop/echo-clients").unwrap();
        let (connected, said) = nc_from(&bed, denied, to, "-w 2");
        assert!(!connected && said.is_empty(), "{denied} was to be denied: {said}");
        let after = bed.gateway.denied_by("shop/echo-clients").unwrap();
        assert!(after > before, "{before} then {after}");
        let (connected, said) = nc_from(&bed, allowed, to, "-N -w 3");
        assert!(
            connected && said.starts_with("echo-"),
            "{allowed} was to be allowed: {said}"
        );
        assert_eq!(bed.gateway.denied_by("shop/echo-clients").unwrap(), after);
    }
    assert!(bed.gateway.count("/totals/drops/denied").unwrap() >= 2);
}

#[test]
fn datagrams_of_a_denied_client_are_dropped() {
    let Some(bed) = Bed::make() else { return };
    let (_, said) = nc_from(&bed, address::client(3).0, Shop::ECHO.0, "-u -w 1");
    assert_eq!(said, "");
    assert_eq!(bed.gateway.denied_by("shop/echo-clients").unwrap(), 1);
}

#[test]
fn a_request_to_a_pod_that_is_closed_to_the_client_is_answered_403() {
    for bed in Bed::on_each() {
        let status = |client, ingress, path: &str| {
            let url = format!("http://shop.example.com{path}");
            bed.curl_to(ingress).from(client).get(&url).unwrap().status
        };
        let (first, second, third) = (address::client(0), address::client(1), address::client(2));
        let (v4, v6) = Shop::INGRESS;
        for (first, second, third, to) in [(first.0, second.0, third.0, v4), (first.1, second.1, third.1, v6)]
        {
            assert_eq!(status(first, to, "/api"), 200);
            assert_eq!(status(second, to, "/api"), 200);
            assert_eq!(status(third, to, "/api"), 403);
            assert_eq!(status(third, to, "/"), 200, "its other paths are open");
        }
    }
}

#[test]
fn a_new_policy_ends_connections_that_it_forbids() {
    let Some(bed) = Bed::make() else { return };
    let (from, to) = (address::client(0).0, Shop::ECHO.0);
    assert!(nc_tcp(&bed.lab.clients, to, 7, "x").unwrap().starts_with("echo-"));
    let generation = bed.gateway.generation();
    let closed = bed
        .shop
        .read("policies.yaml")
        .unwrap()
        .replace("192.0.2.13/32", "192.0.2.0/25");
    bed.shop.write("policies.yaml", &closed).unwrap();
    headgate_lab::wait_until("the policy is in force", Duration::from_secs(5), || {
        bed.gateway.generation() > generation
    })
    .unwrap();
    assert!(!nc_from(&bed, from, to, "-w 2").0);
}
