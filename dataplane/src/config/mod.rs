//! Ring messages, checked and compiled to tables.
//!
//! [`State`] holds the control plane's objects, each checked; a transaction changes it whole or not at all.
//! [`Tables`] are what workers read, compiled from a state, with all that did not change taken over from the
//! tables before. The control plane is trusted to mean well, not to be free of bugs: whatever it sends is
//! checked, and an error names the object and the field.

mod http;
mod tables;

pub use headgate_net::config::{ConfigError, State, Undo};
pub use tables::{Listeners, Managed, Tables};

#[cfg(test)]
mod tests;
