//! NetworkPolicies.

use headgate_ring::message::Protocol;
use ipnet::IpNet;
use k8s_openapi::api::networking::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::address::network;
use super::invalid::{Invalid, each, port, protocol};
use super::name::{is_label_key, is_label_value, is_port_name};
use super::selector::Selector;

/// A NetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// The pods of its namespace that it guards.
    pub subjects: Selector,
    /// Who may connect to them; `None` where the policy does not isolate ingress.
    pub ingress: Option<Vec<NetworkPolicyRule>>,
    /// To whom they may connect; `None` where the policy does not isolate egress.
    pub egress: Option<Vec<NetworkPolicyRule>>,
}

/// An element of `spec.ingress` or `spec.egress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicyRule {
    /// `from` or `to`; `None` where it is missing or empty: anyone.
    pub peers: Option<Vec<NetworkPolicyPeer>>,
    /// `ports`; `None` where it is missing or empty: every port of every protocol.
    pub ports: Option<Vec<NetworkPolicyPort>>,
}

/// An element of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NetworkPolicyPeer {
    /// `ipBlock`; each of `except` lies inside `block`.
    Block {
        /// `cidr`.
        block: IpNet,
        /// `except`.
        except: Vec<IpNet>,
    },
    /// `podSelector`, `namespaceSelector`, or both.
    Pods {
        /// `None` where it is missing: the policy's own namespace.
        namespaces: Option<Selector>,
        /// Missing selects every pod of the namespaces.
        pods: Selector,
    },
}

/// An element of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkPolicyPort {
    /// Every port of the protocol, where `port` is missing; otherwise `port` to `endPort`.
    Range(Protocol, u16, u16),
    /// The containers' port of that name, which each destination pod resolves for itself.
    Named(Protocol, String),
}

impl NetworkPolicy {
    /// Reads a NetworkPolicy.
    ///
    /// # Errors
    ///
    /// A field that Kubernetes would refuse.
    pub fn parse(policy: &k8s::NetworkPolicy) -> Result<Self, Invalid> {
        let spec = policy.spec.clone().unwrap_or_default();
        let subjects = spec
            .pod_selector
            .as_ref()
            .map_or(Ok(Selector::default()), selector);
        let (isolates_ingress, isolates_egress) = directions(&spec)?;
        let ingress = each("spec.ingress", spec.ingress.as_deref().unwrap_or_default(), |r| {
            rule("from", r.from.as_deref(), r.ports.as_deref())
        })?;
        let egress = each("spec.egress", spec.egress.as_deref().unwrap_or_default(), |r| {
            rule("to", r.to.as_deref(), r.ports.as_deref())
        })?;
        Ok(Self {
            subjects: subjects.map_err(|e| e.under("spec.podSelector"))?,
            ingress: isolates_ingress.then_some(ingress),
            egress: isolates_egress.then_some(egress),
        })
    }

    /// What stands in for a policy that cannot be read and never could: it allows nothing, in the directions that
    /// it names, to the pods that it selects, each as far as it can be read; otherwise in both directions, to every
    /// pod of its namespace. A policy is a list of what is allowed, and of this one nothing is known to be allowed.
    #[must_use]
    pub fn closed(value: &Value) -> Self {
        let spec = &value["spec"];
        let selector = serde_json::from_value::<Option<LabelSelector>>(spec["podSelector"].clone());
        let subjects = selector.ok().flatten().and_then(|s| Selector::parse(&s).ok());
        let types: Option<Vec<&str>> = spec["policyTypes"]
            .as_array()
            .map(|types| types.iter().map(|t| t.as_str().unwrap_or_default()).collect());
        let (ingress, egress) = match types {
            Some(types) if !types.is_empty() && types.iter().all(|t| matches!(*t, "Ingress" | "Egress")) => {
                (types.contains(&"Ingress"), types.contains(&"Egress"))
            }
            _ if spec["policyTypes"].is_null() => (true, !spec["egress"].is_null()),
            _ => (true, true),
        };
        Self {
            subjects: subjects.unwrap_or_default(),
            ingress: ingress.then(Vec::new),
            egress: egress.then(Vec::new),
        }
    }
}

/// `policyTypes` (`ValidateNetworkPolicySpec`); where it is missing, Ingress always and Egress if there are egress rules.
fn directions(spec: &k8s::NetworkPolicySpec) -> Result<(bool, bool), Invalid> {
    let types = spec.policy_types.as_deref().unwrap_or_default();
    if types.is_empty() {
        return Ok((true, spec.egress.as_ref().is_some_and(|rules| !rules.is_empty())));
    }
    each("spec.policyTypes", types, |t| match t.as_str() {
        "Ingress" | "Egress" => Ok(()),
        other => Err(Invalid::new(
            "",
            format!("\"{other}\" is none of Ingress, Egress"),
        )),
    })?;
    let named = |direction: &str| types.iter().any(|t| t == direction);
    Ok((named("Ingress"), named("Egress")))
}

