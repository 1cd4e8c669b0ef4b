//! A stand-in for the Kubernetes API server: for tests, the demo and benches.
//!
//! It keeps objects in memory and speaks the API as the real server does, as far as controllers and `kubectl` look: TLS
//! with HTTP/1.1 and HTTP/2, lists in chunks, watches with bookmarks, initial events and expiry, conflicts, all four kinds
//! of patches, subresources, roles, discovery, and servers of several ages. And it fails as real servers fail, when a test
//! wants that ([`Faults`]). There is no controller behind it: no Deployment makes Pods, and no Service EndpointSlices.
//!
//! ```no_run
//! use headgate_apiserver::{ApiServer, Fault, Settings};
//!
//! let server = ApiServer::start(Settings::default())?;
//! server.store().apply(&serde_json::json!({
//!     "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"},
//! }))?;
//! server.faults().add(Fault::status(503).verbs(["list"]).times(3));
//! let kubeconfig = server.kubeconfig();
//! # anyhow::Ok(())
//! ```

#![forbid(unsafe_code)]

mod access;
mod admission;
mod answer;
mod body;
mod clock;
mod convert;
mod definitions;
mod discovery;
mod failure;
mod faults;
mod handle;
mod journal;
mod keyspace;
mod kubeconfig;
mod openapi;
mod patch;
mod profile;
mod proto;
mod read;
mod registry;
mod request;
mod resources;
mod reviews;
mod route;
mod select;
mod server;
mod settings;
mod shared;
mod store;
mod table;
mod types;
mod write;

pub use access::{Authorization, Rule, User};
pub use definitions::cluster_network_policies;
pub use faults::{Fault, Faults};
pub use handle::{ApiServer, Frozen};
pub use journal::{Entry, Journal};
pub use profile::{Age, StreamingLists};
pub use settings::Settings;
pub use store::Store;
