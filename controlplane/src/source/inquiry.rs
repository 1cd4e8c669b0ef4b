//! Questions about the objects that are known, on the way that changes take: so they are asked of the state that there is,
//! between two batches, and nobody waits for a lock.

use std::fmt;

use crate::model::Model;

type Look = Box<dyn FnOnce(Option<&Model>) + Send>;

/// A look at all that is known.
pub struct Inquiry(Look);

impl Inquiry {
    /// `look` is given the model; `None` where not all that there is has been given yet. All else waits meanwhile.
    pub fn new(look: impl FnOnce(Option<&Model>) + Send + 'static) -> Self {
        Self(Box::new(look))
    }

    pub(super) fn answer(self, model: Option<&Model>) {
        (self.0)(model);
    }
}

impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inquiry")
    }
}
