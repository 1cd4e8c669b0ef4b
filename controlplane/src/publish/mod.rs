//! Keeps the dataplane's state equal to the compiled one.
//!
//! A `Journal` knows what separates the two; [`link`] holds the connection, over which one transaction is under way at
//! a time: what changes meanwhile goes into the next.

mod desk;
mod journal;
pub mod link;
#[cfg(test)]
mod tests;
