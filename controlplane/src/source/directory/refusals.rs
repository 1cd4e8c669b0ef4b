//! What the dataplane has refused of the manifests, as lines of the log: a file has no status.

use std::collections::BTreeMap;

use crate::feedback::{Report, Standing};
use crate::model::Id;
use crate::problem::{News, Problem, Severity};

/// The refusals that stand, so that each is said once as long as it lasts.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    standing: BTreeMap<Id, Problem>,
}

impl Refusals {
    pub(super) fn update(&mut self, report: Report) -> News {
        let mut news = News::default();
        for (id, (_, outcome)) in report.outcomes {
            let before = self.standing.remove(&id);
            let Standing::Refused { reason, consequence } = outcome.standing else {
                news.mended.extend(before);
                continue;
            };
            let problem = Problem {
                severity: Severity::Error,
                origin: outcome.origin,
                object: Some(id.clone()),
                text: format!("is refused by the dataplane: {reason}; {consequence}"),
            };
            if before.is_none_or(|before| before.text != problem.text) {
                news.new.push(problem.clone());
            }
            self.standing.insert(id, problem);
        }
        news
    }
}
