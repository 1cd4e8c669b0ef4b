//! Headgate's dataplane: pinned workers that carry packets from AF_XDP sockets through the
//! [pipeline] and out again, and the [L7 stage](headgate_l7) that terminates HTTP on the same cores.
//!
//! Only [`worker`] does I/O and reads the clock; everything below it takes bytes and [`Nanos`](headgate_net::clock::Nanos).
#![forbid(unsafe_code)]

pub mod config;
pub mod control;
pub mod host;
pub mod mirror;
pub mod options;
pub mod pipeline;
pub mod port;
mod start;
pub mod steering;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod worker;

pub use options::Options;
pub use start::{RunError, run};
