//! The API of a cluster as a source of objects, and what is written back to it.
//!
//! [`Kubernetes`] follows objects as the directory of manifests does; [`run`] is the control plane's process with either.
#![forbid(unsafe_code)]

mod access;
mod admission;
mod backoff;
mod call;
mod health;
mod intake;
mod options;
mod received;
mod references;
mod reflector;
mod refusal;
mod reply;
mod resource;
mod run;
mod source;
mod starting;
#[cfg(test)]
mod tests;
mod token;
mod troubles;
mod writing;

pub use access::{Access, AccessError};
pub use admission::{Admission, Rotation, ServerCertificate};
pub use options::{AdmissionOptions, ClusterOptions, PlaneOptions, StatusOptions};
pub use run::run;
pub use source::{Kubernetes, StartError, Watching};
pub use writing::{Publish, StatusAddress, WritingOptions};
