//! Pods, each once.

use crate::compile::index::PodId;

#[derive(Debug, Default)]
pub(super) struct PodSet {
    /// Whether a pod is in it, by its number.
    inside: Vec<bool>,
    all: Vec<PodId>,
}

impl PodSet {
    pub(super) fn insert(&mut self, id: PodId) {
        let place = id as usize;
        if self.inside.len() <= place {
            self.inside.resize(place + 1, false);
        }
        if !std::mem::replace(&mut self.inside[place], true) {
            self.all.push(id);
        }
    }

    /// Empties it.
    pub(super) fn take(&mut self) -> Vec<PodId> {
        for id in &self.all {
            self.inside[*id as usize] = false;
        }
        std::mem::take(&mut self.all)
    }
}
