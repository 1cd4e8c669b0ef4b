//! What comes back: status, Events, and who writes them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use headgate_apiserver::{ApiServer, Fault, Rule};
use serde_json::{Value, json};

use super::bed::{Bed, free_address, ingress, namespace, server, service};
use crate::{Publish, StatusAddress, WritingOptions};
use headgate_controlplane::feedback::{Outcome, Outcomes, Standing};
use headgate_controlplane::model::{Id, Kind, ObjectName};
use headgate_controlplane::problem::Problem;
use headgate_controlplane::source::Source;

pub(super) fn options(identity: &str) -> WritingOptions {
    WritingOptions {
        publish: Some(Publish::Fixed(BTreeSet::from([StatusAddress::of("203.0.113.1")]))),
        clear_on_end: true,
        lease: ObjectName::new("default", "headgate-leader"),
        ttl: Duration::from_secs(2),
        identity: identity.to_owned(),
        pod: None,
    }
}

fn filled() -> ApiServer {
    let server = server();
    for object in [
        namespace("shop"),
        service("web"),
        ingress("web", "h.example.com", "web", None),
    ] {
        server.store().apply(&object).expect("an object");
    }
    server
}

/// What the dataplane would have answered.
fn tell(bed: &Bed, standing: &Standing, problems: &[&str]) {
    let id = Id::new(Kind::Ingress, ObjectName::new("shop", "web"));
    let outcome = Outcome {
        standing: standing.clone(),
        origin: bed.store.origin(&id),
        problems: problems
            .iter()
            .map(|text| Problem::error(id.clone(), *text))
            .collect(),
        balanced: false,
    };
    let feedback = bed.source.feedback().expect("somebody who writes");
    feedback.tell(1, 1, Outcomes::from([(id, outcome)]));
}

/// Waits until what the server has is so.
pub(super) fn until(what: &str, server: &ApiServer, holds: impl Fn(&ApiServer) -> bool) {
    let begun = Instant::now();
    while !holds(server) {
        assert!(begun.elapsed() < Duration::from_secs(30), "in vain: {what}");
        let so_far = server.journal().total() as usize;
        // Each thing that is waited for is a request.
        server
            .journal()
            .wait(so_far + 1, Duration::from_millis(500), |_| true);
    }
}

fn status(server: &ApiServer) -> Value {
    let ingress = server.store().get("Ingress", "shop", "web").expect("an Ingress");
    ingress["status"]["loadBalancer"]["ingress"].clone()
}

fn holder(server: &ApiServer) -> String {
    let lease = server.store().get("Lease", "default", "headgate-leader");
    let holder = lease
        .as_ref()
        .and_then(|lease| lease["spec"]["holderIdentity"].as_str());
    holder.unwrap_or_default().to_owned()
}

#[test]
fn the_status_says_where_clients_connect_and_is_taken_back_at_the_end() {
    let mut bed = Bed::writing(filled(), options("a"));
    bed.until_complete();
    tell(&bed, &Standing::InForce, &[]);
    until("an address", &bed.server, |server| {
        status(server) == json!([{"ip": "203.0.113.1"}])
    });
    // Somebody else's class now.
    tell(&bed, &Standing::Foreign, &[]);
    until("none", &bed.server, |server| status(server) == json!([]));
    tell(&bed, &Standing::InForce, &[]);
    until("an address", &bed.server, |server| {
        status(server) == json!([{"ip": "203.0.113.1"}])
    });
    let stop = bed.source.stopper();
    stop();
    while bed.source.next().is_some() {}
    assert_eq!(status(&bed.server), json!([]));
    assert_eq!(holder(&bed.server), "", "the next one need not wait");
}

#[test]
fn what_is_wrong_is_an_event_once() {
    let mut bed = Bed::writing(filled(), options("a"));
    bed.until_complete();
    bed.server.faults().add(
        Fault::status(503)
            .verbs(["create"])
            .resources(["events"])
            .times(2),
    );
    let text = "spec.rules[0].http.paths[0].backend.service.name: there is no Service shop/nothing";
    tell(&bed, &Standing::Partly, &[text]);
    let events = |server: &ApiServer| server.store().list("Event", "shop");
    until("an Event", &bed.server, |server| !events(server).is_empty());
    tell(&bed, &Standing::Partly, &[text, "spec.tls[0]: another"]);
    until("another", &bed.server, |server| events(server).len() == 2);
    let first = events(&bed.server)
        .into_iter()
        .find(|event| event["message"] == text)
        .expect("an Event");
    assert_eq!(first["involvedObject"]["name"], "web");
    assert_eq!(
        (&first["reason"], &first["count"]),
        (&json!("PartlyInForce"), &json!(1))
    );
    let written = bed
        .server
        .journal()
        .count(|entry| entry.verb == "create" && entry.resource == "events" && entry.status == 201);
    assert_eq!(written, 2);
}

