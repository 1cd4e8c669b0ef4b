//! Flags of the control plane: its own, and those about a cluster.

mod admission;
mod cluster;
mod status;
#[cfg(test)]
mod tests;

use headgate_controlplane::Options;

pub use admission::AdmissionOptions;
pub use cluster::ClusterOptions;
pub(crate) use status::Identity;
pub use status::StatusOptions;

/// What the control plane needs to know.
#[derive(Clone, Debug, clap::Args)]
pub struct PlaneOptions {
    /// Whatever the objects come from.
    #[command(flatten)]
    pub plane: Options,

    /// The cluster to follow instead of a directory.
    #[command(flatten)]
    pub cluster: ClusterOptions,

    /// What to write back to it.
    #[command(flatten)]
    pub status: StatusOptions,

    /// Whether to answer an API server that asks.
    #[command(flatten)]
    pub admission: AdmissionOptions,
}
