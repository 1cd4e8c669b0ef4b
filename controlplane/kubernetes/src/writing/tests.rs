//! What is to be written, without a server and with a clock of our own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::complaints::Complaints;
use super::election::{Act, Election, Terms};
use super::events::Events;
use super::status::{StatusAddress, Statuses, patch};
use crate::reply::Failure;
use headgate_controlplane::feedback::{Outcome, Standing};
use headgate_controlplane::model::{Id, Kind, ObjectName};
use headgate_controlplane::problem::{Origin, Problem, Version};

const TERMS: Terms = Terms {
    lease: Duration::from_secs(16),
};

/// One Lease, as an API server keeps it, and two who want it.
struct Contest {
    lease: Option<Value>,
    now: Instant,
    elapsed: Duration,
}

impl Contest {
    fn new() -> Self {
        Self {
            lease: None,
            now: Instant::now(),
            elapsed: Duration::ZERO,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.elapsed += Duration::from_secs(seconds);
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_second(1_795_305_600 + self.elapsed.as_secs() as i64).expect("a time")
    }

    /// An attempt that the server hears.
    fn attempt(&mut self, who: &mut Election) -> bool {
        match who.consider(self.lease.as_ref(), self.now, self.clock()) {
            Act::Wait => {}
            Act::Create(lease) | Act::Replace(lease) => {
                self.lease = Some(lease);
                who.won(self.now);
            }
        }
        who.leads(self.now)
    }
}

fn two() -> (Election, Election) {
    (
        Election::new("a".to_owned(), TERMS),
        Election::new("b".to_owned(), TERMS),
    )
}

#[test]
fn one_leads_and_the_other_follows_when_it_is_gone() {
    let ((mut a, mut b), mut contest) = (two(), Contest::new());
    assert!(contest.attempt(&mut a) && !contest.attempt(&mut b));
    for _ in 0..10 {
        contest.pass(4);
        assert!(contest.attempt(&mut a) && !contest.attempt(&mut b));
    }
    let lease = contest.lease.clone().expect("a lease");
    assert_eq!(lease["spec"]["leaseTransitions"], 0);
    assert_eq!(lease["spec"]["acquireTime"], "2026-11-22T00:00:00.000000Z");
    assert_eq!(lease["spec"]["renewTime"], "2026-11-22T00:00:40.000000Z");
    // It falls silent: it stops before the other begins.
    contest.pass(8);
    assert!(!a.leads(contest.now) && !contest.attempt(&mut b));
    contest.pass(8);
    assert!(contest.attempt(&mut b) && !contest.attempt(&mut a));
    assert_eq!(
        contest.lease.clone().expect("a lease")["spec"]["leaseTransitions"],
        1
    );
}

#[test]
fn a_server_that_is_away_for_a_moment_makes_nobody_else_the_leader() {
    let ((mut a, mut b), mut contest) = (two(), Contest::new());
    assert!(contest.attempt(&mut a) && !contest.attempt(&mut b));
    contest.pass(7);
    assert!(
        a.leads(contest.now),
        "an attempt that failed is no reason to stop"
    );
    assert!(contest.attempt(&mut a) && !contest.attempt(&mut b));
}

#[test]
fn a_lease_that_is_given_back_is_taken_at_once() {
    let ((mut a, mut b), mut contest) = (two(), Contest::new());
    assert!(contest.attempt(&mut a) && !contest.attempt(&mut b));
    let lease = contest.lease.clone().expect("a lease");
    contest.lease = a.release(&lease);
    assert!(!a.leads(contest.now) && contest.attempt(&mut b));
    let lease = contest.lease.clone().expect("a lease");
    assert_eq!(a.release(&lease), None, "it is somebody else's");
}

#[test]
fn the_clocks_of_two_nodes_need_not_agree() {
    let ((_, mut b), mut contest) = (two(), Contest::new());
    // Its holder lives in 1970, and renews.
    for renewed in 0..20 {
        contest.lease = Some(json!({ "spec": {
            "holderIdentity": "old", "leaseDurationSeconds": 16, "renewTime": format!("1970-01-01T00:00:{renewed:02}.000000Z"),
        } }));
        assert!(!contest.attempt(&mut b));
        contest.pass(4);
    }
    contest.pass(12);
    assert!(contest.attempt(&mut b));
}

fn name(name: &str) -> ObjectName {
    ObjectName::new("shop", name)
}

fn addresses(all: &[&str]) -> BTreeSet<StatusAddress> {
    all.iter().map(|text| StatusAddress::of(text)).collect()
}

#[test]
fn the_status_is_written_where_it_says_something_else() {
    let mut statuses = Statuses::default();
    statuses.seen(&name("a"), addresses(&[]));
    statuses.became(&name("a"), &Standing::InForce);
    assert_eq!(statuses.next(), None, "it is not known where clients connect");
    let here = addresses(&["203.0.113.1", "edge.example.com"]);
    statuses.publish(here.clone());
    assert_eq!(statuses.next(), Some((name("a"), here.clone())));
    statuses.again(name("a"));
    assert_eq!(
        statuses.next(),
        Some((name("a"), here.clone())),
        "it could not be written"
    );
    statuses.written(&name("a"), here.clone());
    statuses.seen(&name("a"), here.clone());
    assert_eq!(statuses.next(), None);
    assert_eq!(
        patch(&here),
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"hostname": "edge.example.com"}]}}})
    );
    // Somebody changes it.
    statuses.seen(&name("a"), addresses(&["192.0.2.1"]));
    assert_eq!(statuses.next(), Some((name("a"), here)));
}