#[test]
fn of_two_one_writes_and_the_other_when_it_is_gone() {
    let server = filled();
    let mut first = Bed::writing(server, options("a"));
    first.until_complete();
    until("a leader", &first.server, |server| holder(server) == "a");
    let kubeconfig = first.kubeconfig();
    let second = crate::Kubernetes::patiently(
        crate::Watching {
            writing: Some(options("b")),
            ..super::bed::options(&kubeconfig)
        },
        super::bed::QUICK,
    )
    .expect("a source");
    let leases = |entry: &headgate_apiserver::Entry| entry.resource == "leases" && entry.verb == "get";
    let so_far = first.server.journal().count(leases);
    assert!(
        first
            .server
            .journal()
            .wait(so_far + 8, Duration::from_secs(20), leases)
    );
    assert_eq!(holder(&first.server), "a", "it keeps what it has");
    // It ends in order.
    first.source.stopper()();
    while first.source.next().is_some() {}
    until("the other", &first.server, |server| holder(server) == "b");
    second.stopper()();
}

/// A pod of the gateway on a node.
fn gateway(name: &str, node: &str, ready: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "edge", "name": name, "labels": {"app": "headgate", "pod-template-hash": name}},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "hostIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}]},
    })
}

/// Follows the pods of the gateway `a` and `b`, of which `a` is this one.
fn on_two_nodes() -> Bed {
    let server = filled();
    let node = |name: &str, addresses: Value| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": addresses}});
    let internal = |ip: &str| json!({"type": "InternalIP", "address": ip});
    for object in [
        namespace("edge"),
        gateway("a", "n1", "True"),
        gateway("b", "n2", "True"),
        node(
            "n1",
            json!([internal("10.0.0.1"), {"type": "ExternalIP", "address": "203.0.113.1"}]),
        ),
        node("n2", json!([internal("10.0.0.2")])),
    ] {
        server.store().apply(&object).expect("an object");
    }
    let pod = ObjectName::new("edge", "a");
    // The address of its own node.
    let publish = Publish::Ingress {
        addresses: BTreeSet::from([StatusAddress::of("10.0.0.1")]),
        pod: pod.clone(),
        internal: false,
    };
    let mut bed = Bed::writing(
        server,
        WritingOptions {
            publish: Some(publish),
            pod: Some(pod),
            ..options("a")
        },
    );
    bed.until_complete();
    tell(&bed, &Standing::InForce, &[]);
    let both = json!([{"ip": "10.0.0.2"}, {"ip": "203.0.113.1"}]);
    until("two addresses", &bed.server, |server| status(server) == both);
    bed
}

/// Two pods on two nodes, of which one ends.
#[test]
fn the_addresses_are_those_of_the_nodes_and_stay_while_one_is_left() {
    let mut bed = on_two_nodes();
    let both = status(&bed.server);
    bed.source.stopper()();
    while bed.source.next().is_some() {}
    assert_eq!(status(&bed.server), both, "another pod serves still");
    assert_eq!(holder(&bed.server), "");
}

