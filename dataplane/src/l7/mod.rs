//! TLS, HTTP, routes and upstreams.
//!
//! The [`Stage`] of a worker takes the packets of L7 connections and gives the packets that answer them. A connection
//! is a task: TLS where the listener wants it, then HTTP/1.1, and for each request a route, an endpoint and a pooled
//! connection to it. All of it reads one [`Config`], which is replaced whole.

mod config;
mod route;
mod stage;
mod tls;

pub use config::{Config, ConfigError, ListenerKind};
pub use stage::{Allows, L7Status, Stage, StageConfig};
pub use tls::CertificateFault;