#[test]
fn thousands_that_say_the_same_share_it() {
    let mut statuses = Statuses::default();
    statuses.publish(addresses(&["192.0.2.1", "192.0.2.2"]));
    for n in 0..10 {
        let ingress = name(&format!("i{n}"));
        statuses.seen(&ingress, BTreeSet::new());
        statuses.became(&ingress, &Standing::InForce);
    }
    while let Some((ingress, addresses)) = statuses.next() {
        statuses.written(&ingress, addresses);
    }
    statuses.seen(&name("i3"), addresses(&["192.0.2.1", "192.0.2.2"]));
    assert_eq!(statuses.sets(), 0);
    statuses.seen(&name("i3"), addresses(&["192.0.2.1"]));
    assert_eq!(statuses.sets(), 1);
    assert_eq!(statuses.farewell().len(), 9);
}

#[test]
fn what_was_said_of_an_ingress_is_taken_back_when_it_is_not_ours_any_more() {
    let mut statuses = Statuses::default();
    let here = addresses(&["203.0.113.1"]);
    statuses.publish(here.clone());
    for (ingress, there) in [("ours", "203.0.113.1"), ("theirs", "192.0.2.1")] {
        statuses.seen(&name(ingress), addresses(&[there]));
        statuses.became(&name(ingress), &Standing::Foreign);
    }
    assert_eq!(statuses.next(), Some((name("ours"), addresses(&[]))));
    assert_eq!(statuses.next(), None, "what others say stays");
    statuses.became(&name("theirs"), &Standing::Partly);
    assert_eq!(statuses.next(), Some((name("theirs"), here)));
    statuses.gone(&name("theirs"));
    assert_eq!(statuses.next(), None);
}

#[test]
fn the_last_one_takes_back_what_it_says() {
    let mut statuses = Statuses::default();
    let here = addresses(&["203.0.113.1"]);
    statuses.publish(here.clone());
    for ingress in ["a", "b", "theirs"] {
        statuses.seen(&name(ingress), here.clone());
    }
    statuses.became(&name("a"), &Standing::InForce);
    statuses.became(&name("b"), &Standing::LastGood);
    statuses.became(&name("theirs"), &Standing::Foreign);
    assert_eq!(statuses.farewell(), [name("a"), name("b")]);
}

fn outcome(problems: &[&str], resource_version: &str) -> (Id, Outcome) {
    let id = Id::new(Kind::Ingress, name("a"));
    let version = Version {
        id: id.clone(),
        uid: "uid-1".into(),
        resource_version: resource_version.into(),
    };
    let outcome = Outcome {
        standing: Standing::Partly,
        origin: Some(Origin::Cluster(Arc::new(version))),
        problems: problems
            .iter()
            .map(|text| Problem::error(id.clone(), *text))
            .collect(),
        balanced: false,
    };
    (id, outcome)
}

/// What is there has stood long enough.
fn ripen(events: &mut Events) {
    for _ in 0..2 {
        events.ripen();
    }
}

