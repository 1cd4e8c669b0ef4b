//! Which outcomes of objects wait for which answer of the dataplane.

use std::collections::BTreeSet;
use std::sync::Arc;

use headgate_ring::message::Generation;

use crate::feedback::{Feedback, MAILBOX, Outcome, Outcomes, Standing};
use crate::model::Id;

/// Objects that the dataplane has refused, by what it said of one of its own objects.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The objects of Kubernetes that it was made of, as they would stand without the refusal.
    pub(super) objects: Outcomes,
    pub(super) reason: Arc<str>,
    pub(super) consequence: &'static str,
}

/// Outcomes on their way: each is told when the dataplane has acknowledged a state with what it says, or refused it.
#[derive(Debug, Default)]
pub(super) struct Awaiting {
    /// Published since the last transaction began.
    published: Outcomes,
    /// Of the transaction under way.
    under_way: Outcomes,
    /// Of transactions that were refused: they go with the next.
    held: Outcomes,
    /// The last generation that was acknowledged.
    acknowledged: Generation,
}

impl Awaiting {
    pub(super) fn publish(&mut self, outcomes: Outcomes) {
        if self.published.is_empty() {
            self.published = outcomes;
        } else {
            self.published.extend(outcomes);
        }
        // Without a peer much may pass: who reads this later misses nothing by what is no more.
        if self.published.len() > MAILBOX {
            self.published
                .retain(|_, outcome| outcome.standing != Standing::Gone);
        }
    }

    /// As [`Self::publish`], but for objects of which something newer waits.
    pub(super) fn publish_missing(&mut self, outcomes: Outcomes) {
        for (id, outcome) in outcomes {
            if !self.under_way.contains_key(&id) && !self.held.contains_key(&id) {
                self.published.entry(id).or_insert(outcome);
            }
        }
    }

    /// A transaction begins with all that was published.
    pub(super) fn begin(&mut self) {
        self.under_way.append(&mut self.held);
        self.under_way.append(&mut self.published);
    }

    /// All that was published is in force without a transaction, but for what was refused: also what a transaction had
    /// held of which nothing is left to be sent.
    pub(super) fn settle<'r>(&mut self, refusals: impl Iterator<Item = &'r Refusal>, to: &Feedback) {
        let mut outcomes = std::mem::take(&mut self.held);
        outcomes.append(&mut self.published);
        if !outcomes.is_empty() {
            let generation = self.acknowledged;
            to.tell(generation, generation, overlaid(outcomes, refusals));
        }
    }

    /// The transaction under way is in force, but for what was refused before.
    pub(super) fn acknowledge<'r>(
        &mut self,
        generation: Generation,
        refusals: impl Iterator<Item = &'r Refusal>,
        to: &Feedback,
    ) {
        self.acknowledged = generation;
        let outcomes = std::mem::take(&mut self.under_way);
        to.tell(generation, generation, overlaid(outcomes, refusals));
    }

    /// The transaction under way is refused as a whole, or with it the objects of `refusal` alone.
    pub(super) fn refuse(&mut self, generation: Generation, refusal: &Refusal, whole: bool, to: &Feedback) {
        let refused = |outcome: &Outcome| outcome.refused(&refusal.reason, refusal.consequence);
        let objects = if whole { &self.under_way } else { &refusal.objects };
        let told = objects.iter().map(|(id, outcome)| (id.clone(), refused(outcome)));
        to.tell(generation, self.acknowledged, told.collect());
        self.part();
    }

    /// The peer is gone, and the answer to the transaction under way with it.
    pub(super) fn part(&mut self) {
        self.held.append(&mut self.under_way);
    }

    /// Likewise; the next peer has nothing.
    pub(super) fn lost(&mut self) {
        self.part();
        self.acknowledged = 0;
    }

    /// As these objects stand without a refusal.
    pub(super) fn without_refusal(&self, objects: BTreeSet<Id>) -> Outcomes {
        let known = |id: &Id| self.under_way.get(id).or_else(|| self.held.get(id)).cloned();
        // One that another object's change has brought into this is as it was: in force.
        let unchanged = Outcome {
            standing: Standing::InForce,
            origin: None,
            problems: Vec::new(),
            balanced: false,
        };
        let outcome = |id: &Id| known(id).unwrap_or_else(|| unchanged.clone());
        objects.into_iter().map(|id| (id.clone(), outcome(&id))).collect()
    }
}

/// The outcomes, with those refused that are.
fn overlaid<'r>(mut outcomes: Outcomes, refusals: impl Iterator<Item = &'r Refusal>) -> Outcomes {
    for refusal in refusals {
        for id in refusal.objects.keys() {
            if let Some(outcome) = outcomes.get_mut(id) {
                *outcome = outcome.refused(&refusal.reason, refusal.consequence);
            }
        }
    }
    outcomes
}
