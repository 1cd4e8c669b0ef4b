//! TLS, HTTP, routes and upstreams.
//!
//! The [`Stage`] of a worker takes the packets of L7 connections and gives the packets that answer them. A client's
//! connection is a task: TLS where the listener wants it, then HTTP/1.1, which hands on requests one by one, each with
//! what cuts it. A request finds its route, keeps it to its end, and goes to an endpoint by a link that it has a ticket of.
//! All of it reads one [`Config`], which is replaced; what did not change in it is the same as before.
//!
//! Connections are those of our own TCP on the packets of a worker, or the kernel's: `net` alone knows.
//!
//! ```text
//! Stage ─ conn ─────────── request ───────────── upstream
//!         │ tls            │ admit: route          │ pool of links
//!         │ h1: bytes,     │ choose: endpoint      └ ticket: one exchange
//!         │ framing,       │ send, respond
//!         └ tunnels        └ record
//! ```

#![forbid(unsafe_code)]

mod body;
mod by_number;
mod clock;
mod config;
mod conn;
mod counters;
mod current;
mod endpoints;
mod headers;
mod http;
mod io;
mod limits;
mod net;
mod request;
mod running;
mod sockets;
mod stage;
mod tls;
mod upstream;

pub use config::{Changes, Config};
pub use current::Allows;
pub use http::{Http, HttpConfig};
pub use limits::Limits;
pub use net::ByKernel;
pub use sockets::{DescriptorShare, Sockets};
pub use stage::{Stage, StageConfig};

#[cfg(test)]
mod tests;