/// An Ingress whose Service comes a moment later.
#[test]
fn what_is_over_at_once_is_no_event() {
    let mut events = Events::default();
    let (id, wrong) = outcome(&["spec.rules[0]: no such Service"], "1");
    let (_, mended) = outcome(&[], "1");
    for early in [true, false] {
        events.became(&id, &wrong);
        if early {
            events.ripen();
        }
        events.became(&id, &mended);
        ripen(&mut events);
        assert!(!events.has_fresh());
        assert_eq!(events.next(), None);
    }
}

#[test]
fn an_event_is_written_once_for_each_cause() {
    let (mut events, now) = (Events::default(), Instant::now());
    let (id, outcome_1) = outcome(&["spec.rules[0]: no such Service"], "1");
    events.became(&id, &outcome_1);
    events.ripen();
    assert_eq!(events.next(), None, "not at once");
    events.ripen();
    let cause = events.next().expect("an event");
    events.written(cause.clone(), now);
    assert_eq!(events.next(), None);
    // The same in another version of the object, and again.
    let (_, outcome_2) = outcome(
        &["spec.rules[0]: no such Service", "spec.tls[0]: no such Secret"],
        "2",
    );
    events.became(&id, &outcome_2);
    ripen(&mut events);
    let other = events.next().expect("an event");
    assert_ne!(other.name(), cause.name());
    events.again(other.clone());
    assert_eq!(events.next(), Some(other.clone()));
    events.written(other, now);
    assert_eq!(events.next(), None);
    // Servers forget Events; the cause stands.
    events.remind(now + Duration::from_secs(51 * 60));
    assert!(events.next().is_some() && events.next().is_some() && events.next().is_none());
    // It is mended, and wrong again.
    let (_, mended) = outcome(&[], "3");
    events.became(&id, &mended);
    events.became(&id, &outcome_1);
    ripen(&mut events);
    assert_eq!(events.next().map(|cause| cause.name()), Some(cause.name()));
}

#[test]
fn an_event_says_what_kubectl_describe_shows() {
    let mut events = Events::default();
    let (id, outcome) = outcome(&[&"x".repeat(5000)], "7");
    events.became(&id, &outcome);
    ripen(&mut events);
    let event = events
        .next()
        .expect("an event")
        .event("pod-1", Timestamp::UNIX_EPOCH);
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "namespace": "shop", "name": "a",
        "uid": "uid-1", "resourceVersion": "7",
    });
    assert_eq!(event["involvedObject"], object);
    assert_eq!(
        (&event["type"], &event["reason"]),
        (&json!("Warning"), &json!("PartlyInForce"))
    );
    assert_eq!(event["firstTimestamp"], "1970-01-01T00:00:00Z");
    assert_eq!(event["metadata"]["namespace"], "shop");
    assert!(event["message"].as_str().is_some_and(|text| text.len() <= 1024));
}

/// What became of a Service that is ours and reached, or not.
fn balanced(yes: bool) -> Outcome {
    Outcome {
        standing: Standing::InForce,
        balanced: yes,
        ..outcome(&[], "1").1
    }
}

#[test]
fn of_a_service_only_what_was_said_of_it_is_taken_back() {
    let mut statuses = Statuses::of_services();
    let here = addresses(&["203.0.113.1"]);
    statuses.publish(here.clone());
    // By it clients get here: --publish-service has these addresses of it.
    statuses.seen(&name("front"), here.clone());
    statuses.service_became(&name("front"), &balanced(false));
    statuses.seen(&name("a"), addresses(&[]));
    statuses.service_became(&name("a"), &balanced(true));
    assert_eq!(statuses.next(), Some((name("a"), here.clone())));
    statuses.written(&name("a"), here);
    assert_eq!(statuses.next(), None);
    assert_eq!(statuses.farewell(), [name("a")]);
    statuses.service_became(&name("a"), &balanced(false));
    assert_eq!(statuses.next(), Some((name("a"), addresses(&[]))));
    statuses.written(&name("a"), addresses(&[]));
    assert_eq!((statuses.next(), statuses.farewell()), (None, Vec::new()));
    // What the dataplane does not take is not said either.
    let refused = balanced(true).refused(&"no room".into(), "it is left out");
    statuses.service_became(&name("a"), &refused);
    assert_eq!(statuses.next(), None);
}

