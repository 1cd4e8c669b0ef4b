//! What is wrong with a transaction.

use headgate_ring::message::Key;

use crate::fault::Fault;

/// Why a transaction was refused: one object's field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}{field}{reason}", object = Lead(object), field = Lead(field))]
pub struct ConfigError {
    /// The object, where it is one.
    pub key: Option<Box<Key>>,
    /// Kind and name, as `Service 198.51.100.10 TCP 80`; empty where the reason names it.
    pub object: String,
    /// The field, as `backends[3]`; empty where the reason names it.
    pub field: String,
    /// What is wrong with it, and what it should be.
    pub reason: String,
}

impl ConfigError {
    /// An error in a field of the object with this key.
    pub fn new(key: &Key, fault: Fault) -> Self {
        Self {
            key: Some(Box::new(key.clone())),
            object: key.to_string(),
            field: fault.field,
            reason: fault.reason,
        }
    }

    /// An error for which no object is to blame.
    #[must_use]
    pub fn whole(fault: Fault) -> Self {
        Self {
            key: None,
            object: String::new(),
            field: fault.field,
            reason: fault.reason,
        }
    }
}

/// What stands before the reason, if anything does.
struct Lead<'a>(&'a str);

impl std::fmt::Display for Lead<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, "{}: ", self.0)
        }
    }
}
