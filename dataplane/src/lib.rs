//! Headgate's dataplane: pinned workers that carry packets from AF_XDP sockets through the
//! [pipeline] and out again, and the [L7 stage](headgate_l7) that terminates HTTP on the same cores.
//!
//! Only [`worker`] does I/O and reads the clock; everything below it takes bytes and [`Nanos`](headgate_net::clock::Nanos).
#![forbid(unsafe_code)]

pub mod config;
#[allow(
    clippy::disallowed_methods,
    reason = "a thread beside the workers, which waits"
)]
pub mod control;
pub mod host;
#[allow(
    clippy::disallowed_methods,
    reason = "a thread beside the workers, which waits"
)]
#[cfg(target_os = "linux")]
pub mod mirror;
pub mod options;
pub mod pipeline;
pub mod port;
#[allow(
    clippy::disallowed_methods,
    reason = "a thread beside the workers, which waits"
)]
mod service;
#[allow(
    clippy::disallowed_methods,
    reason = "a thread beside the workers, which waits"
)]
mod start;
pub mod steering;
#[allow(
    clippy::disallowed_methods,
    reason = "threads beside the workers, which wait and date"
)]
pub mod telemetry;
#[cfg(test)]
mod testing;
#[allow(
    clippy::disallowed_methods,
    reason = "workers read the clock for everything below them"
)]
pub mod worker;

pub use options::Options;
pub use start::{RunError, run};
