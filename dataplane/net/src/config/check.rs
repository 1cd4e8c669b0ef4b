//! Each object's own rules, as `message` states them.

use std::net::{IpAddr, SocketAddr};

use headgate_ring::message::{
    Action, Certificate, Endpoint, Filters, Group, Listener, Object, PathMatch, Peer, Policy, PolicyRule,
    PortRange, Redirect, Route, Service, TextMatch, Tier, Upstream, ValueMatch, VirtualHost,
};

use crate::fault::Fault;
use crate::{lb, routes};

/// `spec.sessionAffinityConfig.clientIP.timeoutSeconds` is at most a day.
const AFFINITY_LIMIT: u32 = 86_400;

/// `spec.priority` of a ClusterNetworkPolicy is at most this.
const PRIORITY_LIMIT: u16 = 1_000;

/// Checks an object on its own.
pub(super) fn object(object: &Object) -> Result<(), Fault> {
    match object {
        Object::Service(o) => service(o),
        Object::Listener(o) => listener(o),
        Object::VirtualHost(o) => virtual_host(o),
        Object::Upstream(o) => upstream(o),
        Object::Certificate(o) => certificate(o),
        Object::Endpoint(o) => policy_endpoint(o),
        Object::Group(o) => group(o),
        Object::Policy(o) => policy(o),
    }
}

fn service(service: &Service) -> Result<(), Fault> {
    let frontend = &service.frontend;
    unicast(frontend.address).map_err(|f| f.within("frontend.address"))?;
    if frontend.port == 0 {
        return Err(Fault::new("frontend.port", "is 0"));
    }
    if service
        .affinity_seconds
        .is_some_and(|s| s == 0 || s > AFFINITY_LIMIT)
    {
        return Err(Fault::new(
            "affinity_seconds",
            format!("is not within 1 and {AFFINITY_LIMIT}"),
        ));
    }
    let most = lb::MAX_BACKENDS;
    if service.backends.len() > most {
        let reason = format!("{} are more than {most}", service.backends.len());
        return Err(Fault::new("backends", reason));
    }
    if let Some(i) = service
        .backends
        .iter()
        .position(|b| b.is_ipv4() != frontend.address.is_ipv4())
    {
        let reason = format!("{} is not of the frontend's address family", service.backends[i]);
        return Err(Fault::new(format!("backends[{i}]"), reason));
    }
    endpoints(&service.backends, "backends")
}

/// One at `0.0.0.0` or `[::]` is for all addresses of the host; what cannot serve that says so.
fn listener(listener: &Listener) -> Result<(), Fault> {
    if listener.address.ip().is_unspecified() && listener.address.port() > 0 {
        return Ok(());
    }
    endpoint(listener.address).map_err(|f| f.within("address"))
}

fn virtual_host(host: &VirtualHost) -> Result<(), Fault> {
    host_pattern(&host.host).map_err(|f| f.within("host"))?;
    each(&host.routes, "routes", route)
}

fn route(route: &Route) -> Result<(), Fault> {
    let matches = &route.matches;
    match &matches.path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => absolute(path),
        PathMatch::Regex(text) => routes::pattern(text).map(|_| ()),
    }
    .map_err(|f| f.within("matches.path"))?;
    if let Some(method) = matches.method.as_deref().filter(|method| !is_token(method)) {
        return Err(Fault::new(
            "matches.method",
            format!("{method:?} is not a method"),
        ));
    }
    each(&matches.headers, "matches.headers", |header| {
        if !is_token(&header.name) || header.name.bytes().any(|b| b.is_ascii_uppercase()) {
            let reason = format!("{:?} is not a header's name in lower case", header.name);
            return Err(Fault::new("name", reason));
        }
        value(header)
    })?;
    each(&matches.query, "matches.query", |parameter| {
        name(&parameter.name).map_err(|f| f.within("name"))?;
        value(parameter)
    })?;
    if let Some(filters) = &route.filters {
        filter(filters).map_err(|f| f.within("filters"))?;
    }
    each(&route.backends, "backends", |backend| {
        name(&backend.upstream).map_err(|f| f.within("upstream"))
    })
}

