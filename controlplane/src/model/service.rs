//! Services: what is balanced, at which addresses, to whom.

use std::collections::BTreeSet;
use std::net::IpAddr;

use headgate_ring::message::Protocol;
use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::address::public_address;
use super::invalid::{Invalid, port, protocol};
use super::name::is_port_name;
use super::selector::Selector;
use super::sieve::Sieve;
use super::{Age, age};

/// `spec.sessionAffinityConfig.clientIP.timeoutSeconds` where it is missing.
pub const AFFINITY_SECONDS: u32 = 10_800;
/// Its largest value: a day.
const AFFINITY_SECONDS_MAX: u32 = 86_400;
/// What `spec.loadBalancerSourceRanges` was before it was a field.
const SOURCE_RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// A Service as far as traffic from outside is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Decides between Services that claim one frontend.
    pub age: Age,
    /// What kind of Service it is.
    pub kind: ServiceKind,
    /// `spec.selector`; `None` where it is missing or empty: endpoints come from EndpointSlices alone.
    pub selector: Option<Selector>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// Where clients outside reach it, sorted, without duplicates.
    pub addresses: Vec<IpAddr>,
    /// Of one of type LoadBalancer: who is to balance it.
    pub load_balancer: Option<Box<LoadBalancer>>,
    /// `spec.loadBalancerSourceRanges`, or the annotation that it was before, restricts who may connect.
    pub source_ranges: bool,
    /// Whether `spec.ipFamilies` names IPv6 first; `None` where it names none.
    pub prefers_ipv6: Option<bool>,
    /// `spec.sessionAffinity: ClientIP`, in seconds.
    pub affinity_seconds: Option<u32>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready: bool,
}

/// What a Service of type LoadBalancer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancer {
    /// `spec.loadBalancerClass`.
    pub class: Option<String>,
    /// `spec.loadBalancerIP`.
    pub wanted: Option<IpAddr>,
    /// The Service's addresses without those that its status says it was given, sorted, without duplicates.
    pub written: Vec<IpAddr>,
}

/// `spec.type` as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// ClusterIP, NodePort, LoadBalancer.
    Balanced,
    /// `spec.clusterIP: None`: clients pick an endpoint themselves.
    Headless,
    /// A DNS alias, without endpoints.
    ExternalName,
}

/// An element of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its index in `spec.ports`.
    pub place: usize,
    /// Empty where it is missing, which only a Service's sole port may be.
    pub name: String,
    /// Missing means TCP.
    pub protocol: Protocol,
    /// Where clients connect.
    pub port: u16,
    /// Where pods listen.
    pub target: TargetPort,
    /// What they speak, where it is HTTP.
    pub application: Application,
}

/// `appProtocol`, as far as it makes a difference to who speaks HTTP to pods (KEP 3726, and names that users know).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Application {
    /// Nothing else is said than that it may be HTTP/1.1, or what is said means nothing here.
    #[default]
    Any,
    /// HTTP/2 in plain text.
    Http2,
    /// Something over TLS.
    Tls,
}

impl Application {
    fn of(name: Option<&str>) -> Self {
        match name {
            Some("kubernetes.io/h2c" | "h2c" | "grpc") => Self::Http2,
            Some("https" | "kubernetes.io/wss" | "wss" | "grpcs") => Self::Tls,
            _ => Self::Any,
        }
    }
}

/// `targetPort`; where it is missing, `port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// One number for all pods.
    Number(u16),
    /// The containers' port of that name, which each pod resolves for itself.
    Name(String),
}

impl Service {
    /// Reads what matters of a Service; ports and addresses that are none are left out.
    ///
    /// # Errors
    ///
    /// A field that Kubernetes would refuse, or ports of which none can be read.
    pub fn parse(service: &k8s::Service, sieve: &mut Sieve) -> Result<Self, Invalid> {
        let spec = service.spec.clone().unwrap_or_default();
        let kind = kind(&spec)?;
        let ports = ports(spec.ports.as_deref().unwrap_or_default(), kind, sieve)?;
        let (addresses, load_balancer) = addresses(&spec, service.status.as_ref(), sieve);
        Ok(Self {
            age: age(&service.metadata),
            kind,
            selector: spec
                .selector
                .as_ref()
                .filter(|s| !s.is_empty())
                .map(Selector::of_labels),
            ports,
            addresses,
            load_balancer,
            source_ranges: restricts_sources(service, &spec),
            prefers_ipv6: spec
                .ip_families
                .as_ref()
                .and_then(|f| f.first())
                .map(|f| f == "IPv6"),
            affinity_seconds: affinity(&spec)?,
            publish_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
        })
    }
}

/// The API server reads the annotation where the field is empty (`GetLoadBalancerSourceRanges`).
fn restricts_sources(service: &k8s::Service, spec: &k8s::ServiceSpec) -> bool {
    let field = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    let annotations = service.metadata.annotations.as_ref();
    let annotation = annotations.and_then(|annotations| annotations.get(SOURCE_RANGES_ANNOTATION));
    !field.is_empty() || annotation.is_some_and(|ranges| !ranges.trim().is_empty())
}

fn kind(spec: &k8s::ServiceSpec) -> Result<ServiceKind, Invalid> {
    match spec.type_.as_deref() {
        Some("ExternalName") => Ok(ServiceKind::ExternalName),
        _ if spec.cluster_ip.as_deref() == Some("None") => Ok(ServiceKind::Headless),
        None | Some("" | "ClusterIP" | "NodePort" | "LoadBalancer") => Ok(ServiceKind::Balanced),
        Some(other) => Err(Invalid::new(
            "spec.type",
            format!("\"{other}\" is none of ClusterIP, NodePort, LoadBalancer, ExternalName"),
        )),
    }
}