fn rule(
    field: &str,
    peers: Option<&[k8s::NetworkPolicyPeer]>,
    ports: Option<&[k8s::NetworkPolicyPort]>,
) -> Result<NetworkPolicyRule, Invalid> {
    let peers = peers
        .filter(|p| !p.is_empty())
        .map(|p| each(field, p, peer))
        .transpose()?;
    let ports = ports
        .filter(|p| !p.is_empty())
        .map(|p| each("ports", p, policy_port))
        .transpose()?;
    Ok(NetworkPolicyRule { peers, ports })
}

/// `ValidateLabelSelector`: keys, and the values of `matchLabels`. Those of `matchExpressions` are not looked at, since
/// there are old policies with others.
fn selector(written: &LabelSelector) -> Result<Selector, Invalid> {
    for (key, value) in written.match_labels.iter().flatten() {
        if !is_label_key(key) {
            return Err(no_label_key("matchLabels", key));
        }
        if !is_label_value(value) {
            let reason = format!("\"{value}\" of {key} is not a label's value");
            return Err(Invalid::new("matchLabels", reason));
        }
    }
    let expressions = written.match_expressions.as_deref().unwrap_or_default();
    each("matchExpressions", expressions, |expression| {
        match &*expression.key {
            key if key.is_empty() || is_label_key(key) => Ok(()),
            key => Err(no_label_key("key", key)),
        }
    })?;
    Selector::parse(written)
}

fn no_label_key(field: &str, key: &str) -> Invalid {
    Invalid::new(field, format!("\"{key}\" is not a label's key"))
}

fn peer(peer: &k8s::NetworkPolicyPeer) -> Result<NetworkPolicyPeer, Invalid> {
    let parse = |field: &str, selector: &Option<LabelSelector>| {
        selector
            .as_ref()
            .map(self::selector)
            .transpose()
            .map_err(|e| e.under(field))
    };
    let pods = parse("podSelector", &peer.pod_selector)?;
    let namespaces = parse("namespaceSelector", &peer.namespace_selector)?;
    match (&peer.ip_block, pods.is_some() || namespaces.is_some()) {
        (Some(_), true) => Err(Invalid::new(
            "ipBlock",
            "must not stand beside podSelector or namespaceSelector in one peer",
        )),
        (None, false) => Err(Invalid::new(
            "",
            "must have one of ipBlock, podSelector, namespaceSelector; an empty peer is no peer",
        )),
        (None, true) => Ok(NetworkPolicyPeer::Pods {
            namespaces,
            pods: pods.unwrap_or_default(),
        }),
        (Some(block), false) => ip_block(block).map_err(|e| e.under("ipBlock")),
    }
}

/// `ValidateIPBlock`.
fn ip_block(block: &k8s::IPBlock) -> Result<NetworkPolicyPeer, Invalid> {
    let cidr = network("cidr", &block.cidr)?;
    let except = each("except", block.except.as_deref().unwrap_or_default(), |text| {
        let except = network("", text)?;
        if cidr.contains(&except) && except != cidr {
            return Ok(except);
        }
        Err(Invalid::new(
            "",
            format!("\"{text}\" does not lie inside cidr \"{}\"", block.cidr),
        ))
    })?;
    Ok(NetworkPolicyPeer::Block { block: cidr, except })
}

/// `ValidateNetworkPolicyPort`.
fn policy_port(p: &k8s::NetworkPolicyPort) -> Result<NetworkPolicyPort, Invalid> {
    let protocol = protocol("protocol", p.protocol.as_deref())?;
    match (&p.port, p.end_port) {
        (None, None) => Ok(NetworkPolicyPort::Range(protocol, 0, u16::MAX)),
        (None, Some(_)) => Err(Invalid::new("endPort", "must not be given without port")),
        (Some(IntOrString::String(_)), Some(_)) => Err(Invalid::new(
            "endPort",
            "must not be given with a port that is a name",
        )),
        (Some(IntOrString::String(name)), None) if is_port_name(name) => {
            Ok(NetworkPolicyPort::Named(protocol, name.clone()))
        }
        (Some(IntOrString::String(name)), None) => Err(Invalid::new(
            "port",
            format!("\"{name}\" is neither a number nor a port's name"),
        )),
        (Some(IntOrString::Int(number)), end) => {
            let first = port("port", *number)?;
            let last = end.map_or(Ok(first), |end| port("endPort", end))?;
            if last < first {
                return Err(Invalid::new(
                    "endPort",
                    format!("must not be below port {first}, is {last}"),
                ));
            }
            Ok(NetworkPolicyPort::Range(protocol, first, last))
        }
    }
}
