use std::time::{Duration, Instant};

use bytes::Bytes;
use headgate_apiserver::{Fault, Settings};
use hyper::Method;

use crate::client::{Client, MAPS, PATIENCE, config_map, server};

#[test]
fn errors_come_for_a_count_and_for_what_they_are_meant() {
    let server = server();
    let client = Client::new(&server);
    server.faults().add(
        Fault::status(503)
            .verbs(["list"])
            .resources(["configmaps"])
            .times(2),
    );
    client.get(MAPS).failed(503, "ServiceUnavailable");
    client.get("/api/v1/namespaces").ok();
    client.get(MAPS).failed(503, "ServiceUnavailable");
    client.get(MAPS).ok();
    server
        .faults()
        .add(Fault::throttle(7).path("/api/v1/namespaces/default/configmaps"));
    let answer = client.get(MAPS);
    assert_eq!(answer.headers["retry-after"], "7");
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (429, "Too many requests, please try again later.\n"),
        "no Status"
    );
    server.faults().clear();
    client.get(MAPS).ok();
    server.faults().add(Fault::status(500).lasting(Duration::ZERO));
    client.get(MAPS).ok();
}

#[test]
fn a_hanging_request_is_answered_when_the_fault_ends() {
    let server = server();
    let client = Client::new(&server);
    server.faults().add(Fault::hang().times(1));
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| client.get(MAPS).status);
        assert!(server.journal().wait(1, PATIENCE, |entry| entry.status == 0));
        server.faults().clear();
        assert_eq!(asked.join().expect("an answer"), 200);
    });
}

#[test]
fn answers_are_late_slow_or_broken_off() {
    let server = server();
    let client = Client::new(&server);
    server.store().apply(&config_map("a", "x")).expect("stored");
    let whole = client.get(MAPS).text;
    server
        .faults()
        .add(Fault::delay(Duration::from_millis(300)).times(1));
    let before = Instant::now();
    client.get(MAPS).ok();
    assert!(before.elapsed() >= Duration::from_millis(300));
    server
        .faults()
        .add(Fault::trickle(whole.len() as u64 * 2).times(1));
    let before = Instant::now();
    assert_eq!(client.get(MAPS).text, whole);
    assert!(before.elapsed() >= Duration::from_millis(400));
    server.faults().add(Fault::cut(10).times(1));
    client
        .try_send(Method::GET, MAPS, "", Bytes::new())
        .expect_err("a body that is broken off");
    client.get(MAPS).ok();
}

#[test]
fn silent_watches_tell_later_what_they_held_back() {
    let server = server();
    let client = Client::new(&server);
    let mut watch = client.watch(&format!("{MAPS}?watch=1"));
    server.faults().silence_watches(true);
    server.store().apply(&config_map("a", "x")).expect("stored");
    watch
        .within(Duration::from_millis(300))
        .expect_err("nothing is told");
    server.faults().silence_watches(false);
    assert_eq!(watch.told(), "ADDED a");
}

#[test]
fn a_server_that_restarts_has_its_port_and_its_objects_still() {
    for http2 in [false, true] {
        let server = server();
        let client = Client::with(&server, http2);
        server.store().apply(&config_map("a", "x")).expect("stored");
        let mut watch = client.watch(&format!("{MAPS}?watch=1"));
        assert_eq!(watch.told(), "ADDED a");
        server.stop();
        assert_eq!(watch.next(), None);
        client
            .try_send(Method::GET, MAPS, "", Bytes::new())
            .expect_err("nobody listens");
        server.accept_connections().expect("the port is free");
        client.get(&format!("{MAPS}/a")).ok();
        server.restart().expect("the port is free");
        client.get(&format!("{MAPS}/a")).ok();
    }
}

#[test]
fn a_server_that_ends_in_order_answers_first() {
    for http2 in [false, true] {
        let server = server();
        let client = Client::with(&server, http2);
        let mut watch = client.watch(&format!("{MAPS}?watch=1"));
        server.faults().add(Fault::hang().times(1));
        std::thread::scope(|scope| {
            let other = Client::with(&server, http2);
            let asked = scope.spawn(move || other.get(MAPS).status);
            assert!(server.journal().wait(1, PATIENCE, |entry| entry.status == 0));
            let ending = scope.spawn(|| server.shut_down());
            assert_eq!(watch.next(), None);
            assert!(!ending.is_finished());
            server.faults().clear();
            assert_eq!(asked.join().expect("an answer"), 200);
        });
        client
            .try_send(Method::GET, MAPS, "", Bytes::new())
            .expect_err("nobody listens");
        server.accept_connections().expect("the port is free");
        client.get(MAPS).ok();
    }
}

#[test]
fn another_authority_is_not_trusted_by_who_knows_the_old_one() {
    let mut server = server();
    let client = Client::new(&server);
    client.get(MAPS).ok();
    server.rotate_authority().expect("a certificate");
    client
        .try_send(Method::GET, MAPS, "", Bytes::new())
        .expect_err("the old authority is trusted no more");
    Client::new(&server).get(MAPS).ok();
}

#[test]
fn a_frozen_server_takes_connections_and_answers_nothing() {
    let server = server();
    let client = Client::new(&server);
    let frozen = server.freeze().expect("it runs");
    std::net::TcpStream::connect(server.address()).expect("the kernel takes it");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| client.get(MAPS).status);
        std::thread::sleep(Duration::from_millis(200));
        assert!(!asked.is_finished());
        server
            .store()
            .apply(&config_map("a", "x"))
            .expect("stored meanwhile");
        drop(frozen);
        assert_eq!(asked.join().expect("an answer"), 200);
    });
}

#[test]
fn the_journal_tells_who_asked_for_what() {
    let server = headgate_apiserver::ApiServer::start(Settings {
        address: "::1".parse().expect("an address"),
        ..Settings::default()
    });
    let server = server.expect("a server");
    let client = Client::new(&server);
    client.get(&format!("{MAPS}?limit=5"));
    assert!(
        server
            .journal()
            .wait(1, PATIENCE, |entry| entry.resource == "configmaps")
    );
    let entry = server.journal().entries().pop().expect("an entry");
    let seen = (
        entry.method.as_str(),
        entry.path.as_str(),
        entry.query.as_str(),
        entry.verb.as_str(),
        entry.user.as_str(),
        entry.status,
    );
    assert_eq!(seen, ("GET", MAPS, "limit=5", "list", "kubernetes-admin", 200));
    assert_eq!(entry.user_agent, "client-test/1.0");
    assert!(
        !server
            .journal()
            .wait(2, Duration::ZERO, |entry| entry.resource == "configmaps")
    );
}
