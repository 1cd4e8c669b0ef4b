//! How objects are named, and the grammar of the names that they contain.

use std::fmt;

use super::address::parse_ip;
use super::shared_text::SharedText;

/// The kinds that Headgate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1`
    Namespace,
    /// `v1`
    Pod,
    /// `v1`
    Service,
    /// `discovery.k8s.io/v1`
    EndpointSlice,
    /// `networking.k8s.io/v1`
    IngressClass,
    /// `networking.k8s.io/v1`
    Ingress,
    /// `v1`
    Secret,
    /// `networking.k8s.io/v1`
    NetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2`
    ClusterNetworkPolicy,
    /// `v1`
    Node,
    /// `v1`
    Endpoints,
    /// `v1`
    ConfigMap,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Namespace,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::IngressClass,
        Self::Ingress,
        Self::Secret,
        Self::NetworkPolicy,
        Self::ClusterNetworkPolicy,
        Self::Node,
        Self::Endpoints,
        Self::ConfigMap,
    ];

    /// `kind` as manifests spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::IngressClass => "IngressClass",
            Self::Ingress => "Ingress",
            Self::Secret => "Secret",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Self::Node => "Node",
            Self::Endpoints => "Endpoints",
            Self::ConfigMap => "ConfigMap",
        }
    }

    /// The one `apiVersion` of this kind that is read.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Namespace
            | Self::Pod
            | Self::Service
            | Self::Secret
            | Self::Node
            | Self::Endpoints
            | Self::ConfigMap => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::IngressClass | Self::Ingress | Self::NetworkPolicy => "networking.k8s.io/v1",
            Self::ClusterNetworkPolicy => "policy.networking.k8s.io/v1alpha2",
        }
    }

    /// Whether objects of this kind live in a namespace.
    #[must_use]
    pub const fn namespaced(self) -> bool {
        !matches!(
            self,
            Self::Namespace | Self::IngressClass | Self::ClusterNetworkPolicy | Self::Node
        )
    }
}

impl Kind {
    /// What is wrong with a `metadata.name` of this kind, to follow the field's path. The API server asks a label of
    /// Namespaces (`ValidateNamespaceName`) and Services (`NameIsDNSLabel`; it must also begin with a letter where the
    /// gate `RelaxedServiceNameValidation` is off), and a subdomain of all others (`NameIsDNSSubdomain`).
    pub(super) fn refuses_name(self, name: &str) -> Option<String> {
        match self {
            Self::Namespace | Self::Service if !is_label(name) => {
                Some(format!("\"{name}\" is not an RFC 1123 label"))
            }
            Self::Namespace | Self::Service => None,
            _ if !is_subdomain(name) => Some(format!("\"{name}\" is not an RFC 1123 subdomain")),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `metadata.namespace` (empty for kinds that live in none) and `metadata.name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Empty for Namespace, IngressClass, ClusterNetworkPolicy and Node.
    pub namespace: SharedText,
    /// Unique for its kind in its namespace.
    pub name: SharedText,
}

impl ObjectName {
    /// The name of an object in a namespace.
    pub fn new(namespace: impl Into<SharedText>, name: impl Into<SharedText>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Another object in the same namespace.
    #[must_use]
    pub fn sibling(&self, name: &str) -> Self {
        Self::new(self.namespace.clone(), name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Names an object among all that Headgate reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub name: ObjectName,
}

impl Id {
    /// The object of this kind and name.
    #[must_use]
    pub const fn new(kind: Kind, name: ObjectName) -> Self {
        Self { kind, name }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// RFC 1123 label (`IsDNS1123Label`): 1 to 63 lower-case letters, digits and hyphens, a letter or digit at both ends.
#[must_use]
pub fn is_label(s: &str) -> bool {
    s.len() <= 63 && is_labelled(s)
}

/// Labels joined by dots, at most 253 characters in all (`IsDNS1123Subdomain`). What the DNS says of one label, at most
/// 63, Kubernetes does not ask of the labels of a name.
#[must_use]
pub fn is_subdomain(s: &str) -> bool {
    s.len() <= 253 && s.split('.').all(is_labelled)
}

/// A label of whatever length.
fn is_labelled(s: &str) -> bool {
    let alphanumeric = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    alphanumeric(s.bytes().next())
        && alphanumeric(s.bytes().last())
        && s.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A name of a port (`IsValidPortName`): 1 to 15 lower-case letters, digits and single inner hyphens, at least one
/// letter.
#[must_use]
pub fn is_port_name(s: &str) -> bool {
    s.len() <= 15 && is_label(s) && !s.contains("--") && s.bytes().any(|b| b.is_ascii_lowercase())
}

/// The key of a label (`IsQualifiedName`): a name of up to 63 letters, digits, `-`, `_` and `.`, a letter or digit at
/// both ends; in front of it, where there is one, a subdomain and a slash.
#[must_use]
pub fn is_label_key(s: &str) -> bool {
    let (prefix, name) = match s.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, s),
    };
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

/// The value of a label (`IsValidLabelValue`): empty, or like the name in its key.
#[must_use]
pub fn is_label_value(s: &str) -> bool {
    let alphanumeric = |b: Option<u8>| b.is_none_or(|b| b.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    s.len() <= 63 && alphanumeric(s.bytes().next()) && alphanumeric(s.bytes().last()) && s.bytes().all(inner)
}

/// The host of an Ingress rule in lower case: a subdomain, or `*.` in front of one (`validateIngressRules`).
///
/// # Errors
///
/// What is wrong with it, to follow the field's path.
pub fn host(s: &str) -> Result<String, String> {
    let lower = s.to_ascii_lowercase();
    if parse_ip(&lower).is_some() {
        return Err(format!("\"{s}\" is an IP address; a host must be a DNS name"));
    }
    let rest = lower.strip_prefix("*.").unwrap_or(&lower);
    if rest.contains('*') {
        return Err(format!(
            "\"{s}\" is not a host: a wildcard stands for the whole first label only, as in \"*.example.com\""
        ));
    }
    if !is_subdomain(rest) || lower.len() > 253 {
        return Err(format!(
            "\"{s}\" is not a host: it must consist of letters, digits, hyphens and dots, as in \"www.example.com\""
        ));
    }
    Ok(lower)
}