#[test]
fn a_service_may_wish_for_an_address_and_another_gateway_may_have_written_it() {
    let mut statuses = Statuses::of_services();
    let wish = addresses(&["198.51.100.9"]);
    statuses.wishes(&name("a"), Some(StatusAddress::of("198.51.100.9")));
    statuses.seen(&name("a"), addresses(&[]));
    statuses.service_became(&name("a"), &balanced(true));
    // It needs no published address.
    assert_eq!(statuses.next(), Some((name("a"), wish.clone())));
    statuses.seen(&name("a"), wish.clone());
    assert_eq!(statuses.next(), None);
    // Now it is a ClusterIP, and wishes for nothing.
    statuses.wishes(&name("a"), None);
    statuses.service_became(&name("a"), &balanced(false));
    assert_eq!(statuses.next(), Some((name("a"), addresses(&[]))));
    statuses.gone(&name("a"));
    statuses.seen(&name("a"), wish);
    assert_eq!(statuses.next(), None, "another of that name");
}

/// Of a namespace in which nothing may be written one is asked about, and all of them again later.
#[test]
fn what_is_forbidden_is_tried_again_and_others_do_not_wait_for_it() {
    let mut statuses = Statuses::default();
    let other = ObjectName::new("zone", "w");
    for ingress in [name("a"), name("b"), name("gone"), other.clone()] {
        statuses.seen(&ingress, addresses(&[]));
        statuses.became(&ingress, &Standing::InForce);
    }
    statuses.publish(addresses(&["192.0.2.1"]));
    let (first, _) = statuses.next().expect("one");
    assert_eq!(first, name("a"));
    statuses.postpone(first);
    let (second, written) = statuses.next().expect("of another namespace");
    assert_eq!(second, other);
    statuses.written(&second, written);
    assert_eq!(statuses.next(), None);
    assert!(statuses.has_postponed());
    statuses.gone(&name("gone"));
    statuses.resume();
    assert!(!statuses.has_postponed());
    let again = std::iter::from_fn(|| statuses.next()).map(|(name, _)| name);
    assert_eq!(again.collect::<Vec<_>>(), [name("a"), name("b")]);

    let mut events = Events::default();
    let (id, both) = outcome(&["one", "two"], "1");
    events.became(&id, &both);
    ripen(&mut events);
    let first = events.next().expect("an Event");
    events.postpone(first);
    assert_eq!(events.next(), None);
    let (_, one) = outcome(&["two"], "2");
    events.became(&id, &one);
    events.resume();
    assert!(events.next().is_some(), "what stands still is written");
    assert_eq!(events.next(), None, "what is over is not");
}

#[test]
fn a_cause_is_told_once_however_many_objects_have_it() {
    let mut complaints = Complaints::default();
    let forbidden = |name: &str| Failure::Forbidden(format!("ingresses \"{name}\" is forbidden"));
    assert!(complaints.news("write", &forbidden("a")).is_some());
    assert_eq!(complaints.news("write", &forbidden("b")), None);
    let away = Failure::Unreachable("refused".to_owned());
    assert!(complaints.news("get the Lease", &away).is_some());
    assert_eq!(
        complaints.news("write", &forbidden("c")),
        None,
        "each has its own"
    );
    assert!(complaints.news("write", &away).is_some());
    complaints.over("write");
    assert!(complaints.news("write", &forbidden("a")).is_some());
}

/// That the API has it is told at once, and what became of the one before it once the dataplane has answered.
#[test]
fn a_service_that_is_made_again_is_not_lost_with_the_one_before_it() {
    let mut statuses = Statuses::of_services();
    let here = addresses(&["203.0.113.1"]);
    statuses.publish(here.clone());
    statuses.seen(&name("a"), addresses(&[]));
    statuses.service_became(&name("a"), &balanced(true));
    statuses.written(&name("a"), here.clone());
    statuses.gone(&name("a"));
    statuses.seen(&name("a"), addresses(&[]));
    let gone = Outcome {
        standing: Standing::Gone,
        ..balanced(false)
    };
    statuses.service_became(&name("a"), &gone);
    assert_eq!(statuses.next(), None, "it is not known whose it is");
    statuses.service_became(&name("a"), &balanced(true));
    assert_eq!(statuses.next(), Some((name("a"), here)));
}
