//! What is wrong with an object.

use std::fmt;
use std::net::IpAddr;

/// The field that is wrong and why; displayed as `spec.ports[0].port: must be 1 to 65535, is 0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path from the object's root; empty where it is the object as such.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Invalid {
    /// `field` is wrong because of `reason`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same below `prefix`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') {
            ""
        } else {
            "."
        };
        self.field = format!("{prefix}{dot}{}", self.field);
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.field, self.reason)
        }
    }
}

impl std::error::Error for Invalid {}

/// Parses each element of a list; an error names the element's index.
pub fn each<T, U>(
    field: &str,
    list: &[T],
    mut parse: impl FnMut(&T) -> Result<U, Invalid>,
) -> Result<Vec<U>, Invalid> {
    let at = |index: usize| format!("{field}[{index}]");
    list.iter()
        .enumerate()
        .map(|(index, item)| parse(item).map_err(|e| e.under(&at(index))))
        .collect()
}

/// A port number, never 0.
pub fn port(field: &str, number: i32) -> Result<u16, Invalid> {
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Invalid::new(field, format!("must be 1 to 65535, is {number}"))),
    }
}

/// An IP address of one host; an IPv4 address in IPv6 clothes is taken as what it is.
pub fn address(field: &str, text: &str) -> Result<IpAddr, Invalid> {
    let parsed: Result<IpAddr, _> = text.parse();
    let address = parsed
        .map(|a| a.to_canonical())
        .map_err(|_| Invalid::new(field, format!("\"{text}\" is not an IP address")))?;
    // The dataplane refuses such an address, and with it the whole state.
    if is_unicast(address) {
        Ok(address)
    } else {
        let reason = format!("{address} must not be unspecified, multicast or broadcast");
        Err(Invalid::new(field, reason))
    }
}

/// Whether packets can be sent to one host by this address.
#[must_use]
pub fn is_unicast(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

/// An IP address that clients on other machines can connect to.
pub fn public_address(field: &str, text: &str) -> Result<IpAddr, Invalid> {
    let parsed = text.parse::<IpAddr>().map(|a| a.to_canonical());
    let address = parsed.map_err(|_| Invalid::new(field, format!("\"{text}\" is not an IP address")))?;
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if !is_unicast(address) || address.is_loopback() || link_local {
        let reason = format!("{address} must not be unspecified, loopback, link-local or multicast");
        return Err(Invalid::new(field, reason));
    }
    Ok(address)
}

/// A protocol; missing means TCP.
pub fn protocol(field: &str, name: Option<&str>) -> Result<headgate_ring::message::Protocol, Invalid> {
    use headgate_ring::message::Protocol;
    match name {
        None | Some("" | "TCP") => Ok(Protocol::Tcp),
        Some("UDP") => Ok(Protocol::Udp),
        Some("SCTP") => Ok(Protocol::Sctp),
        Some(other) => Err(Invalid::new(
            field,
            format!("\"{other}\" is none of TCP, UDP, SCTP"),
        )),
    }
}
