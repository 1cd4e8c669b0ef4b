//! Endpoints, as mirroring has them.

use std::sync::Arc;

use crate::source::{Contents, store::Store};
use crate::testing::{compiled, compiled_store, lines, put, settings};

/// A Service at 198.51.100.1 without a selector, or with this one.
fn service(selector: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: db, namespace: shop}}\n\
         spec: {{{selector}externalIPs: [198.51.100.1], ports: [{{name: sql, port: 5432}}]}}\n"
    )
}

fn endpoints(metadata: &str, subsets: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Endpoints\nmetadata: {{name: db, namespace: shop{metadata}}}\nsubsets: [{subsets}]\n"
    )
}

const SUBSET: &str =
    "{addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: 10.0.0.2}], ports: [{name: sql, port: 15432}]}";

fn balanced(text: &str) -> String {
    compiled(text).balanced().join("\n")
}

const FRONTEND: &str = "Tcp 198.51.100.1:5432 shop/db ->";

#[test]
fn they_stand_behind_a_service_without_selector() {
    assert_eq!(
        balanced(&(service("") + &endpoints("", SUBSET))),
        format!("{FRONTEND} 10.0.0.1:15432")
    );
    assert_eq!(
        balanced(&(service("selector: {}, ") + &endpoints("", SUBSET))),
        format!("{FRONTEND} 10.0.0.1:15432"),
        "an empty selector is none"
    );
    assert_eq!(
        balanced(&(service("selector: {app: db}, ") + &endpoints("", SUBSET))),
        FRONTEND,
        "the selector speaks for it"
    );
}

#[test]
fn some_are_not_mirrored() {
    for metadata in [
        ", labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}",
        ", annotations: {control-plane.alpha.kubernetes.io/leader: '{}'}",
    ] {
        assert_eq!(
            balanced(&(service("") + &endpoints(metadata, SUBSET))),
            FRONTEND,
            "{metadata}"
        );
    }
    let other = ", labels: {endpointslice.kubernetes.io/skip-mirror: 'yes'}";
    assert_eq!(
        balanced(&(service("") + &endpoints(other, SUBSET))),
        format!("{FRONTEND} 10.0.0.1:15432")
    );
}

#[test]
fn subsets_and_slices_stand_together() {
    let more = "{addresses: [{ip: 10.0.0.3}, {ip: '2001:db8::3'}], ports: [{name: sql, port: 25432}]}, \
                {addresses: [{ip: 10.0.0.4}], ports: [{name: admin, port: 9}]}, {addresses: [{ip: 10.0.0.5}]}";
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {name: db-x, namespace: shop, labels: {kubernetes.io/service-name: db}}\n\
                 addressType: IPv4\nports: [{name: sql, port: 35432}]\nendpoints: [{addresses: [10.0.0.6]}]\n";
    let text = service("") + &endpoints("", &format!("{SUBSET}, {more}")) + slice;
    assert_eq!(
        balanced(&text),
        format!("{FRONTEND} 10.0.0.1:15432 10.0.0.3:25432 10.0.0.6:35432")
    );
}

#[test]
fn of_a_subset_a_thousand_addresses_are_mirrored_the_ready_ones_first() {
    let ips = |net: u8, count: usize| {
        let ip = |i| format!("{{ip: 10.{net}.{}.{}}}", i / 250, i % 250 + 1);
        (0..count).map(ip).collect::<Vec<_>>().join(", ")
    };
    let subset = format!(
        "{{notReadyAddresses: [{}], addresses: [{}], ports: [{{name: sql, port: 1}}]}}",
        ips(2, 50),
        ips(1, 980)
    );
    let mut store = Store::default();
    put(
        &mut store,
        &[("db.yaml", &(service("") + &endpoints("", &subset)))],
    );
    let backends = compiled_store(&store, &settings()).services()[0].backends.len();
    assert_eq!(backends, 980);
    assert_eq!(
        lines(&store),
        [
            "db.yaml:7: Endpoints shop/db: subsets[0]: of 1030 addresses the first 1000 are used, as in mirroring; EndpointSlices have room for more"
        ]
    );
}

#[test]
fn they_follow_changes() {
    let mut store = Store::default();
    let balanced = |store: &Store| compiled_store(store, &settings()).balanced().join("");
    put(
        &mut store,
        &[("s.yaml", &service("")), ("e.yaml", &endpoints("", SUBSET))],
    );
    assert_eq!(balanced(&store), format!("{FRONTEND} 10.0.0.1:15432"));
    put(
        &mut store,
        &[("e.yaml", &endpoints("", &SUBSET.replace("10.0.0.1", "10.0.0.9")))],
    );
    assert_eq!(balanced(&store), format!("{FRONTEND} 10.0.0.9:15432"));
    store.update([(Arc::from(std::path::Path::new("e.yaml")), Contents::Gone)]);
    assert_eq!(balanced(&store), FRONTEND);
}
