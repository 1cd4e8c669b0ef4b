//! TLS, HTTP, routes and upstreams.
//!
//! The [`Stage`] of a worker takes the packets of L7 connections and gives the packets that answer them. A client's
//! connection, and the exchange with a pod that goes on over it, is one record of the `engine`, which goes as far as it can
//! whenever something has happened on either side. A request finds its route, keeps it to its end, and goes to an endpoint by
//! a connection that is kept for the next one. All of it reads one [`Config`], which is replaced; what did not change in it is
//! the same as before.
//!
//! Connections are those of our own TCP on the packets of a worker, or the kernel's: `net` alone knows. TLS is between them and
//! HTTP: `wire` alone knows.
//!
//! ```text
//! Stage, Sockets ─ engine ─ client ─── exchange ─────────── upstream
//!                           │ wire: TLS  │ request: admit,    └ links kept
//!                           │ h1: heads  │ choose, record       and leased
//!                           └ tunnels    └ upload, download
//! ```

#![forbid(unsafe_code)]

mod buffer;
mod by_number;
mod config;
mod counters;
mod current;
mod endpoints;
mod engine;
mod gateway;
mod h1;
mod h2;
mod headers;
mod http;
mod limits;
mod net;
mod proxy_protocol;
mod ready;
mod request;
mod shares;
mod shortage;
mod sockets;
mod stage;
mod tls;
mod upstream;
mod wire;

pub use config::{Changes, Config};
pub use current::Allows;
#[cfg(any(test, feature = "harness"))]
pub use h1::fuzz::fuzz;
#[cfg(any(test, feature = "harness"))]
pub use h2::{
    connection::fuzz::fuzz as fuzz_connection, head::fuzz::fuzz as fuzz_head, hpack::fuzz::fuzz as fuzz_hpack,
};
pub use http::{Http, HttpConfig};
pub use limits::Limits;
pub use net::ByKernel;
pub use sockets::{DescriptorShare, Sockets};
pub use stage::{Stage, StageConfig};

#[cfg(test)]
mod tests;
