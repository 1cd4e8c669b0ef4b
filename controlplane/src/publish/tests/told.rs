//! What the source is told of objects.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;

use super::super::repeats::Repeats;
use super::*;
use crate::feedback::{Mailbox, Outcome, Outcomes, Standing, mailbox};
use crate::model::{Id, Kind, ObjectName};

fn id(name: &str) -> Id {
    Id::new(Kind::Ingress, ObjectName::new("shop", name))
}

fn left_out(name: &str) -> Outcomes {
    let outcome = Outcome {
        standing: Standing::LeftOut,
        origin: None,
        problems: Vec::new(),
        balanced: false,
    };
    Outcomes::from([(id(name), outcome)])
}

/// Waits for what is told next.
fn told(bell: &std::sync::mpsc::Receiver<()>, mailbox: &Mailbox) -> BTreeSet<Id> {
    loop {
        if let Some(report) = mailbox.take() {
            return report.outcomes.into_keys().collect();
        }
        bell.recv_timeout(Duration::from_secs(20))
            .expect("an outcome is told");
    }
}

/// Of a transaction all of which is refused nothing is left to be sent; what it says of other objects is told all the same,
/// and does not wait until something else changes.
#[test]
fn what_stood_beside_an_object_that_is_refused_is_told_where_nothing_is_left_to_be_sent() {
    let (ring, bell) = channel();
    let (feedback, mailbox) = mailbox(move || {
        // Nobody listens at the end of the test.
        let _ = ring.send(());
    });
    let bed = Bed::telling(Some(feedback));
    bed.publish(state([listener(80)]));
    let mut session = bed.accept();
    let first = receive(&mut session);
    ack(&mut session, &first);
    let second = state([listener(80), upstream(1, 1)]);
    let changes = difference(&state([listener(80)]), &second);
    bed.publisher.publish_with(changes, |_| left_out("web"));
    let transaction = receive(&mut session);
    refuse(&mut session, &transaction, &upstream(1, 1));
    assert_eq!(told(&bell, &mailbox), BTreeSet::from([id("web")]));
    // And what changes nothing for the dataplane does not wait either.
    bed.publisher.publish_with(Changes::new(), |_| left_out("other"));
    assert_eq!(told(&bell, &mailbox), BTreeSet::from([id("other")]));
}

#[test]
fn a_thousand_changes_are_no_thousand_lines() {
    let (mut repeats, begun) = (Repeats::default(), std::time::Instant::now());
    let lines = (0..30_000).filter(|ms| repeats.is_news(begun + Duration::from_millis(*ms)));
    assert_eq!(lines.collect::<Vec<_>>(), [0, 10_000, 20_000]);
}

/// One that was started again knows nothing yet: its control plane is not ready.
#[test]
fn what_a_dataplane_has_acknowledged_is_gone_with_it() {
    let (ring, bell) = channel();
    let (feedback, mailbox) = mailbox(move || {
        // Nobody listens at the end of the test.
        let _ = ring.send(());
    });
    let bed = Bed::telling(Some(feedback));
    let publish = |name: &'static str| {
        bed.publisher
            .publish_with(Changes::new(), move |_| left_out(name));
    };
    publish("web");
    for _ in 0..2 {
        let mut session = bed.accept();
        let first = receive(&mut session);
        assert_eq!(mailbox.acknowledged(), 0);
        ack(&mut session, &first);
        publish("other");
        while !told(&bell, &mailbox).contains(&id("other")) {}
        assert_eq!(mailbox.acknowledged(), first.generation);
    }
}
