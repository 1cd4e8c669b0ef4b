//! Services: from a frontend's address and port to one of its backends.
//!
//! [`Services::lookup`] finds the Service, [`BalancedService::pick`] a backend for a client. Both are pure functions of
//! configuration and packet: every node of a cluster picks the same backend for the same client, so a flow
//! that moves between nodes finds the one that it had.

mod maglev;
mod services;

pub use maglev::{MAX_BACKENDS, Maglev, MaglevError, table_size};
pub use services::{BalancedService, Services};

#[cfg(test)]
mod tests;