/// While it drains clients are sent elsewhere, and what was written last is taken back only at the end.
#[test]
fn who_leaves_takes_its_own_address_out_at_once_and_the_last_one_at_the_end() {
    let mut bed = on_two_nodes();
    let apply = |pod: &Value| bed.server.store().apply(pod).expect("a pod");
    let begun = Instant::now();
    apply(&gateway("a", "n1", "False"));
    bed.source.leaving()();
    until("the other's", &bed.server, |server| {
        status(server) == json!([{"ip": "10.0.0.2"}])
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "at once, not in turn");
    assert_eq!(holder(&bed.server), "a", "it goes on to write");
    apply(&gateway("b", "n2", "False"));
    bed.source.stopper()();
    while bed.source.next().is_some() {}
    assert_eq!(status(&bed.server), json!([]));
    assert_eq!(holder(&bed.server), "");
}

/// A gateway of one pod, which is not ready any more while it drains.
#[test]
fn the_only_one_is_there_until_the_end() {
    let mut bed = on_two_nodes();
    let both = status(&bed.server);
    for (name, node) in [("a", "n1"), ("b", "n2")] {
        bed.server
            .store()
            .apply(&gateway(name, node, "False"))
            .expect("a pod");
    }
    let lists = |entry: &headgate_apiserver::Entry| {
        entry.verb == "list" && entry.resource == "pods" && entry.query.contains("labelSelector")
    };
    let so_far = bed.server.journal().count(lists);
    bed.source.leaving()();
    assert!(
        bed.server
            .journal()
            .wait(so_far + 1, Duration::from_secs(10), lists)
    );
    // Whatever it does about that is done before the next heartbeat of its Lease.
    let renewed = |entry: &headgate_apiserver::Entry| entry.verb == "update" && entry.resource == "leases";
    let so_far = bed.server.journal().count(renewed);
    assert!(
        bed.server
            .journal()
            .wait(so_far + 2, Duration::from_secs(20), renewed)
    );
    assert_eq!(status(&bed.server), both);
    bed.source.stopper()();
    while bed.source.next().is_some() {}
    assert_eq!(status(&bed.server), json!([]));
}

#[test]
fn it_is_ready_once_the_dataplane_has_acknowledged() {
    let address = free_address();
    let mut bed = Bed::with(filled(), super::bed::QUICK, |options| {
        options.health = Some(address);
    });
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text.lines().next().unwrap_or_default().to_owned()
    };
    let get = |path: &str| ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(get("/healthz"), "HTTP/1.1 200 OK");
    bed.until_complete();
    assert_eq!(get("/readyz"), "HTTP/1.1 503 Service Unavailable");
    bed.source
        .feedback()
        .expect("somebody who asks")
        .tell(1, 1, Outcomes::new());
    assert_eq!(get("/readyz"), "HTTP/1.1 200 OK");
    bed.source.leaving()();
    assert_eq!(get("/readyz"), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(get("/healthz"), "HTTP/1.1 200 OK");
    assert_eq!(get("/"), "HTTP/1.1 404 Not Found");
    assert_eq!(
        ask("POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
        "HTTP/1.1 405 Method Not Allowed"
    );
}

/// Addresses that are asked for and never come keep nobody from the Lease for long.
#[test]
fn an_answer_that_never_comes_is_given_up() {
    let server = filled();
    server
        .faults()
        .add(Fault::hang().verbs(["get"]).resources(["services"]).times(1));
    let writing = WritingOptions {
        publish: Some(Publish::Service(ObjectName::new("shop", "web"))),
        ..options("a")
    };
    let bed = Bed::writing(server, writing);
    let asked = |entry: &headgate_apiserver::Entry| entry.resource == "services" && entry.verb == "get";
    assert!(bed.server.journal().wait(1, Duration::from_secs(20), asked));
    let renewed = |entry: &headgate_apiserver::Entry| entry.resource == "leases" && entry.verb == "update";
    let so_far = bed.server.journal().count(renewed);
    assert!(
        bed.server
            .journal()
            .wait(so_far + 2, Duration::from_secs(30), renewed)
    );
}

/// A role that lacks the status of Ingresses, or Events, keeps nobody from writing the other.
#[test]
fn what_is_forbidden_does_not_hold_up_the_rest() {
    let server = filled();
    server.deny(Rule::everybody().verbs(["patch"]).resources(["ingresses/status"]));
    let mut bed = Bed::writing(server, options("a"));
    bed.until_complete();
    tell(&bed, &Standing::Partly, &["spec.tls[0]: no such Secret"]);
    let events = |server: &ApiServer| server.store().list("Event", "shop");
    until("an Event", &bed.server, |server| !events(server).is_empty());
    assert_eq!(status(&bed.server), Value::Null);
}

/// What a server forbids before it has read its roles is tried again soon; what a role forbids, each half a minute.
#[test]
fn what_a_server_forbids_while_it_starts_is_written_once_it_is_ready() {
    let mut bed = Bed::writing(filled(), options("a"));
    bed.until_complete();
    for fault in [
        Fault::status(403).verbs(["patch"]).resources(["ingresses"]),
        Fault::status(500).path("/readyz"),
    ] {
        bed.server.faults().add(fault);
    }
    tell(&bed, &Standing::InForce, &[]);
    let refused = |entry: &headgate_apiserver::Entry| entry.status == 403;
    let soon = Duration::from_secs(15);
    assert!(bed.server.journal().wait(3, soon, refused), "it is postponed");
    bed.server.faults().clear();
    until("an address", &bed.server, |server| {
        status(server) == json!([{"ip": "203.0.113.1"}])
    });
}

/// Nor is the address of one node published for those of all.
#[test]
fn the_ingress_address_does_not_stand_where_a_server_that_starts_forbids_the_pod() {
    let pod = ObjectName::new("edge", "gateway");
    let publish = Publish::Ingress {
        addresses: BTreeSet::from([StatusAddress::of("203.0.113.1")]),
        pod: pod.clone(),
        internal: false,
    };
    let writing = WritingOptions {
        publish: Some(publish),
        pod: Some(pod),
        ..options("a")
    };
    let server = filled();
    // What is not there would be doubted, too.
    server
        .store()
        .apply(&headgate_apiserver::cluster_network_policies())
        .expect("a kind");
    for fault in [
        Fault::status(403).verbs(["get"]).resources(["pods"]),
        Fault::status(500).path("/readyz"),
    ] {
        server.faults().add(fault);
    }
    let mut bed = Bed::writing(server, writing);
    bed.until_complete();
    let asked = |entry: &headgate_apiserver::Entry| entry.path == "/readyz";
    assert!(bed.server.journal().wait(1, Duration::from_secs(15), asked));
    // Statuses are written before Events.
    tell(&bed, &Standing::Partly, &["spec.tls[0]: no such Secret"]);
    until("an Event", &bed.server, |server| {
        !server.store().list("Event", "shop").is_empty()
    });
    assert_eq!(status(&bed.server), Value::Null);
}

/// That is no matter of roles, and holds nobody up.
#[test]
fn a_namespace_that_is_being_removed_gets_no_event_and_no_second_attempt() {
    let server = filled();
    let mut going = namespace("shop");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    server.store().apply(&going).expect("a namespace");
    let mut bed = Bed::writing(server, options("a"));
    bed.until_complete();
    tell(&bed, &Standing::Partly, &["spec.tls[0]: no such Secret"]);
    let refused = |entry: &headgate_apiserver::Entry| entry.resource == "events" && entry.status == 403;
    assert!(bed.server.journal().wait(1, Duration::from_secs(15), refused));
    // Whoever doubts that it is forbidden asks whether the server is ready, before anything else.
    tell(&bed, &Standing::Partly, &["spec.rules[0]: no such Service"]);
    assert!(bed.server.journal().wait(2, Duration::from_secs(15), refused));
    let doubted = bed.server.journal().count(|entry| entry.path == "/readyz");
    // Once for the ClusterNetworkPolicies, which are not there.
    assert_eq!(doubted, 1);
}

#[test]
fn the_ingress_address_stands_where_nothing_is_known_of_the_pod() {
    let pod = ObjectName::new("edge", "unknown");
    let publish = Publish::Ingress {
        addresses: BTreeSet::from([StatusAddress::of("203.0.113.1")]),
        pod: pod.clone(),
        internal: false,
    };
    let writing = WritingOptions {
        publish: Some(publish),
        pod: Some(pod),
        ..options("a")
    };
    let mut bed = Bed::writing(filled(), writing);
    bed.until_complete();
    tell(&bed, &Standing::InForce, &[]);
    until("an address", &bed.server, |server| {
        status(server) == json!([{"ip": "203.0.113.1"}])
    });
}

/// Of Services those that are ours have a status, and lose it with the last gateway; others keep theirs.
#[test]
fn load_balancers_of_ours_have_a_status_and_those_of_others_keep_theirs() {
    let server = filled();
    let balancer = |name: &str, class: &str, given: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": name},
            "spec": {"type": "LoadBalancer", "loadBalancerClass": class, "ports": [{"port": 5432}]},
            "status": {"loadBalancer": {"ingress": given}},
        })
    };
    let here = json!([{"ip": "203.0.113.1"}]);
    for object in [
        balancer("ours", "headgate.dev/load-balancer", json!([])),
        balancer("theirs", "example.com/metal", here),
    ] {
        server.store().apply(&object).expect("an object");
    }
    let mut bed = Bed::writing(server, options("a"));
    bed.until_complete();
    for (name, balanced) in [("ours", true), ("theirs", false), ("web", false)] {
        let id = Id::new(Kind::Service, ObjectName::new("shop", name));
        let outcome = Outcome {
            standing: Standing::InForce,
            origin: bed.store.origin(&id),
            problems: Vec::new(),
            balanced,
        };
        let feedback = bed.source.feedback().expect("somebody who writes");
        feedback.tell(1, 1, Outcomes::from([(id, outcome)]));
    }
    let given = |server: &ApiServer, name: &str| {
        let service = server.store().get("Service", "shop", name).expect("a Service");
        service["status"]["loadBalancer"]["ingress"].clone()
    };
    until("an address", &bed.server, |server| {
        given(server, "ours")[0]["ip"] == "203.0.113.1"
    });
    bed.source.stopper()();
    while bed.source.next().is_some() {}
    assert_eq!(given(&bed.server, "ours"), json!([]));
    assert_eq!(given(&bed.server, "theirs")[0]["ip"], "203.0.113.1");
    let written =
        |entry: &headgate_apiserver::Entry| entry.resource == "services/status" && entry.verb == "patch";
    assert_eq!(bed.server.journal().count(written), 2);
}
