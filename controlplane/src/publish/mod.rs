//! Keeps the dataplane's state equal to the compiled one.
//!
//! The state is kept here and nowhere else: a `Desk` holds it for the compiler and for the thread that sends it. A
//! `Journal` knows what separates it from what the dataplane has; [`link`] holds the connection, over which one
//! transaction is under way at a time: what changes meanwhile goes into the next. What the answers say about objects goes
//! back to their source ([`feedback`](crate::feedback)).

mod awaiting;
mod desk;
mod journal;
pub mod link;
mod repeats;
#[cfg(test)]
mod tests;
