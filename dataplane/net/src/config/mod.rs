//! Ring messages, checked.
//!
//! [`State`] holds the control plane's objects, each checked; a transaction changes it whole or not at all. The control plane is
//! trusted to mean well, not to be free of bugs: whatever it sends is checked, and an error names the object and the field.

mod check;
mod error;
mod state;

pub use error::ConfigError;
pub use state::{Change, State, Stored, Undo};
