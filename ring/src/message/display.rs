//! How messages are named to people: in logs, errors and the status document.

use std::fmt;

use super::{Action, Direction, Key, Tier};

/// As Kubernetes spells it in the small: `ingress`.
impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// As `spec.tier` of a ClusterNetworkPolicy spells it, and `NetworkPolicy` between those.
impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "Admin",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Baseline => "Baseline",
        })
    }
}

/// As `action` of a ClusterNetworkPolicy's rule spells it.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "Accept",
            Self::Deny => "Deny",
            Self::Pass => "Pass",
        })
    }
}

/// Kind and name: `Service 198.51.100.10 TCP 80`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(o) => write!(f, "Service {} {} {}", o.address, o.protocol, o.port),
            Self::Listener(address) => write!(f, "Listener {address}"),
            Self::VirtualHost(host) => write!(f, "VirtualHost {host:?}"),
            Self::Upstream(name) => write!(f, "Upstream {name:?}"),
            Self::Certificate(name) => write!(f, "Certificate {name:?}"),
            Self::Endpoint(name) => write!(f, "Endpoint {name:?}"),
            Self::Group(id) => write!(f, "Group {id}"),
            Self::Policy(name, direction) => write!(f, "Policy {name:?} ({direction})"),
        }
    }
}
