//! Heads of answers that nobody has looked at.

use crate::h2::head::ResponseSection;

/// A head of an answer.
#[derive(Debug, Default)]
pub(crate) struct AnswerHead {
    pub(crate) section: ResponseSection,
    /// Whether nothing follows it.
    pub(crate) ends: bool,
    /// The one that came after it.
    pub(super) next: Option<Box<AnswerHead>>,
}