fn value(wanted: &ValueMatch) -> Result<(), Fault> {
    match &wanted.value {
        TextMatch::Exact(_) => Ok(()),
        TextMatch::Regex(text) => routes::pattern(text).map(|_| ()).map_err(|f| f.within("value")),
    }
}

fn filter(filters: &Filters) -> Result<(), Fault> {
    let Some(redirect) = &filters.redirect else {
        return Ok(());
    };
    let fault = match redirect {
        Redirect { status, .. } if !matches!(status, 301 | 302 | 303 | 307 | 308) => {
            Fault::new("status", format!("{status} is none of 301, 302, 303, 307, 308"))
        }
        Redirect { port: Some(0), .. } => Fault::new("port", "is 0"),
        Redirect { host: Some(host), .. }
            if host.is_empty() || host.starts_with("*.") || host_pattern(host).is_err() =>
        {
            Fault::new("host", format!("{host:?} is not a host name in lower case"))
        }
        Redirect { path: Some(path), .. } => match absolute(path) {
            Err(fault) => fault.within("path"),
            Ok(()) => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(fault.within("redirect"))
}

/// A path of a rule, or one to redirect to.
fn absolute(path: &str) -> Result<(), Fault> {
    if !path.starts_with('/') {
        return Err(Fault::new("", format!("{path:?} does not begin with /")));
    }
    if path.chars().any(char::is_control) {
        return Err(Fault::new("", format!("{path:?} holds a control character")));
    }
    Ok(())
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(byte)
}

fn upstream(upstream: &Upstream) -> Result<(), Fault> {
    name(&upstream.name).map_err(|f| f.within("name"))?;
    endpoints(&upstream.endpoints, "endpoints")
}

fn certificate(certificate: &Certificate) -> Result<(), Fault> {
    name(&certificate.name).map_err(|f| f.within("name"))?;
    each(&certificate.hosts, "hosts", |host| host_pattern(host))?;
    if certificate.chain.is_empty() {
        return Err(Fault::new("chain", "is empty"));
    }
    let filled = |der: &[u8]| {
        if der.is_empty() {
            Err(Fault::new("", "is empty"))
        } else {
            Ok(())
        }
    };
    each(&certificate.chain, "chain", |der| filled(der))?;
    filled(&certificate.key.0).map_err(|f| f.within("key"))
}

fn policy_endpoint(endpoint: &Endpoint) -> Result<(), Fault> {
    name(&endpoint.name).map_err(|f| f.within("name"))?;
    each(&endpoint.addresses, "addresses", |address| unicast(*address))?;
    sorted(&endpoint.addresses, "addresses")?;
    sorted(&endpoint.hosts, "hosts")?;
    sorted(&endpoint.groups, "groups")?;
    each(&endpoint.ports, "ports", |port| match port.number {
        0 => Err(Fault::new("number", "is 0")),
        _ => Ok(()),
    })
}

fn group(group: &Group) -> Result<(), Fault> {
    name(&group.text).map_err(|f| f.within("text"))
}

fn policy(policy: &Policy) -> Result<(), Fault> {
    name(&policy.name).map_err(|f| f.within("name"))?;
    if policy.priority > PRIORITY_LIMIT || (policy.tier == Tier::NetworkPolicy && policy.priority != 0) {
        let reason = format!("{} is not one of the tier {}", policy.priority, policy.tier);
        return Err(Fault::new("priority", reason));
    }
    each(&policy.rules, "rules", |rule| {
        if policy.tier == Tier::NetworkPolicy && rule.action != Action::Accept {
            let reason = format!("{} is not one of the tier NetworkPolicy", rule.action);
            return Err(Fault::new("action", reason));
        }
        policy_rule(rule)
    })
}

fn policy_rule(rule: &PolicyRule) -> Result<(), Fault> {
    each(rule.peers.as_deref().unwrap_or_default(), "peers", peer)?;
    each(rule.ports.as_deref().unwrap_or_default(), "ports", port_range)
}

/// `ipBlock.except`: each a strict subset of `cidr`.
fn peer(peer: &Peer) -> Result<(), Fault> {
    let Peer::Block { block, except } = peer else {
        return Ok(());
    };
    if block.trunc() != *block {
        return Err(Fault::new("block", format!("{block} has host bits")));
    }
    each(except, "except", |except| {
        if !block.contains(except) || except.prefix_len() <= block.prefix_len() {
            return Err(Fault::new(
                "",
                format!("{except} is not a part of the block {block}"),
            ));
        }
        if except.trunc() != *except {
            return Err(Fault::new("", format!("{except} has host bits")));
        }
        Ok(())
    })
}

fn port_range(range: &PortRange) -> Result<(), Fault> {
    if range.first > range.last {
        return Err(Fault::new(
            "last",
            format!("{} is below the first port, {}", range.last, range.first),
        ));
    }
    if range.first == 0 && range.last != u16::MAX {
        return Err(Fault::new(
            "first",
            "is 0, which stands for any port, but the last is not 65535",
        ));
    }
    Ok(())
}

fn endpoints(endpoints: &[SocketAddr], field: &str) -> Result<(), Fault> {
    each(endpoints, field, |e| endpoint(*e))?;
    sorted(endpoints, field)
}

fn endpoint(endpoint: SocketAddr) -> Result<(), Fault> {
    unicast(endpoint.ip())?;
    if endpoint.port() == 0 {
        return Err(Fault::new("", format!("{endpoint} has port 0")));
    }
    match endpoint {
        SocketAddr::V6(a) if a.scope_id() != 0 || a.flowinfo() != 0 => {
            Err(Fault::new("", format!("{endpoint} has a scope or a flow label")))
        }
        _ => Ok(()),
    }
}

/// An address that packets can be sent to, in the form in which packets carry it.
fn unicast(address: IpAddr) -> Result<(), Fault> {
    let what = match address {
        _ if address.is_unspecified() => "unspecified",
        _ if address.is_multicast() => "multicast",
        IpAddr::V4(a) if a.is_broadcast() => "broadcast",
        IpAddr::V6(a) if a.to_ipv4_mapped().is_some() => "IPv4-mapped",
        _ => return Ok(()),
    };
    Err(Fault::new(
        "",
        format!("{address} is {what}, not a unicast address"),
    ))
}

/// A host name in lower case, `*.` before one, or nothing (labels of whatever length, as Kubernetes checks them).
fn host_pattern(host: &str) -> Result<(), Fault> {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let plain = host.strip_prefix("*.").unwrap_or(host);
    if host.is_empty() || (host.len() <= 253 && plain.split('.').all(label)) {
        return Ok(());
    }
    Err(Fault::new(
        "",
        format!("{host:?} is not a host name in lower case, nor `*.` before one"),
    ))
}

fn name(name: &str) -> Result<(), Fault> {
    if name.is_empty() {
        Err(Fault::new("", "is empty"))
    } else {
        Ok(())
    }
}

/// Checks every element; an error names its place.
fn each<T>(list: &[T], field: &str, check: impl Fn(&T) -> Result<(), Fault>) -> Result<(), Fault> {
    list.iter()
        .enumerate()
        .try_for_each(|(i, element)| check(element).map_err(|f| f.within(format_args!("{field}[{i}]"))))
}

fn sorted<T: Ord + std::fmt::Display>(list: &[T], field: &str) -> Result<(), Fault> {
    match list.windows(2).position(|pair| pair[0] >= pair[1]) {
        None => Ok(()),
        Some(i) => {
            let reason = format!("{} does not sort behind {}, the one before", list[i + 1], list[i]);
            Err(Fault::new(format!("{field}[{}]", i + 1), reason))
        }
    }
}
