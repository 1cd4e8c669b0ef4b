//! What ClusterNetworkPolicies mean, from manifests to decisions.

mod cases;
mod examples;
mod gateway;
mod manifests;
mod property;
mod world;
