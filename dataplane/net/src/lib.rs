//! What a packet means and what becomes of it: bytes and [times](clock::Nanos) in, decisions out.
//!
//! Nothing here does I/O, reads a clock while it decides, or knows of tasks. Tables are compiled from what the control plane
//! says ([`config`]) and then only read.
#![forbid(unsafe_code)]

pub mod bucket;
pub mod clock;
pub mod config;
pub mod counted;
mod double_buffered;
pub mod fault;
pub mod fib;
pub mod flow;
pub mod hash;
pub mod ids;
pub mod lb;
pub mod lpm;
pub mod number;
pub mod phase;
pub mod policy;
mod probing;
pub mod record;
pub mod routes;
pub mod verdict;
pub mod wire;
