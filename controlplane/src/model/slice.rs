//! EndpointSlices: who stands behind a Service, as something else than Headgate has found out.

use std::net::IpAddr;

use headgate_ring::message::Protocol;
use k8s_openapi::api::discovery::v1 as k8s;

use super::address::address;
use super::invalid::{Invalid, port, protocol};
use super::name::ObjectName;
use super::sieve::Sieve;

/// The label that names a slice's Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// A slice as far as traffic is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The Service of the label `kubernetes.io/service-name`; a slice without it belongs to none.
    pub service: Option<ObjectName>,
    /// `ports`; those without a number (which means every port) are left out, as kube-proxy does.
    pub ports: Vec<SlicePort>,
    /// `endpoints`; empty for `addressType: FQDN`.
    pub endpoints: Vec<Endpoint>,
}

/// An element of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port; empty where it is missing.
    pub name: String,
    /// Missing means TCP.
    pub protocol: Protocol,
    /// Where the endpoint listens.
    pub port: u16,
}

/// Who can be sent traffic, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The first of `addresses` that is one: what more of them would mean is not defined.
    pub address: IpAddr,
    /// `conditions.ready`; missing means true.
    pub ready: bool,
    /// Able to serve while terminating: used where no endpoint is ready. `conditions.serving` (missing means true)
    /// and `conditions.terminating` (missing means false).
    pub draining: bool,
}

impl Slice {
    /// Reads what matters of an EndpointSlice in `namespace`; endpoints and ports that are none are left out.
    ///
    /// # Errors
    ///
    /// An `addressType` that is none, or lists of which no entry can be read.
    pub fn parse(slice: &k8s::EndpointSlice, namespace: &str, sieve: &mut Sieve) -> Result<Self, Invalid> {
        let labels = slice.metadata.labels.as_ref();
        let service = labels
            .and_then(|l| l.get(SERVICE_LABEL))
            .map(|name| ObjectName::new(namespace, name));
        let ports = slice.ports.as_deref().unwrap_or_default();
        let ports = sieve.some("ports", ports, |p, _| slice_port(p))?;
        let endpoints = &slice.endpoints;
        let endpoints = match slice.address_type.as_str() {
            "FQDN" => Vec::new(),
            "IPv4" => sieve.some("endpoints", endpoints, |e, sieve| endpoint(e, false, sieve))?,
            "IPv6" => sieve.some("endpoints", endpoints, |e, sieve| endpoint(e, true, sieve))?,
            other => {
                return Err(Invalid::new(
                    "addressType",
                    format!("\"{other}\" is none of IPv4, IPv6, FQDN"),
                ));
            }
        };
        Ok(Self {
            service,
            ports: ports.into_iter().flatten().collect(),
            endpoints,
        })
    }
}

/// `validatePorts`, but for the port's name. The API server does not ask how large a number is.
fn slice_port(p: &k8s::EndpointPort) -> Result<Option<SlicePort>, Invalid> {
    let protocol = protocol("protocol", p.protocol.as_deref())?;
    let Some(number) = p.port else { return Ok(None) };
    Ok(Some(SlicePort {
        name: p.name.clone().unwrap_or_default(),
        protocol,
        port: port("port", number)?,
    }))
}

/// `validateEndpoints`, but for addresses that only some networks have: loopback and link-local are taken.
fn endpoint(e: &k8s::Endpoint, ipv6: bool, sieve: &mut Sieve) -> Result<Endpoint, Invalid> {
    let of_type = |text: &String, _: &mut Sieve| match address("", text)? {
        address if address.is_ipv6() == ipv6 => Ok(address),
        _ => Err(Invalid::new(
            "",
            format!("\"{text}\" is not of the slice's addressType"),
        )),
    };
    let addresses = sieve.some("addresses", &e.addresses, of_type)?;
    let Some(address) = addresses.first() else {
        return Err(Invalid::new("addresses", "must hold at least one address"));
    };
    let conditions = e.conditions.clone().unwrap_or_default();
    let serving = conditions.serving.unwrap_or(true);
    Ok(Endpoint {
        address: *address,
        ready: conditions.ready.unwrap_or(true),
        draining: serving && conditions.terminating.unwrap_or(false),
    })
}
