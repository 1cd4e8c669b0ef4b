//! What holds for each list of the API, and what is noted where something in one is unknown.

use super::LIST_LIMIT;
use crate::model::invalid::Invalid;

/// A list of the API must not be longer than this.
pub(super) fn within_limit<T>(list: &[T], field: &str) -> Result<(), Invalid> {
    if list.len() <= LIST_LIMIT {
        return Ok(());
    }
    let reason = format!("must hold at most {LIST_LIMIT}, holds {}", list.len());
    Err(Invalid::new(field, reason))
}

/// A list that must also not be empty.
pub(super) fn filled<'a, T>(list: &'a [T], field: &str) -> Result<&'a [T], Invalid> {
    if list.is_empty() {
        return Err(Invalid::new(field, "must hold at least one"));
    }
    within_limit(list, field).map(|()| list)
}

/// Parts of a rule that nobody here knows the meaning of.
pub(super) struct Strange(pub(super) Vec<Invalid>);

impl Strange {
    /// Notes that `field` has nothing in it that is known, unless an unknown field in it has been noted already.
    pub(super) fn empty(&mut self, field: &str, reason: &str) {
        let below = |path: &str| path.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'));
        if !self.0.iter().any(|noted| below(&noted.field)) {
            self.0.push(Invalid::new(field, reason));
        }
    }
}
