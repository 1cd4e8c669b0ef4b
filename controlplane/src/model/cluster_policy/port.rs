//! `protocols` of the rules of ClusterNetworkPolicies.

use headgate_ring::message::Protocol;

use super::ClusterPolicyPort;
use super::limits::{Strange, filled};
use super::written::{WrittenProtocol, WrittenRange, WrittenRule, WrittenTransport};
use crate::model::invalid::{Invalid, port};

/// `None` where the rule has none: every port of every protocol. Those that are unknown are left out, and noted.
pub(super) fn ports(
    rule: &WrittenRule,
    strange: &mut Strange,
) -> Result<Option<Vec<ClusterPolicyPort>>, Invalid> {
    let Some(list) = rule.protocols.as_deref() else {
        return Ok(None);
    };
    let mut ports = Vec::with_capacity(list.len());
    for (index, written) in filled(list, "protocols")?.iter().enumerate() {
        let at = format!("protocols[{index}]");
        ports.extend(protocol(written, &at, strange).map_err(|e| e.under(&at))?);
    }
    Ok(Some(ports))
}

/// `None` where it is unknown what is meant; `strange` then says so.
fn protocol(
    written: &WrittenProtocol,
    at: &str,
    strange: &mut Strange,
) -> Result<Option<ClusterPolicyPort>, Invalid> {
    let transports = [
        ("tcp", Protocol::Tcp, &written.tcp),
        ("udp", Protocol::Udp, &written.udp),
        ("sctp", Protocol::Sctp, &written.sctp),
    ];
    let mut set = transports
        .iter()
        .filter_map(|(field, protocol, transport)| Some((*field, *protocol, transport.as_ref()?)));
    // An empty name is no name: the API's own types leave it out.
    let named = written
        .destination_named_port
        .as_deref()
        .filter(|name| !name.is_empty());
    match (set.next(), named, set.next()) {
        (Some((field, protocol, transport)), None, None) => {
            let port = destination(transport, protocol, &format!("{at}.{field}"), strange);
            port.map_err(|e| e.under(field))
        }
        (None, Some(name), None) => Ok(Some(ClusterPolicyPort::Named(name.to_owned()))),
        (None, None, None) => {
            strange.empty(at, "names no protocol that is known");
            Ok(None)
        }
        _ => Err(Invalid::new(
            "",
            "must have only one of tcp, udp, sctp, destinationNamedPort",
        )),
    }
}

/// Every port of the protocol where none is named.
fn destination(
    transport: &WrittenTransport,
    protocol: Protocol,
    at: &str,
    strange: &mut Strange,
) -> Result<Option<ClusterPolicyPort>, Invalid> {
    let range = |first, last| Ok(Some(ClusterPolicyPort::Range(protocol, first, last)));
    let Some(written) = &transport.destination_port else {
        return range(0, u16::MAX);
    };
    match (written.number, &written.range) {
        (Some(number), None) => {
            let number = port("destinationPort.number", number)?;
            range(number, number)
        }
        (None, Some(written)) => {
            let (first, last) = bounds(written).map_err(|e| e.under("destinationPort.range"))?;
            range(first, last)
        }
        (None, None) => {
            strange.empty(&format!("{at}.destinationPort"), "names no port that is known");
            Ok(None)
        }
        (Some(_), Some(_)) => Err(Invalid::new(
            "destinationPort",
            "must have only one of number, range",
        )),
    }
}

fn bounds(written: &WrittenRange) -> Result<(u16, u16), Invalid> {
    let bound =
        |name: &str, number: Option<i32>| port(name, number.ok_or_else(|| Invalid::new(name, "is missing"))?);
    let (first, last) = (bound("start", written.start)?, bound("end", written.end)?);
    if first < last {
        return Ok((first, last));
    }
    Err(Invalid::new(
        "end",
        format!("must be above start {first}, is {last}"),
    ))
}
