//! Many connections, and nothing left of them.

use std::{net::IpAddr, time::Duration};

use headgate_lab::{
    Shop, address,
    client::{nc_tcp, nc_udp},
};

use crate::support::Bed;

/// wrk's report on 200 connections for 10 seconds.
pub(crate) fn wrk(bed: &Bed, address: IpAddr) -> String {
    let url = format!("http://{address}/");
    let arguments = [
        "--connections",
        "200",
        "--threads",
        "2",
        "--duration",
        "10s",
        "-H",
        "Host: shop.example.com",
        &url,
    ];
    let finished = bed
        .lab
        .clients
        .run("wrk", &arguments, Duration::from_secs(30))
        .unwrap();
    assert!(finished.success(), "{finished:?}");
    finished.stdout
}

pub(crate) fn assert_no_errors(report: &str) {
    assert!(
        !report.contains("Socket errors") && !report.contains("Non-2xx"),
        "{report}"
    );
    let requests = report
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<u64>().ok());
    assert!(requests.is_some_and(|requests| requests > 1000), "{report}");
}

#[test]
fn two_hundred_connections_to_an_ingress_without_an_error_and_nothing_leaks() {
    for bed in Bed::on_each() {
        assert_no_errors(&wrk(&bed, Shop::INGRESS.0));
        bed.wait_until_quiet();
    }
}

#[test]
fn two_hundred_connections_to_a_service_without_an_error_and_nothing_leaks() {
    let address = address::vip(6).0;
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{namespace: shop, name: web-l4}}\n\
         spec:\n  selector: {{app: web}}\n  externalIPs: [{address}]\n  \
         ports: [{{port: 80, targetPort: 8080}}]\n"
    );
    let quick = ["--udp-timeout", "1s"];
    let made = Bed::make_with(
        |shop| shop.write("web-l4.yaml", &service).expect("a manifest"),
        &quick,
    );
    let Some(bed) = made else { return };
    assert_no_errors(&wrk(&bed, address));
    for echo in [Shop::ECHO.0, Shop::ECHO.1] {
        nc_tcp(&bed.lab.clients, echo, 7, "x").unwrap();
        nc_udp(&bed.lab.clients, echo, 7, "x").unwrap();
    }
    assert!(bed.gateway.count("/totals/flows_created").unwrap() >= 204);
    bed.wait_until_quiet();
}
