//! `--metrics ADDRESS:PORT`: the status as metrics, and whether Headgate lives and is ready, over HTTP.
//!
//! Everything is read from where it has been written down: no worker is asked, and none formats anything.

mod collect;
mod family;
mod listed;
mod objects;
mod process;
mod request;
mod server;
mod text;

#[cfg(test)]
mod tests;

pub use collect::families;
pub use family::{Buckets, Family, FamilyKind, LabelText, Sample, Value};
pub use server::MetricsServer;
pub use text::Format;

use clap::ValueEnum;

/// Objects of which each has metrics of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Detail {
    /// Ports of Services at each of their addresses: 8 series each
    Services,
    /// Routes of Ingresses: 7 series each, those without requests none
    Routes,
    /// Ports of Services as Ingresses use them: 20 series each, those without requests none
    Upstreams,
}
