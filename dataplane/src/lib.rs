//! Headgate's dataplane: pinned workers that carry packets from AF_XDP sockets through the
//! [pipeline] and out again, and the [L7 stage](l7) that terminates HTTP on the same cores.
//!
//! Only [`worker`] does I/O and reads the clock; everything below it takes bytes and [`clock::Nanos`].
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod control;
pub mod fib;
pub mod flow;
pub mod hash;
pub mod host;
pub mod l7;
pub mod lb;
pub mod lpm;
pub mod options;
pub mod packet;
pub mod pipeline;
pub mod policy;
pub mod port;
mod start;
pub mod steering;
pub mod tcp;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod tracked;
pub mod verdict;
pub mod worker;

pub use options::Options;
pub use start::{RunError, run};
