//! What becomes of what is under way when a policy forbids it: `--established-flows`.

use std::{
    io::{Read, Write},
    thread,
};

use headgate_lab::{address, client::Curl, pod::Pattern, wait_until};

use super::SOON;
use super::flows::{Requests, connect, datagrams, exchange};
use super::manifests::{GUARD, manifests};
use crate::cluster::{Bed, INGRESS, host, service};

#[test]
fn kept_flows_outlive_the_policy_that_forbids_them_and_new_ones_are_denied() {
    let Some(mut bed) = Bed::make_with(&["--established-flows", "keep"]) else {
        return;
    };
    bed.apply_text(&manifests(0, true));
    let client = address::client(1).0;
    let mut stream = connect(&bed.lab.clients, client, service(3).0, 80);
    exchange(&stream, "x/c\n");
    let flow = datagrams(&bed.lab.clients, client, service(1).0, 80);
    flow.set_read_timeout(Some(SOON)).unwrap();
    let ask = || {
        flow.send(b"ping").unwrap();
        let mut answer = [0; 16];
        let length = flow.recv(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"x/a ping");
    };
    ask();
    let mut requests = Requests::open(&bed.lab.clients, client, (INGRESS.0, 80), host(3));
    assert_eq!(requests.status(), 200);

    let downloaded = deny_during_a_download(&mut bed);
    assert_eq!(downloaded.unwrap(), Pattern::new(LENGTH, 1).sha256());
    ask();
    stream.write_all(b"late").unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"late");
    assert_eq!(
        requests.status(),
        403,
        "the connection is kept, the request is new"
    );
    let new = datagrams(&bed.lab.clients, client, service(1).0, 80);
    new.set_nonblocking(true).unwrap();
    let before = bed.gateway.denied_by(GUARD).unwrap();
    new.send(b"ping").unwrap();
    let denied = || bed.gateway.denied_by(GUARD).unwrap() > before;
    wait_until("the new flow is denied", SOON, denied).unwrap();
    assert!(new.recv(&mut [0; 16]).is_err());
}

#[test]
fn a_response_under_way_is_cut_by_the_policy_that_forbids_it() {
    let Some(mut bed) = Bed::make() else { return };
    bed.apply_text(&manifests(0, true));
    let error = deny_during_a_download(&mut bed).unwrap_err().to_string();
    assert!(error.contains("reset"), "{error}");
}

const LENGTH: u64 = 6_000_000;

/// Client 1 downloads from x/c, and in the midst of it may not any more.
fn deny_during_a_download(bed: &mut Bed) -> anyhow::Result<String> {
    let clients = bed.lab.clients.clone();
    let url = format!("http://{}/bytes/{LENGTH}?seed=1", host(3));
    let download = thread::spawn(move || {
        let curl = Curl::new(&clients).to(INGRESS.0).from(address::client(1).0);
        curl.args(&["--limit-rate", "2M"]).sha256(&url)
    });
    let before = bed.gateway.count("/totals/from_l7").unwrap();
    wait_until("the download runs", SOON, || {
        bed.gateway.count("/totals/from_l7").unwrap() > before + 200
    })
    .unwrap();
    bed.apply_text(&manifests(0, false));
    download.join().unwrap()
}
