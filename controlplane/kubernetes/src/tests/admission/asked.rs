//! What becomes of what users write.

use http::Method;
use serde_json::{Value, json};

use super::super::bed::{ingress, service};
use super::{
    Bed, INGRESSES, OFTEN, QUICK, User, admission, answered, asking, bundle, free_address, until, writing,
};
use headgate_apiserver::Fault;

fn bad(name: &str) -> Value {
    let mut bad = ingress(name, "bad.example.com", "web", None);
    // The API server takes it; no request could have such a path.
    bad["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/a\u{7}");
    bad
}

const WHY: &str = "must not contain control characters";

#[test]
fn a_bad_ingress_is_denied_and_others_are_not() {
    let (mut followed, _) = answered("Fail", OFTEN);
    let user = User::new(&followed.kubeconfig());
    let web = service("web");
    user.create("/api/v1/namespaces/shop/services", &web).silently();
    user.create(INGRESSES, &bad("bad")).denied(WHY);
    let mut foreign = bad("foreign");
    foreign["spec"]["ingressClassName"] = json!("nginx");
    user.create(INGRESSES, &foreign).silently();
    user.create(INGRESSES, &ingress("lost", "lost.example.com", "nothing", None))
        .warned("Service shop/nothing does not exist");
    let created = user.create(INGRESSES, &ingress("good", "good.example.com", "web", None));
    assert_eq!(created.status, 201, "{created:?}");
    // Deletion is nobody's question.
    assert_eq!(
        user.send(Method::DELETE, &format!("{INGRESSES}/foreign"), &json!({}))
            .status,
        200
    );
    followed.end();
}

#[test]
fn what_an_older_ingress_has_is_denied_once_that_is_known() {
    let (mut followed, _) = answered("Fail", OFTEN);
    let user = User::new(&followed.kubeconfig());
    user.create(INGRESSES, &ingress("first", "h.example.com", "web", None));
    // The gateway hears of it by its watch; a dry run shows when it has.
    let second = ingress("second", "h.example.com", "web", None);
    let dry = format!("{INGRESSES}?dryRun=All");
    let begun = std::time::Instant::now();
    let told = loop {
        let told = user.create(&dry, &second);
        if told.status != 201 || begun.elapsed() > super::super::bed::WATCHDOG {
            break told;
        }
    };
    told.denied("Prefix \"/\" of h.example.com belongs to Ingress shop/first already");
    followed.end();
}

#[test]
fn without_a_gateway_all_is_taken() {
    let (mut followed, _) = answered("Ignore", OFTEN);
    let user = User::new(&followed.kubeconfig());
    user.create(INGRESSES, &bad("bad")).denied(WHY);
    followed.end();
    user.create(INGRESSES, &bad("bad")).silently();
}

#[test]
fn while_not_all_is_known_all_is_taken_with_a_warning() {
    let address = free_address();
    let server = asking(address, "Fail");
    server
        .faults()
        .add(Fault::hang().verbs(["list", "watch"]).resources(["pods"]));
    let bed = Bed::with(server, QUICK, |options| {
        options.admission = Some(admission(address, OFTEN));
        options.writing = Some(writing("a"));
    });
    let mut followed = bed.follow();
    until("a bundle", &followed.server, |server| bundle(server).is_some());
    let user = User::new(&followed.kubeconfig());
    user.create(INGRESSES, &bad("bad"))
        .warned("not all objects of the cluster are known yet");
    followed.end();
}

#[test]
fn while_nobody_answers_all_is_taken_with_a_warning() {
    let address = free_address();
    let bed = Bed::with(asking(address, "Fail"), QUICK, |options| {
        options.admission = Some(admission(address, OFTEN));
        options.writing = Some(writing("a"));
    });
    // Its batches are never asked for: so is a compiler that is in the midst of something.
    until("a bundle", &bed.server, |server| bundle(server).is_some());
    let user = User::new(&bed.kubeconfig());
    user.create(INGRESSES, &bad("bad"))
        .warned("the gateway has been busy");
}
