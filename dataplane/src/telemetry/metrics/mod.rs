//! `--metrics ADDRESS:PORT`: the status as metrics, and whether Headgate lives and is ready, over HTTP.
//!
//! Everything is read from where it has been written down: no worker is asked, and none formats anything.

mod collect;
mod family;
mod request;
mod server;
mod text;

#[cfg(test)]
mod tests;

pub use collect::families;
pub use family::{Buckets, Family, Kind, Label, Sample, Value};
pub use server::MetricsServer;
pub use text::Format;
