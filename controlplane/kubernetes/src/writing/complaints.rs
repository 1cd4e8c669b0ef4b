//! What was said of failures, so that each is told once.

use std::collections::BTreeMap;

use crate::reply::Failure;

/// The cause that was told last, by what has failed.
#[derive(Debug, Default)]
pub(crate) struct Complaints(BTreeMap<&'static str, String>);

impl Complaints {
    /// The line about a failure, where it is news.
    pub(crate) fn news(&mut self, what: &'static str, failure: &Failure) -> Option<String> {
        let cause = match failure {
            // These name the object, and thousands may have the same cause.
            Failure::Forbidden(_) => "it is forbidden".to_owned(),
            Failure::Invalid(_) => "it is invalid".to_owned(),
            other => other.to_string(),
        };
        let news = self.0.get(what) != Some(&cause);
        self.0.insert(what, cause);
        news.then(|| format!("cannot {what}: {failure}; it is tried again"))
    }

    /// It works now: another failure of it is news.
    pub(crate) fn over(&mut self, what: &'static str) {
        self.0.remove(what);
    }
}
