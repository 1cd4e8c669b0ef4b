use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::model::{Kind, ObjectName};

fn id(n: usize) -> Id {
    Id::new(Kind::Pod, ObjectName::new("shop", n.to_string()))
}

fn outcome(standing: Standing) -> Outcome {
    Outcome {
        standing,
        origin: None,
        problems: Vec::new(),
        balanced: false,
    }
}

fn one(n: usize, standing: Standing) -> Outcomes {
    Outcomes::from([(id(n), outcome(standing))])
}

#[test]
fn a_slow_source_gets_the_last_word_about_each_object() {
    let rings = Arc::new(AtomicUsize::new(0));
    let counted = rings.clone();
    let (feedback, mailbox) = mailbox(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(mailbox.take(), None);
    feedback.tell(1, 1, one(1, Standing::InForce));
    feedback.tell(2, 2, one(2, Standing::InForce));
    feedback.tell(3, 2, one(1, Standing::LeftOut));
    let report = mailbox.take().expect("outcomes");
    assert_eq!(report.acknowledged, 2);
    assert_eq!(report.outcomes[&id(1)], (3, outcome(Standing::LeftOut)));
    assert_eq!(report.outcomes[&id(2)], (2, outcome(Standing::InForce)));
    assert_eq!(mailbox.take(), None, "each is given once");
    assert_eq!(rings.load(Ordering::Relaxed), 3);
    feedback.tell(4, 4, Outcomes::new());
    assert_eq!(mailbox.take(), None, "no object has changed");
}

#[test]
fn a_source_that_never_looks_costs_no_more_than_a_full_mailbox() {
    let (feedback, mailbox) = mailbox(|| {});
    let many = (0..MAILBOX + 10).map(|n| (id(n), outcome(Standing::Gone)));
    feedback.tell(1, 1, many.collect());
    let report = mailbox.take().expect("outcomes");
    assert_eq!(report.outcomes.len(), MAILBOX);
    assert!(report.incomplete);
}
