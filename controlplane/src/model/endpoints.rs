//! Endpoints, `v1`: who stands behind a Service without selector, as it was written before there were EndpointSlices.
//!
//! In a cluster the controller of EndpointSlice mirroring makes slices of them (`pkg/controller/endpointslicemirroring`
//! of Kubernetes), and nothing else reads them. So it is here.

use k8s_openapi::api::core::v1 as k8s;

use super::address::address;
use super::invalid::{Invalid, port, protocol};
use super::name::ObjectName;
use super::sieve::Sieve;
use super::slice::{Endpoint, Slice, SlicePort};

/// Where it is `true`, the object is not mirrored.
const SKIP_LABEL: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Objects with it are locks of somebody's election, and stand behind nothing.
const LEADER_ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";
/// How many addresses of a subset are mirrored: `--mirroring-max-endpoints-per-subset` where it is not given.
const SUBSET_ADDRESSES: usize = 1000;

/// The slices that mirroring makes of an Endpoints object, one for each subset; none where it is not to be mirrored.
///
/// They stand for the Service of the same name, if it has no selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored(pub Vec<Slice>);

impl Mirrored {
    /// Reads what matters of an Endpoints object of this name; addresses and ports that are none are left out.
    ///
    /// # Errors
    ///
    /// Where there are subsets, and none of them can be read.
    pub fn parse(endpoints: &k8s::Endpoints, name: &ObjectName, sieve: &mut Sieve) -> Result<Self, Invalid> {
        let metadata = &endpoints.metadata;
        let label = metadata.labels.as_ref().and_then(|labels| labels.get(SKIP_LABEL));
        let annotations = metadata.annotations.as_ref();
        let is_lock = annotations.is_some_and(|annotations| annotations.contains_key(LEADER_ANNOTATION));
        if is_lock || label.is_some_and(|value| value == "true") {
            return Ok(Self(Vec::new()));
        }
        let subsets = endpoints.subsets.as_deref().unwrap_or_default();
        let slices = sieve.some("subsets", subsets, |subset, sieve| slice(subset, name, sieve))?;
        Ok(Self(slices))
    }
}

/// `validateEndpointSubsets`, and the mirroring controller's `reconcile`: ready addresses come first.
fn slice(subset: &k8s::EndpointSubset, name: &ObjectName, sieve: &mut Sieve) -> Result<Slice, Invalid> {
    let ready = subset.addresses.as_deref().unwrap_or_default();
    let waiting = subset.not_ready_addresses.as_deref().unwrap_or_default();
    let endpoint = |ready| {
        move |written: &k8s::EndpointAddress, _: &mut Sieve| {
            Ok(Endpoint {
                address: address("ip", &written.ip)?,
                ready,
                draining: false,
            })
        }
    };
    let mut endpoints = sieve.each("addresses", ready, endpoint(true));
    endpoints.extend(sieve.each("notReadyAddresses", waiting, endpoint(false)));
    if endpoints.len() > SUBSET_ADDRESSES {
        let reason = format!(
            "of {} addresses the first {SUBSET_ADDRESSES} are used, as in mirroring; EndpointSlices have room for more",
            endpoints.len()
        );
        sieve.remark("", reason);
        endpoints.truncate(SUBSET_ADDRESSES);
    }
    let ports = subset.ports.as_deref().unwrap_or_default();
    Ok(Slice {
        service: Some(name.clone()),
        ports: sieve.some("ports", ports, |p, _| subset_port(p))?,
        endpoints,
    })
}

fn subset_port(p: &k8s::EndpointPort) -> Result<SlicePort, Invalid> {
    Ok(SlicePort {
        name: p.name.clone().unwrap_or_default(),
        protocol: protocol("protocol", p.protocol.as_deref())?,
        port: port("port", p.port)?,
    })
}
