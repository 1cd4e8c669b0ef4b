//! What became of objects, on its way back to the source that they came from: for status, Events and log lines.
//!
//! Between the two stands a mailbox and no queue. It holds the newest outcome of each object that has changed since the
//! source last looked: a source that is slow misses no object's last word, and who writes never waits for it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use headgate_ring::message::Generation;

use crate::model::Id;
use crate::problem::{Origin, Problem};

/// Objects that a mailbox remembers at most; a source that never looks costs no more than these.
pub const MAILBOX: usize = 1 << 17;

/// How an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In force as it is written.
    InForce,
    /// In force, but not all of it: its problems say which part is not.
    Partly,
    /// What is written is wrong; an earlier good state of the object is in force.
    LastGood,
    /// What is written is wrong and never was good; a policy that allows no more than can be read of it is in force.
    Closed,
    /// Nothing of it is in force: its problems say why.
    LeftOut,
    /// It is for somebody else: an Ingress of a class that is not served here.
    Foreign,
    /// The dataplane has refused it.
    Refused {
        /// What the dataplane has said, in one line.
        reason: Arc<str>,
        /// What is in force instead.
        consequence: &'static str,
    },
    /// There is no such object any more, and nothing of it is in force.
    Gone,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it stands.
    pub standing: Standing,
    /// What was read of it last; `None` where it is gone.
    pub origin: Option<Origin>,
    /// What is wrong with it now, also where that does not keep it from being in force.
    pub problems: Vec<Problem>,
    /// Whether it is a Service of type LoadBalancer that is ours and that clients reach where the status of Ingresses says,
    /// or at the address that it wants.
    pub balanced: bool,
}

impl Outcome {
    /// The same object, refused by the dataplane.
    #[must_use]
    pub fn refused(&self, reason: &Arc<str>, consequence: &'static str) -> Self {
        Self {
            standing: Standing::Refused {
                reason: reason.clone(),
                consequence,
            },
            ..self.clone()
        }
    }
}

/// The outcomes of objects.
pub type Outcomes = BTreeMap<Id, Outcome>;

/// What has become of objects since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The last generation that the dataplane has acknowledged; 0 before the first.
    pub acknowledged: Generation,
    /// The objects that have changed, with the generation by which each is as it says: acknowledged by the dataplane,
    /// or refused.
    pub outcomes: BTreeMap<Id, (Generation, Outcome)>,
    /// More objects than a mailbox remembers have changed: some are not among the outcomes.
    pub incomplete: bool,
}

impl Report {
    fn is_empty(&self) -> bool {
        self.outcomes.is_empty() && !self.incomplete
    }

    fn take_in(&mut self, generation: Generation, outcomes: Outcomes) {
        for (id, outcome) in outcomes {
            if self.outcomes.len() >= MAILBOX && !self.outcomes.contains_key(&id) {
                self.incomplete = true;
            } else {
                self.outcomes.insert(id, (generation, outcome));
            }
        }
    }
}

struct FeedbackState {
    mailbox: Mutex<Report>,
    bell: Box<dyn Fn() + Send + Sync>,
}

/// The end that the publisher writes.
#[derive(Clone)]
pub struct Feedback(Arc<FeedbackState>);

/// The end that the source reads.
#[derive(Clone)]
pub struct Mailbox(Arc<FeedbackState>);

/// An empty mailbox. `bell` is called on another thread when something comes into it, and must not wait.
#[must_use]
pub fn mailbox(bell: impl Fn() + Send + Sync + 'static) -> (Feedback, Mailbox) {
    let shared = Arc::new(FeedbackState {
        mailbox: Mutex::default(),
        bell: Box::new(bell),
    });
    (Feedback(shared.clone()), Mailbox(shared))
}

impl Feedback {
    /// What these objects became by `generation`; `acknowledged` is the last one that the dataplane has acknowledged.
    pub fn tell(&self, generation: Generation, acknowledged: Generation, outcomes: Outcomes) {
        let mut report = self.0.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        report.acknowledged = acknowledged;
        let nothing_new = outcomes.is_empty();
        let fits = report.outcomes.is_empty() && outcomes.len() <= MAILBOX;
        if fits {
            let of_now = |(id, outcome)| (id, (generation, outcome));
            report.outcomes = outcomes.into_iter().map(of_now).collect();
        } else {
            report.take_in(generation, outcomes);
        }
        drop(report);
        if !nothing_new {
            (self.0.bell)();
        }
    }
}

impl Feedback {
    /// There is no dataplane any more that would have acknowledged anything.
    pub(crate) fn lost(&self) {
        let mut report = self.0.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        report.acknowledged = 0;
    }
}

impl Mailbox {
    /// The last generation that the dataplane has acknowledged; 0 before the first, and while there is no dataplane.
    #[must_use]
    pub fn acknowledged(&self) -> Generation {
        let mailbox = self.0.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        mailbox.acknowledged
    }

    /// What has come since the last look; `None` where nothing has.
    #[must_use]
    pub fn take(&self) -> Option<Report> {
        let mut mailbox = self.0.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Report {
            acknowledged: mailbox.acknowledged,
            ..Report::default()
        };
        Some(std::mem::replace(&mut *mailbox, next)).filter(|report| !report.is_empty())
    }
}

impl fmt::Debug for Feedback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feedback").finish_non_exhaustive()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
