//! The control plane: Kubernetes objects in, dataplane state out.
//!
//! A [`source`] yields objects, [`model`] makes checked types of them, [`compile`] resolves them to what the dataplane
//! understands, and [`publish`] sends it what has changed; what it answers goes back to the source as [`feedback`]. A bad object or file costs one line and nothing else: the
//! last good state of it stays in force. `docs/manifests.md` says what is read and how it is understood.
#![forbid(unsafe_code)]

pub mod admission;
pub mod compile;
pub mod feedback;
mod few;
pub mod follow;
#[cfg(any(test, feature = "harness"))]
pub mod harness;
pub mod model;
mod options;
pub mod pack;
mod privileges;
pub mod problem;
pub mod publish;
mod run;
pub mod server_text;
pub mod source;
#[cfg(test)]
mod testing;

pub use options::{IngressOptions, Options, ServiceOptions, object_name};
pub use run::{RunError, Wake, drive, run_directory, run_source};
