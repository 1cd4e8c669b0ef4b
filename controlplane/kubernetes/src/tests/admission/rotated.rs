//! The certificate, by itself and under calls.

use std::time::Duration;

use serde_json::json;

use super::super::bed::ingress;
use super::{
    Bed, INGRESSES, NAME, OFTEN, QUICK, User, admission, answered, asking, bundle, free_address, kept, until,
    writing,
};
use crate::{Kubernetes, Rotation, Watching};
use headgate_controlplane::source::Source;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn calls_go_on_while_certificates_are_replaced() {
    // Each is due as soon as it is made.
    let rotation = Rotation {
        ahead: 100 * DAY,
        ..OFTEN
    };
    let (mut followed, _) = answered("Fail", rotation);
    let user = User::new(&followed.kubeconfig());
    let shown = || kept(&followed.server, "tls.crt").expect("a certificate");
    let (mut certificates, mut calls) = (std::collections::BTreeSet::from([shown()]), 0);
    let dry = format!("{INGRESSES}?dryRun=All");
    let begun = std::time::Instant::now();
    while certificates.len() < 4 {
        let told = user.create(&dry, &ingress("web", "h.example.com", "web", None));
        told.warned("Service shop/web does not exist");
        calls += 1;
        certificates.insert(shown());
        assert!(
            begun.elapsed() < super::super::bed::WATCHDOG,
            "in vain after {calls} calls"
        );
    }
    assert!(calls > 4, "{calls}");
    followed.end();
}

#[test]
fn two_gateways_share_one_certificate() {
    let (first, second) = (free_address(), free_address());
    let server = asking(first, "Fail");
    let bed = Bed::with(server, QUICK, |options| {
        options.admission = Some(admission(first, OFTEN));
        options.writing = Some(writing("a"));
    });
    let kubeconfig = bed.kubeconfig();
    let mut other = Kubernetes::start(Watching {
        admission: Some(admission(second, OFTEN)),
        writing: Some(writing("b")),
        ..super::super::bed::options(&kubeconfig)
    })
    .expect("a source");
    let stop = other.stopper();
    let thread = std::thread::spawn(move || while other.next().is_some() {});
    let mut followed = bed.follow();
    until("a bundle", &followed.server, |server| bundle(server).is_some());
    let made = followed
        .server
        .journal()
        .count(|entry| entry.verb == "create" && entry.resource == "secrets" && entry.status == 201);
    assert_eq!(made, 1);
    let authority = kept(&followed.server, "ca.crt").expect("an authority");
    assert_eq!(bundle(&followed.server), Some(authority.clone()));
    for address in [first, second] {
        until("a handshake", &followed.server, |_| {
            super::hostile::is_trusted(address, &authority)
        });
    }
    // Somebody breaks it: the leader makes another.
    let mut secret = followed
        .server
        .store()
        .get("Secret", "default", NAME)
        .expect("a Secret");
    secret["data"]["tls.crt"] = json!("");
    followed.server.store().apply(&secret).expect("an object");
    until("another", &followed.server, |server| {
        bundle(server).is_some_and(|bundle| bundle != authority)
    });
    stop();
    thread.join().expect("no panic");
    followed.end();
}
