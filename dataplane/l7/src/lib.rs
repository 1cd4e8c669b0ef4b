//! TLS, HTTP, routes and upstreams.
//!
//! The [`Stage`] of a worker takes the packets of L7 connections and gives the packets that answer them. A client's
//! connection is a task: TLS where the listener wants it, then HTTP/1.1, and for each request a route, an endpoint
//! and a pooled connection to it. All of it reads one [`Config`], which is replaced whole.
//!
//! Connections are those of our own TCP on the packets of a worker, or the kernel's: `net` alone knows.
//!
//! ```text
//! Stage ─ http::serve ─ proxy::handle ─ route ─ middleware ─ upstream ─ body
//!         │ tls           │ one request                     │ pooled connections
//!         │ scan          └ answer: what no pod answers     └ net::Net::connect
//! ```

#![forbid(unsafe_code)]

mod answer;
mod body;
mod config;
mod counters;
mod http;
mod limits;
mod middleware;
mod net;
mod proxy;
mod running;
mod sockets;
mod stage;
mod tls;
mod upstream;

pub use config::Config;
pub use counters::{Classes, L7Counters, Latency};
pub use limits::Limits;
pub use sockets::Sockets;
pub use stage::{Allows, Http, HttpConfig, L7Status, Stage, StageConfig};

use stage::Shared;

#[cfg(test)]
mod tests;
