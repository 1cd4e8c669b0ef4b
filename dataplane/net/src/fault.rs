//! What is wrong with an object, for whoever knows which one it is.

/// An error in a field of an object whose name the caller adds.
#[derive(Debug)]
pub struct Fault {
    /// As `backends[3]`; empty where the reason names it.
    pub field: String,
    /// What is wrong with it, and what it should be.
    pub reason: String,
}

impl Fault {
    /// `field` may be empty where the caller adds the path to it.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// Puts the path to the field's owner in front: `port` becomes `backends[3].port`.
    #[must_use]
    pub fn within(mut self, path: impl std::fmt::Display) -> Self {
        self.field = if self.field.is_empty() {
            path.to_string()
        } else {
            format!("{path}.{}", self.field)
        };
        self
    }
}
