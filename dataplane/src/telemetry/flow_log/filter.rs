//! Which lines a reader wants.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::line::{End, Flow, Verdict};

/// A question on `flows.sock`: one line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Query {
    /// So many of the newest lines that the log still has come first; all of them without.
    pub last: Option<usize>,
    /// Whether new lines follow.
    pub follow: bool,
    /// Which.
    pub filter: Filter,
}

/// What a line must have: one of each list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// The verdict; any where `None`.
    pub verdict: Option<Verdict>,
    /// The source.
    pub from: Vec<EndFilter>,
    /// The destination.
    pub to: Vec<EndFilter>,
    /// The pod's port or the frontend's.
    pub ports: Vec<u16>,
    /// `TCP` or `UDP`, in any case.
    pub protocols: Vec<String>,
    /// Policies that decided; a name without namespace stands for that name in all of them.
    pub policies: Vec<String>,
    /// A label of either end.
    pub labels: Vec<LabelFilter>,
}

/// An end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EndFilter {
    /// `namespace/pod`.
    Pod(String, String),
    /// `namespace`.
    Namespace(String),
    /// An address or CIDR.
    Net(IpNet),
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelFilter {
    key: String,
    /// `None` for any.
    value: Option<String>,
}

/// Not what a filter can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseFilterError {
    text: String,
    expected: &'static str,
}

impl Filter {
    /// Whether a line is wanted.
    #[must_use]
    pub fn takes(&self, flow: &Flow) -> bool {
        let one = |list: &[EndFilter], end: &End| list.is_empty() || list.iter().any(|f| f.takes(end));
        self.verdict.is_none_or(|verdict| verdict == flow.verdict)
            && one(&self.from, &flow.source)
            && one(&self.to, &flow.destination)
            && self.takes_port(flow)
            && self.takes_policies(flow)
            && (self.labels.is_empty() || self.labels.iter().any(|label| label.takes(flow)))
    }

    fn takes_port(&self, flow: &Flow) -> bool {
        let port = |port: &u16| [flow.destination.port, flow.frontend.port].contains(port);
        let protocol = |protocol: &String| protocol.eq_ignore_ascii_case(&flow.protocol);
        (self.ports.is_empty() || self.ports.iter().any(port))
            && (self.protocols.is_empty() || self.protocols.iter().any(protocol))
    }

    fn takes_policies(&self, flow: &Flow) -> bool {
        let named = |wanted: &String| {
            flow.policies.iter().any(|policy| {
                policy == wanted
                    || policy
                        .split_once('/')
                        .is_some_and(|(_, name)| name == wanted.as_str())
            })
        };
        self.policies.is_empty() || self.policies.iter().any(named)
    }
}

impl EndFilter {
    fn takes(&self, end: &End) -> bool {
        match self {
            Self::Net(net) => net.contains(&end.address),
            Self::Namespace(namespace) => end.namespace.as_ref() == Some(namespace),
            Self::Pod(namespace, pod) => {
                end.namespace.as_ref() == Some(namespace) && end.pod.as_ref() == Some(pod)
            }
        }
    }
}

impl LabelFilter {
    fn takes(&self, flow: &Flow) -> bool {
        let has = |(key, value): &(String, String)| {
            *key == self.key && self.value.as_ref().is_none_or(|wanted| wanted == value)
        };
        [&flow.source, &flow.destination]
            .iter()
            .any(|end| end.labels.0.iter().any(has))
    }
}

impl FromStr for EndFilter {
    type Err = ParseFilterError;

    fn from_str(text: &str) -> Result<Self, ParseFilterError> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self::Net(net.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Net(address.into()));
        }
        let label = |name: &str| {
            let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !name.is_empty() && name.bytes().all(byte)
        };
        // Pods' names may have dots (RFC 1123 subdomains), namespaces' may not.
        match text.split_once('/') {
            Some((namespace, pod)) if label(namespace) && pod.split('.').all(label) => {
                Ok(Self::Pod(namespace.into(), pod.into()))
            }
            None if label(text) => Ok(Self::Namespace(text.into())),
            _ => Err(ParseFilterError {
                text: text.into(),
                expected: "namespace/pod, a namespace, an address or a CIDR",
            }),
        }
    }
}

impl fmt::Display for EndFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(namespace, pod) => write!(f, "{namespace}/{pod}"),
            Self::Namespace(namespace) => f.write_str(namespace),
            Self::Net(net) => write!(f, "{net}"),
        }
    }
}

impl FromStr for LabelFilter {
    type Err = ParseFilterError;

    fn from_str(text: &str) -> Result<Self, ParseFilterError> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty() {
            return Err(ParseFilterError {
                text: text.into(),
                expected: "a label such as app=web, or a key such as app",
            });
        }
        let key = key.to_owned();
        Ok(Self { key, value })
    }
}

impl fmt::Display for LabelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

impl TryFrom<String> for EndFilter {
    type Error = ParseFilterError;

    fn try_from(text: String) -> Result<Self, ParseFilterError> {
        text.parse()
    }
}

impl TryFrom<String> for LabelFilter {
    type Error = ParseFilterError;

    fn try_from(text: String) -> Result<Self, ParseFilterError> {
        text.parse()
    }
}

impl From<EndFilter> for String {
    fn from(filter: EndFilter) -> Self {
        filter.to_string()
    }
}

impl From<LabelFilter> for String {
    fn from(filter: LabelFilter) -> Self {
        filter.to_string()
    }
}
