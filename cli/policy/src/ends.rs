//! What people call the ends of a connection, and ports.

use std::borrow::Cow;
use std::net::IpAddr;

use headgate_ring::message::{EndpointPort, Protocol};

use super::snapshot::{Absent, PolicySnapshot};

/// One end of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GivenEnd<'a> {
    /// Never empty.
    pub(super) addresses: Cow<'a, [IpAddr]>,
    /// What is worth knowing about it.
    pub(super) note: Option<String>,
}

/// A destination port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GivenPort {
    /// Never 0.
    Number(u16),
    /// As the destination pod's containers call it.
    Name(String),
}

impl GivenPort {
    /// A number, or else a name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b'-' || b == b'+' || b == b'.')
        {
            let number = text.parse().ok().filter(|number| *number != 0);
            return number
                .map(Self::Number)
                .ok_or_else(|| format!("must be 1 to 65535 or a port's name, is {text:?}"));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

/// `TCP`, `udp` and so on.
pub(crate) fn protocol(text: &str) -> Result<Protocol, String> {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let named = |protocol: &Protocol| protocol.to_string().eq_ignore_ascii_case(text);
    let found = all.into_iter().find(named);
    found.ok_or_else(|| format!("must be TCP, UDP or SCTP, is {text:?}"))
}

/// `443` or `UDP:53`.
pub(crate) fn protocol_port(text: &str) -> Result<(Protocol, u16), String> {
    let (name, number) = text.split_once(':').unwrap_or(("TCP", text));
    let protocol = protocol(name)?;
    let port = number.parse().ok().filter(|port| *port != 0);
    port.map(|port| (protocol, port))
        .ok_or_else(|| format!("the port must be 1 to 65535, is {number:?}"))
}

impl PolicySnapshot {
    /// Finds an end by `NAMESPACE/POD`, node or address.
    pub(super) fn end(&self, text: &str) -> Result<GivenEnd<'_>, String> {
        if let Some(endpoint) = self.endpoint(text) {
            if endpoint.addresses.is_empty() {
                return Err(format!("{text} has no address"));
            }
            return Ok(GivenEnd {
                addresses: Cow::Borrowed(&endpoint.addresses),
                note: self.planned.contains(text).then(|| {
                    format!(
                        "{text} does not run yet: {} stands in for its address",
                        endpoint.addresses[0]
                    )
                }),
            });
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return of_address(address.to_canonical());
        }
        match self.absent.get(text) {
            Some(Absent::NoAddress) => Err(format!("{text} has no address (yet, or any more)")),
            Some(Absent::HostNetwork { addresses, .. }) => Ok(GivenEnd {
                addresses: Cow::Borrowed(addresses),
                note: Some(format!(
                    "{text} uses its node's network: policies see the node's address, and no podSelector selects it"
                )),
            }),
            None => Err(self.unknown(text)),
        }
    }

    /// The port's number at the destination.
    pub(super) fn port(
        &self,
        to: &str,
        end: &GivenEnd<'_>,
        port: &GivenPort,
        protocol: Protocol,
    ) -> Result<u16, String> {
        let name = match port {
            GivenPort::Number(number) => return Ok(*number),
            GivenPort::Name(name) => name,
        };
        let named = |port: &&EndpointPort| port.name == *name && port.protocol == protocol;
        let of_absent = match self.absent.get(to) {
            Some(Absent::HostNetwork { ports, .. }) => ports.iter().find(named),
            _ => None,
        };
        let found = of_absent.or_else(|| {
            let endpoints = end
                .addresses
                .iter()
                .flat_map(|address| self.endpoints_at(*address));
            let mut endpoints = endpoints.filter(|e| e.name == to || to.parse::<IpAddr>().is_ok());
            endpoints.find_map(|e| e.ports.iter().find(named))
        });
        found
            .map(|port| port.number)
            .ok_or_else(|| format!("{to} has no {protocol} port of the name {name:?}"))
    }

    fn unknown(&self, text: &str) -> String {
        if text.contains('/') {
            return format!("there is no pod {text}");
        }
        let suffix = format!("/{text}");
        let namesake = self.endpoints.iter().find(|e| e.name.ends_with(&suffix));
        let example = namesake.map_or("shop/web", |e| e.name.as_str());
        format!("{text:?} is neither an address nor a node; a pod is NAMESPACE/POD, as in {example}")
    }
}

fn of_address(address: IpAddr) -> Result<GivenEnd<'static>, String> {
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} is no address of a single host"));
    }
    Ok(GivenEnd {
        addresses: Cow::Owned(vec![address]),
        note: None,
    })
}
