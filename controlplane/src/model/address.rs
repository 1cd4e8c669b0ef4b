//! IP addresses and networks, in every form that the API server takes.
//!
//! Kubernetes reads them with the parser that Go had before 1.17 (`ParseIPSloppy` and `ParseCIDRSloppy` of
//! `k8s.io/utils/net`, called by `IsValidIP`, `IsValidCIDR` and their kin for legacy fields): numbers may begin with
//! zeros, which do not make them octal, and an IPv4 address in IPv6 notation is that IPv4 address. New objects are
//! checked more strictly by servers that have the gate `StrictIPCIDRValidation`; stored ones never are.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::invalid::Invalid;

/// The address that a text is, `None` where it is none; an IPv4 address in IPv6 notation is taken as what it is.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let address: Result<IpAddr, _> = text.parse();
    let address = address.or_else(|_| without_leading_zeros(text).parse());
    address.ok().map(|address| address.to_canonical())
}

/// The network that a text in CIDR notation means: bits behind the prefix do not count, and a part of
/// `::ffff:0:0/96` is a network of IPv4.
#[must_use]
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    let (address, prefix) = text.split_once('/')?;
    // `parse` alone would take a sign.
    if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let plain: IpAddr = address
        .parse()
        .or_else(|_| without_leading_zeros(address).parse())
        .ok()?;
    let network = IpNet::new(plain, prefix.parse().ok()?).ok()?.trunc();
    Some(match network {
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
            (Some(v4), Some(length)) => Ipv4Net::new(v4, length).map_or(network, IpNet::V4),
            _ => network,
        },
        IpNet::V4(_) => network,
    })
}

/// The same groups, each without the zeros that it begins with.
fn without_leading_zeros(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for group in text.split_inclusive([':', '.']) {
        let (number, end) = match group.strip_suffix([':', '.']) {
            Some(number) => group.split_at(number.len()),
            None => (group, ""),
        };
        let significant = number.trim_start_matches('0');
        plain.push_str(if significant.is_empty() && !number.is_empty() {
            "0"
        } else {
            significant
        });
        plain.push_str(end);
    }
    plain
}

/// An IP address of one host.
pub fn address(field: &str, text: &str) -> Result<IpAddr, Invalid> {
    let address = parse_ip(text).ok_or_else(|| no_address(field, text))?;
    // Nobody can be sent packets there; the dataplane would refuse it.
    if is_unicast(address) {
        Ok(address)
    } else {
        let reason = format!("{address} must not be unspecified, multicast or broadcast");
        Err(Invalid::new(field, reason))
    }
}

/// An IP address that clients on other machines can connect to, as the API server's `ValidateNonSpecialIP` has it
/// for `externalIPs` and endpoints.
pub fn public_address(field: &str, text: &str) -> Result<IpAddr, Invalid> {
    let address = parse_ip(text).ok_or_else(|| no_address(field, text))?;
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

fn no_address(field: &str, text: &str) -> Invalid {
    Invalid::new(field, format!("\"{text}\" is not an IP address"))
}

/// Whether packets can be sent to one host by this address.
#[must_use]
pub fn is_unicast(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

/// A network in CIDR notation (`IsValidCIDRForLegacyField`).
pub fn network(field: &str, text: &str) -> Result<IpNet, Invalid> {
    parse_cidr(text).ok_or_else(|| no_network(field, text))
}

/// Likewise in the one form that CRDs take (`isCIDR` in their rules): bits behind the prefix do not count, but numbers
/// begin with no zero.
pub fn plain_network(field: &str, text: &str) -> Result<IpNet, Invalid> {
    let parsed: Result<IpNet, _> = text.parse();
    parsed
        .map(|network| network.trunc())
        .map_err(|_| no_network(field, text))
}

fn no_network(field: &str, text: &str) -> Invalid {
    let reason = format!("\"{text}\" is not a network in CIDR notation, as in \"10.0.0.0/8\"");
    Invalid::new(field, reason)
}