/// `validateServicePort`, but for the port's name, which nothing here depends on.
fn service_port(p: &k8s::ServicePort, place: usize) -> Result<ServicePort, Invalid> {
    let number = port("port", p.port)?;
    let target = match &p.target_port {
        None | Some(IntOrString::Int(0)) => TargetPort::Number(number),
        Some(IntOrString::Int(n)) => TargetPort::Number(port("targetPort", *n)?),
        Some(IntOrString::String(name)) if name.is_empty() => TargetPort::Number(number),
        Some(IntOrString::String(name)) if is_port_name(name) => TargetPort::Name(name.clone()),
        Some(IntOrString::String(name)) => {
            return Err(Invalid::new(
                "targetPort",
                format!("\"{name}\" is neither a number nor a port's name"),
            ));
        }
    };
    let name = p.name.clone().unwrap_or_default();
    Ok(ServicePort {
        place,
        name,
        protocol: protocol("protocol", p.protocol.as_deref())?,
        port: number,
        target,
        application: Application::of(p.app_protocol.as_deref()),
    })
}

/// Of two ports of one name, or of one number and protocol, the first stands (`ValidateService`).
fn ports(
    list: &[k8s::ServicePort],
    kind: ServiceKind,
    sieve: &mut Sieve,
) -> Result<Vec<ServicePort>, Invalid> {
    if list.is_empty() && kind == ServiceKind::Balanced {
        return Err(Invalid::new("spec.ports", "must name at least one port"));
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    sieve.some("spec.ports", list, |written, sieve| {
        let port = service_port(written, sieve.place())?;
        let (name, number) = (&port.name, port.port);
        if name.is_empty() && list.len() > 1 {
            let reason = "must be given where a Service has several ports";
            return Err(Invalid::new("name", reason));
        }
        if names.contains(name) {
            return Err(Invalid::new(
                "name",
                format!("\"{name}\" is the name of an earlier port"),
            ));
        }
        if !numbers.insert((port.protocol, number)) {
            return Err(Invalid::new(
                "port",
                format!("{number} is an earlier port of that protocol"),
            ));
        }
        names.insert(name.clone());
        Ok(port)
    })
}

/// `externalIPs`, and what a load balancer has been given; and what it was asked for.
fn addresses(
    spec: &k8s::ServiceSpec,
    status: Option<&k8s::ServiceStatus>,
    sieve: &mut Sieve,
) -> (Vec<IpAddr>, Option<Box<LoadBalancer>>) {
    let balanced = spec.type_.as_deref() == Some("LoadBalancer");
    let (mut wanted, mut given) = (None, BTreeSet::new());
    if balanced {
        if let Some(ip) = spec.load_balancer_ip.as_deref().filter(|ip| !ip.is_empty()) {
            wanted = sieve.part("spec.loadBalancerIP", |_| public_address("", ip));
        }
        let balancer = status
            .and_then(|s| s.load_balancer.as_ref())
            .and_then(|b| b.ingress.as_deref());
        let read = sieve.each(
            "status.loadBalancer.ingress",
            balancer.unwrap_or_default(),
            |ingress, _| {
                let ip = ingress.ip.as_deref().filter(|ip| !ip.is_empty());
                ip.map(|ip| public_address("ip", ip)).transpose()
            },
        );
        given.extend(read.into_iter().flatten());
    }
    let external = spec.external_ips.as_deref().unwrap_or_default();
    let read = |ip: &String, _: &mut Sieve| public_address("", ip);
    let external = if wanted.is_some() || !given.is_empty() {
        sieve.each("spec.externalIPs", external, read)
    } else {
        // Ingresses may have backends in it, whatever its addresses are.
        sieve
            .some("spec.externalIPs", external, read)
            .unwrap_or_else(|reason| {
                sieve.prefer_last_good(reason);
                Vec::new()
            })
    };
    let written: BTreeSet<_> = external.into_iter().chain(wanted).collect();
    given.extend(&written);
    let load_balancer = balanced.then(|| {
        Box::new(LoadBalancer {
            class: spec.load_balancer_class.clone().filter(|class| !class.is_empty()),
            wanted,
            written: written.into_iter().collect(),
        })
    });
    (given.into_iter().collect(), load_balancer)
}

/// `validateClientIPAffinityConfig`; what the API server fills in where it is missing is filled in here.
fn affinity(spec: &k8s::ServiceSpec) -> Result<Option<u32>, Invalid> {
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => Ok(None),
        Some("ClientIP") => {
            let config = spec
                .session_affinity_config
                .as_ref()
                .and_then(|c| c.client_ip.as_ref());
            let Some(seconds) = config.and_then(|c| c.timeout_seconds) else {
                return Ok(Some(AFFINITY_SECONDS));
            };
            match u32::try_from(seconds) {
                Ok(seconds) if (1..=AFFINITY_SECONDS_MAX).contains(&seconds) => Ok(Some(seconds)),
                _ => Err(Invalid::new(
                    "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                    format!("must be 1 to {AFFINITY_SECONDS_MAX}, is {seconds}"),
                )),
            }
        }
        Some(other) => Err(Invalid::new(
            "spec.sessionAffinity",
            format!("\"{other}\" is none of None, ClientIP"),
        )),
    }
}
