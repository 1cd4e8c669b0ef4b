//! Which pods have which address. Two of them may have one: the object of a pod that is being deleted may outlive its
//! address, which by then is another pod's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use foldhash::HashMap;

use super::PodId;
use super::labels::remove;
use crate::model::Pod;

#[derive(Debug, Default)]
pub(super) struct Addresses {
    holders: HashMap<IpAddr, Vec<Holder>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Holder {
    pod: PodId,
    /// It yields to one that is not.
    terminating: bool,
}

/// Pods of the host's network have the node's addresses, and so has everybody else there.
fn own(pod: &Pod) -> &[IpAddr] {
    if pod.host_network { &[] } else { &pod.addresses }
}

impl Addresses {
    pub(super) fn insert(&mut self, id: PodId, pod: &Pod) {
        for address in own(pod) {
            self.holders.entry(*address).or_default().push(Holder {
                pod: id,
                terminating: pod.terminating,
            });
        }
    }

    pub(super) fn remove(&mut self, id: PodId, pod: &Pod) {
        let holder = Holder {
            pod: id,
            terminating: pod.terminating,
        };
        for address in own(pod) {
            if let Some(holders) = self.holders.get_mut(address) {
                remove(holders, &holder);
                if holders.is_empty() {
                    self.holders.remove(address);
                }
            }
        }
    }

    /// The addresses that are left to a pod; `None` where all are. One that is being deleted has none that a pod has
    /// that is not: what it may do, nobody else shall do in its name.
    pub(super) fn left(&self, id: PodId, pod: &Pod) -> Option<Vec<IpAddr>> {
        let taken = |address: &IpAddr| {
            let mut holders = self.holders.get(address).into_iter().flatten();
            holders.any(|holder| holder.pod != id && !holder.terminating)
        };
        if !pod.terminating || !own(pod).iter().any(taken) {
            return None;
        }
        let left = pod.addresses.iter().filter(|address| !taken(address));
        Some(left.copied().collect())
    }

    /// The addresses that a pod had or has.
    pub(super) fn touched(old: Option<&Pod>, new: Option<&Pod>) -> BTreeSet<IpAddr> {
        let pods = old.into_iter().chain(new);
        pods.flat_map(own).copied().collect()
    }

    /// The pods that are being deleted and have one of these.
    pub(super) fn yielding(&self, addresses: &BTreeSet<IpAddr>) -> BTreeSet<PodId> {
        let holders = addresses.iter().filter_map(|address| self.holders.get(address));
        let yielding = holders.flatten().filter(|holder| holder.terminating);
        yielding.map(|holder| holder.pod).collect()
    }
}

#[cfg(test)]
impl Addresses {
    pub(super) fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }
}
