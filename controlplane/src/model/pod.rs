//! Pods: who stands behind Services and whom NetworkPolicies guard.

use std::net::IpAddr;

use headgate_ring::message::Protocol;
use k8s_openapi::api::core::v1 as k8s;

use super::invalid::{Invalid, address, each, port, protocol};
use super::selector::Labels;

/// A Pod as far as traffic is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.labels`.
    pub labels: Labels,
    /// `status.podIPs`, or `status.podIP`; empty when it has none, or has finished.
    pub addresses: Vec<IpAddr>,
    /// `status.hostIPs`, or `status.hostIP`: the addresses of its node.
    pub hosts: Vec<IpAddr>,
    /// `spec.hostNetwork`: its addresses are the node's, so NetworkPolicy does not select it.
    pub host_network: bool,
    /// Able to serve: see `ready`.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// The ports of its containers, each with its name, empty where it has none; of those of one name and protocol the
    /// first counts.
    pub ports: Vec<(String, Protocol, u16)>,
}

impl Pod {
    /// Reads what matters of a Pod.
    ///
    /// # Errors
    ///
    /// A field that Kubernetes would refuse.
    pub fn parse(pod: &k8s::Pod) -> Result<Self, Invalid> {
        let spec = pod.spec.clone().unwrap_or_default();
        let status = pod.status.clone().unwrap_or_default();
        let finished = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        Ok(Self {
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            addresses: if finished { Vec::new() } else { addresses(&status)? },
            hosts: hosts(&status)?,
            host_network: spec.host_network.unwrap_or(false),
            ready: !finished && ready(&status),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            ports: ports(&spec)?,
        })
    }

    /// The number of its port of that name.
    #[must_use]
    pub fn port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        let named = |(n, p, _): &&(String, Protocol, u16)| n == name && *p == protocol && !n.is_empty();
        self.ports.iter().find(named).map(|(_, _, number)| *number)
    }
}

fn hosts(status: &k8s::PodStatus) -> Result<Vec<IpAddr>, Invalid> {
    let listed = status.host_ips.as_deref().unwrap_or_default();
    let mut hosts = each("status.hostIPs", listed, |host| address("ip", &host.ip))?;
    if let Some(ip) = status.host_ip.as_deref().filter(|ip| !ip.is_empty()) {
        hosts.push(address("status.hostIP", ip)?);
    }
    Ok(hosts)
}

fn addresses(status: &k8s::PodStatus) -> Result<Vec<IpAddr>, Invalid> {
    let listed = status.pod_ips.as_deref().unwrap_or_default();
    let mut addresses = each("status.podIPs", listed, |ip| address("ip", &ip.ip))?;
    if let Some(ip) = status.pod_ip.as_deref().filter(|ip| !ip.is_empty()) {
        let first = address("status.podIP", ip)?;
        if !addresses.contains(&first) {
            addresses.insert(0, first);
        }
    }
    Ok(addresses)
}

/// The condition `Ready` decides where there are conditions. A Pod without any (a manifest written by hand says
/// little about status) counts as ready when its phase is missing or `Running`.
fn ready(status: &k8s::PodStatus) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if conditions.is_empty() {
        return matches!(status.phase.as_deref(), None | Some("" | "Running"));
    }
    conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Ports of containers, then of sidecars (init containers that are restarted always), as Kubernetes looks them up.
fn ports(spec: &k8s::PodSpec) -> Result<Vec<(String, Protocol, u16)>, Invalid> {
    let mut ports = Vec::new();
    let sidecar = |c: &&k8s::Container| c.restart_policy.as_deref() == Some("Always");
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let containers = spec
        .containers
        .iter()
        .enumerate()
        .map(|(i, c)| (format!("spec.containers[{i}]"), c));
    let sidecars = init.iter().enumerate().filter(|(_, c)| sidecar(c));
    let sidecars = sidecars.map(|(i, c)| (format!("spec.initContainers[{i}]"), c));
    for (path, container) in containers.chain(sidecars) {
        let listed = container.ports.as_deref().unwrap_or_default();
        let parsed = each("ports", listed, |p| {
            Ok((
                p.name.clone().unwrap_or_default(),
                protocol("protocol", p.protocol.as_deref())?,
                port("containerPort", p.container_port)?,
            ))
        });
        ports.extend(parsed.map_err(|e| e.under(&path))?);
    }
    Ok(ports)
}
