//! Pods and nodes as the dataplane is told of them.

use std::net::IpAddr;

use headgate_ring::message::{Endpoint, EndpointPort, GroupId, Protocol};

use crate::model::{Labels, Node, ObjectName, Pod};

/// Whether policies can mean a pod. Pods of the host's network are left out: their addresses are the node's, and
/// Kubernetes says that selectors do not mean them. A pod that has ended has no address any more.
pub(super) fn has_address(pod: &Pod) -> bool {
    !pod.host_network && !pod.addresses.is_empty()
}

/// The endpoint of a pod that [`has_address`].
pub(super) fn of_pod(name: &ObjectName, pod: &Pod, mut groups: Vec<GroupId>) -> Endpoint {
    groups.sort_unstable();
    groups.dedup();
    Endpoint {
        name: name.to_string(),
        addresses: sorted(&pod.addresses),
        hosts: sorted(&pod.hosts),
        labels: pairs(&pod.labels),
        ports: pod.ports.iter().map(port).collect(),
        groups,
    }
}

/// The endpoint of a node; none where it has no address.
pub(super) fn of_node(name: &str, node: &Node, groups: Vec<GroupId>) -> Option<Endpoint> {
    (!node.addresses.is_empty()).then(|| Endpoint {
        name: name.to_owned(),
        addresses: sorted(&node.addresses),
        hosts: Vec::new(),
        labels: pairs(&node.labels),
        ports: Vec::new(),
        groups,
    })
}

fn sorted(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn pairs(labels: &Labels) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn port((name, protocol, number): &(String, Protocol, u16)) -> EndpointPort {
    EndpointPort {
        name: name.clone(),
        protocol: *protocol,
        number: *number,
    }
}
