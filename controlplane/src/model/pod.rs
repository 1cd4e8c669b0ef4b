//! Pods: who stands behind Services and whom NetworkPolicies guard.

use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::Protocol;
use k8s_openapi::api::core::v1 as k8s;

use super::address::address;
use super::invalid::{Invalid, port, protocol};
use super::labels::Labels;
use super::sieve::Sieve;

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
    pub ports: Arc<[(String, Protocol, u16)]>,
}

impl Pod {
    /// Reads what matters of a Pod; addresses and ports that are none are left out.
    ///
    /// # Errors
    ///
    /// Where it has addresses, and none of them is one.
    pub fn parse(pod: &k8s::Pod, sieve: &mut Sieve) -> Result<Self, Invalid> {
        let spec = pod.spec.clone().unwrap_or_default();
        let status = pod.status.clone().unwrap_or_default();
        let finished = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        Ok(Self {
            labels: Labels::of(pod.metadata.labels.as_ref()),
            addresses: if finished {
                Vec::new()
            } else {
                addresses(&status, sieve)?
            },
            hosts: hosts(&status, sieve),
            host_network: spec.host_network.unwrap_or(false),
            ready: !finished && ready(&status),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            ports: ports(&spec, sieve),
        })
    }

    /// Takes labels and ports of another, where they are the same: pods of a Deployment differ in little else than names
    /// and addresses.
    pub(crate) fn share(&mut self, other: &Self) {
        self.labels.share(&other.labels);
        if self.ports == other.ports {
            self.ports = other.ports.clone();
        }
    }

    /// The number of its port of that name.
    #[must_use]
    pub fn port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        let named = |(n, p, _): &&(String, Protocol, u16)| n == name && *p == protocol && !n.is_empty();
        self.ports.iter().find(named).map(|(_, _, number)| *number)
    }
}

fn hosts(status: &k8s::PodStatus, sieve: &mut Sieve) -> Vec<IpAddr> {
    let listed = status.host_ips.as_deref().unwrap_or_default();
    let mut hosts = sieve.each("status.hostIPs", listed, |host, _| address("ip", &host.ip));
    if let Some(ip) = status.host_ip.as_deref().filter(|ip| !ip.is_empty()) {
        hosts.extend(sieve.part("status.hostIP", |_| address("", ip)));
    }
    hosts
}

/// `validatePodIPs`: the first is `status.podIP`.
fn addresses(status: &k8s::PodStatus, sieve: &mut Sieve) -> Result<Vec<IpAddr>, Invalid> {
    let listed = status.pod_ips.as_deref().unwrap_or_default();
    let single = status.pod_ip.as_deref().filter(|ip| !ip.is_empty());
    let first = match single {
        Some(ip) if listed.is_empty() => Some(address("status.podIP", ip)?),
        Some(ip) => sieve.part("status.podIP", |_| address("", ip)),
        None => None,
    };
    let mut addresses = match first {
        Some(_) => sieve.each("status.podIPs", listed, |ip, _| address("ip", &ip.ip)),
        None => sieve.some("status.podIPs", listed, |ip, _| address("ip", &ip.ip))?,
    };
    if let Some(first) = first.filter(|first| !addresses.contains(first)) {
        addresses.insert(0, first);
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
fn ports(spec: &k8s::PodSpec, sieve: &mut Sieve) -> Arc<[(String, Protocol, u16)]> {
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let mut ports = Vec::new();
    for (list, containers) in [
        ("spec.containers", &spec.containers[..]),
        ("spec.initContainers", init),
    ] {
        let is_sidecar = |c: &k8s::Container| c.restart_policy.as_deref() == Some("Always");
        sieve.each(list, containers, |container, sieve| {
            if list == "spec.containers" || is_sidecar(container) {
                let listed = container.ports.as_deref().unwrap_or_default();
                ports.extend(sieve.each("ports", listed, |p, _| container_port(p)));
            }
            Ok(())
        });
    }
    ports.into()
}

/// `validateContainerPorts`, but for the port's name, which nothing refers to if it is none.
fn container_port(p: &k8s::ContainerPort) -> Result<(String, Protocol, u16), Invalid> {
    Ok((
        p.name.clone().unwrap_or_default(),
        protocol("protocol", p.protocol.as_deref())?,
        port("containerPort", p.container_port)?,
    ))
}
