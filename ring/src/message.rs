//! What the planes say to each other.
//!
//! The control plane sends state as objects, each named by its [`Key`]; an object put again replaces the
//! one before it. A transaction (`Begin`, any number of `Put` and `Delete`, `Commit`) is applied whole or
//! not at all. The dataplane answers each with [`ToControl::Ack`] or [`ToControl::Nack`].
//!
//! Everything here is already resolved: selectors are groups of endpoints, names of ports are numbers, rules stand
//! in the order in which they are tried. The dataplane still checks what it gets: a control plane with a bug
//! must not take traffic down.

mod display;
mod policy;
mod route;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use policy::{
    Action, Direction, Endpoint, EndpointPort, Group, GroupId, Peer, Policy, PolicyRule, PortRange, Tier,
};
pub use route::{
    Filters, PathMatch, Redirect, Route, RouteKind, RouteMatch, RouteOrigin, Scheme, TextMatch, ValueMatch,
    VirtualHost, WeightedBackend,
};

/// Version of the messages and of the layout of the ring; peers with different versions part at the handshake.
pub const VERSION: u16 = 7;

/// Counts the states that a control plane has published; 0 is the empty state before the first.
pub type Generation = u64;

/// From the control plane to the dataplane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToData {
    /// Opens a transaction. `full` says that what it puts is the whole state: what it does not put is gone.
    Begin {
        /// The state that the transaction makes; larger than the one before it in this session.
        generation: Generation,
        /// Whether the transaction replaces the state instead of changing it.
        full: bool,
    },
    /// Adds or replaces the object with this key.
    Put(Object),
    /// Removes the object with this key; one that is not there is not an error.
    Delete(Key),
    /// Closes the transaction.
    Commit {
        /// As in `Begin`.
        generation: Generation,
        /// How many `Put` and `Delete` stood between.
        operations: u32,
    },
}

/// From the dataplane to the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToControl {
    /// Every worker works by this state.
    Ack {
        /// As in `Begin`.
        generation: Generation,
    },
    /// The transaction was refused; the state before it stays in force.
    Nack {
        /// As in `Begin`.
        generation: Generation,
        /// What was wrong with which object, in one line.
        reason: String,
        /// The object that is to blame, where it is one: the transaction may be taken without it.
        object: Option<Key>,
    },
}

/// Transport protocols that can be balanced and filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// The IANA protocol number, as in the IPv4 `protocol` and the IPv6 `next header` field.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// As Kubernetes spells it: `TCP`.
impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// Names an object of the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// A [`Service`] by its frontend.
    Service(Frontend),
    /// A [`Listener`] by its address and TCP port.
    Listener(SocketAddr),
    /// A [`VirtualHost`] by its host pattern.
    VirtualHost(String),
    /// An [`Upstream`] by its name.
    Upstream(String),
    /// A [`Certificate`] by its name.
    Certificate(String),
    /// An [`Endpoint`] by its name.
    Endpoint(String),
    /// A [`Group`] by its id.
    Group(GroupId),
    /// A [`Policy`] by its name and direction.
    Policy(String, Direction),
}

/// A part of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// An address and port balanced at L4.
    Service(Service),
    /// An address and port where HTTP is terminated.
    Listener(Listener),
    /// The routes of a host.
    VirtualHost(VirtualHost),
    /// Where routed requests go.
    Upstream(Upstream),
    /// A certificate and its key.
    Certificate(Certificate),
    /// A pod or node that policies may be about.
    Endpoint(Endpoint),
    /// What a selector selects.
    Group(Group),
    /// Which connections some pods accept or may open.
    Policy(Policy),
}

impl Object {
    /// The key that names this object.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Service(o) => Key::Service(o.frontend),
            Self::Listener(o) => Key::Listener(o.address),
            Self::VirtualHost(o) => Key::VirtualHost(o.host.clone()),
            Self::Upstream(o) => Key::Upstream(o.name.clone()),
            Self::Certificate(o) => Key::Certificate(o.name.clone()),
            Self::Endpoint(o) => Key::Endpoint(o.name.clone()),
            Self::Group(o) => Key::Group(o.id),
            Self::Policy(o) => Key::Policy(o.name.clone(), o.direction),
        }
    }
}

/// Where clients reach a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frontend {
    /// One of `status.loadBalancer.ingress[].ip`, `spec.loadBalancerIP`, `spec.externalIPs`.
    pub address: IpAddr,
    /// `spec.ports[].protocol`.
    pub protocol: Protocol,
    /// `spec.ports[].port`, never 0.
    pub port: u16,
}

/// One port of a Kubernetes Service at one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Where clients reach it.
    pub frontend: Frontend,
    /// `namespace/name`, for people.
    pub name: String,
    /// Ready endpoints of the frontend's address family, sorted, without duplicates; empty when none is ready.
    pub backends: Vec<SocketAddr>,
    /// `spec.sessionAffinity: ClientIP` and its `timeoutSeconds`.
    pub affinity_seconds: Option<u32>,
}

/// An address and TCP port where HTTP is terminated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where clients connect; the port is never 0.
    pub address: SocketAddr,
    /// What clients speak here.
    pub protocol: ListenerProtocol,
    /// Balancers: connections from there begin with a header of the PROXY protocol, which says who the client is.
    pub balancers: Vec<IpNet>,
}

/// What clients speak to a listener. Here is the place for what more there is to say of it: which versions of HTTP are
/// offered, and by which transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerProtocol {
    /// HTTP/1.1 over TCP.
    Http,
    /// HTTP/1.1 in TLS over TCP.
    Https,
}

impl ListenerProtocol {
    /// The scheme of requests that come by it.
    #[must_use]
    pub const fn scheme(self) -> Scheme {
        match self {
            Self::Http => Scheme::Http,
            Self::Https => Scheme::Https,
        }
    }
}

/// The pods behind a Service port, as HTTP routes name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// `namespace/service:port`.
    pub name: String,
    /// What the endpoints speak.
    pub protocol: UpstreamProtocol,
    /// Ready endpoints, sorted, without duplicates; empty when none is ready, which answers 503.
    pub endpoints: Vec<SocketAddr>,
}

/// What is spoken to endpoints: `appProtocol` of a Service's port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 in plain text.
    #[default]
    Http1,
    /// HTTP/2 in plain text, by prior knowledge (RFC 9113, section 3.3).
    Http2,
}

/// A certificate chain, its key, and the hosts that it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// `namespace/name` of the Secret.
    pub name: String,
    /// Hosts of `spec.tls[].hosts`, lower case; `*.name` for one label. One host stands in one certificate only.
    /// The empty string makes it the certificate for clients that name no host or an unknown one.
    pub hosts: Vec<String>,
    /// DER, the end entity first.
    pub chain: Vec<Vec<u8>>,
    /// DER (PKCS#8, PKCS#1 or SEC1), wiped from memory when dropped.
    pub key: PrivateKey,
}

/// A private key; its `Debug` shows no byte of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateKey(#[serde(with = "key_bytes")] pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({} bytes)", self.0.len())
    }
}

mod key_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(key: &Zeroizing<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
        key.as_slice().serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
        Vec::<u8>::deserialize(d).map(Zeroizing::new)
    }
}
