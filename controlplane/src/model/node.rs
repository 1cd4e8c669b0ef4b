//! Nodes: whom `nodes` of a ClusterNetworkPolicy means.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as k8s;

use super::address::address;
use super::invalid::Invalid;
use super::labels::Labels;
use super::sieve::Sieve;

/// A Node as far as policies are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `metadata.labels`.
    pub labels: Labels,
    /// `status.addresses` of type `InternalIP` and `ExternalIP`, in their order.
    pub addresses: Vec<IpAddr>,
}

impl Node {
    /// Reads what matters of a Node; addresses that are none are left out.
    ///
    /// # Errors
    ///
    /// Where none of its addresses is one.
    pub fn parse(node: &k8s::Node, sieve: &mut Sieve) -> Result<Self, Invalid> {
        let status = node.status.clone().unwrap_or_default();
        let listed = status.addresses.as_deref().unwrap_or_default();
        let addresses = sieve.some("status.addresses", listed, |entry, _| {
            match entry.type_.as_str() {
                "InternalIP" | "ExternalIP" => address("address", &entry.address).map(Some),
                // Names of the host; DNS knows them, packets do not.
                _ => Ok(None),
            }
        })?;
        Ok(Self {
            labels: Labels::of(node.metadata.labels.as_ref()),
            addresses: addresses.into_iter().flatten().collect(),
        })
    }
}
