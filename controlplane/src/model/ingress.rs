//! Ingresses and their classes.

use k8s_openapi::api::networking::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::address::parse_ip;
use super::invalid::{Invalid, port};
use super::name::{host, is_label, is_port_name, is_subdomain};
use super::sieve::Sieve;
use super::{Age, Annotations, age, annotations};

/// `spec.controller` of the IngressClasses that Headgate serves.
pub const CONTROLLER: &str = "headgate.dev/ingress";
/// What named the class before `spec.ingressClassName` did.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Makes an IngressClass the one of Ingresses that name none.
const DEFAULT_CLASS_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// An IngressClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressClass {
    /// `spec.controller`.
    pub controller: String,
    /// Ingresses that name no class belong to it.
    pub default: bool,
}

impl IngressClass {
    /// Reads what matters of an IngressClass.
    #[must_use]
    pub fn parse(class: &k8s::IngressClass) -> Self {
        let annotations = class.metadata.annotations.as_ref();
        let controller = class.spec.as_ref().and_then(|spec| spec.controller.clone());
        Self {
            controller: controller.unwrap_or_default(),
            default: annotations
                .and_then(|a| a.get(DEFAULT_CLASS_ANNOTATION))
                .is_some_and(|v| v == "true"),
        }
    }
}

/// How an Ingress names its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassName {
    /// `spec.ingressClassName`.
    Field(String),
    /// The annotation `kubernetes.io/ingress.class`, where there is no such field.
    Annotation(String),
}

impl ClassName {
    /// That of an Ingress of which nothing else need be readable.
    pub(crate) fn of_manifest(value: &Value) -> Option<Self> {
        let text = |value: &Value| {
            value
                .as_str()
                .filter(|class| !class.is_empty())
                .map(str::to_owned)
        };
        let annotation = || text(&value["metadata"]["annotations"][CLASS_ANNOTATION]);
        text(&value["spec"]["ingressClassName"])
            .map(Self::Field)
            .or_else(|| annotation().map(Self::Annotation))
    }
}

/// An Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Decides between Ingresses that claim one path or certificate.
    pub age: Age,
    /// Its class, if it names one.
    pub class: Option<ClassName>,
    /// `spec.defaultBackend`.
    pub default_backend: Option<Backend>,
    /// `spec.rules`.
    pub rules: Vec<IngressRule>,
    /// `spec.tls`.
    pub tls: Vec<IngressTls>,
    /// `metadata.annotations`, all of them.
    pub annotations: Annotations,
}

/// An element of `spec.rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressRule {
    /// Its index in `spec.rules`.
    pub place: usize,
    /// Lower case; `*.name`, or empty for any host.
    pub host: String,
    /// `http.paths`; empty sends everything to the default backend.
    pub paths: Vec<Path>,
}

/// An element of `http.paths`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its index in `http.paths`.
    pub place: usize,
    /// `ImplementationSpecific` is read as `Prefix`.
    pub kind: PathKind,
    /// Begins with `/`; a prefix does not end with one unless it is `/`.
    pub path: String,
    /// `ImplementationSpecific` with characters that only a regular expression has: compared literally.
    pub looks_like_regex: bool,
    /// Where requests go.
    pub backend: Backend,
}

/// `pathType`, as far as it decides how a path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// The whole path.
    Exact,
    /// By path element.
    Prefix,
}

/// As Kubernetes spells it.
impl std::fmt::Display for PathKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exact => "Exact",
            Self::Prefix => "Prefix",
        })
    }
}

/// A port of a Service in the Ingress's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// `service.name`.
    pub service: String,
    /// `service.port`.
    pub port: BackendPort,
}

/// `service.port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackendPort {
    /// `number`: the Service's port, not the pods'.
    Number(u16),
    /// `name` of the Service's port.
    Name(String),
}

impl std::fmt::Display for BackendPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// An element of `spec.tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressTls {
    /// Its index in `spec.tls`.
    pub place: usize,
    /// Empty stands for those of the rules' hosts that the certificate names.
    pub hosts: Vec<TlsHost>,
    /// `None` where it is missing: the default certificate serves.
    pub secret: Option<String>,
}

/// An element of `hosts` of `spec.tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsHost {
    /// Its index in `hosts`.
    pub place: usize,
    /// Lower case; `*.name`, or a name.
    pub name: String,
}

impl Ingress {
    /// One of which the class alone is known.
    pub(crate) fn unreadable(class: Option<ClassName>) -> Self {
        Self {
            age: age(&ObjectMeta::default()),
            class,
            default_backend: None,
            rules: Vec::new(),
            tls: Vec::new(),
            annotations: Annotations::default(),
        }
    }

    /// Reads an Ingress; rules, paths, hosts and backends that are none are left out.
    ///
    /// # Errors
    ///
    /// Where nothing remains that could be served.
    pub fn parse(ingress: &k8s::Ingress, sieve: &mut Sieve) -> Result<Self, Invalid> {
        let spec = ingress.spec.clone().unwrap_or_default();
        let annotations = annotations(&ingress.metadata);
        let written = (
            spec.default_backend.as_ref(),
            spec.rules.as_deref().unwrap_or_default(),
        );
        // The API server refuses such an update: what has been routed must not become a 404 by a misprint.
        let (default_backend, rules) = sieve.dear(|sieve| {
            Ok(match written {
                (None, []) => return Err(Invalid::new("spec", "must have rules or a defaultBackend")),
                (Some(only), []) => {
                    let only = backend(only).map_err(|e| e.under("spec.defaultBackend"))?;
                    (Some(only), Vec::new())
                }
                (None, rules) => (None, sieve.some("spec.rules", rules, rule)?),
                (Some(default), rules) => match sieve.part("spec.defaultBackend", |_| backend(default)) {
                    Some(default) => (Some(default), sieve.each("spec.rules", rules, rule)),
                    None => (None, sieve.some("spec.rules", rules, rule)?),
                },
            })
        })?;
        Ok(Self {
            age: age(&ingress.metadata),
            class: class(&spec, &annotations),
            default_backend,
            rules,
            tls: sieve.each("spec.tls", spec.tls.as_deref().unwrap_or_default(), tls),
            annotations,
        })
    }
}

fn class(spec: &k8s::IngressSpec, annotations: &Annotations) -> Option<ClassName> {
    let field = spec.ingress_class_name.clone().filter(|class| !class.is_empty());
    let annotation = || annotations.get(CLASS_ANNOTATION).cloned();
    field
        .map(ClassName::Field)
        .or_else(|| annotation().map(ClassName::Annotation))
}

fn rule(rule: &k8s::IngressRule, sieve: &mut Sieve) -> Result<IngressRule, Invalid> {
    let name = rule.host.as_deref().unwrap_or_default();
    let host = if name.is_empty() {
        Ok(String::new())
    } else {
        host(name).map_err(|e| Invalid::new("host", e))
    };
    let paths = rule.http.as_ref().map_or(&[][..], |http| &http.paths);
    Ok(IngressRule {
        place: sieve.place(),
        host: host?,
        paths: sieve.some("http.paths", paths, |p, sieve| path(p, sieve.place()))?,
    })
}

fn path(p: &k8s::HTTPIngressPath, place: usize) -> Result<Path, Invalid> {
    let text = p.path.as_deref().unwrap_or_default();
    let (kind, specific) = match p.path_type.as_str() {
        "Exact" => (PathKind::Exact, false),
        "Prefix" => (PathKind::Prefix, false),
        "ImplementationSpecific" => (PathKind::Prefix, true),
        "" => {
            return Err(Invalid::new(
                "pathType",
                "is missing: use Exact, Prefix or ImplementationSpecific",
            ));
        }
        other => {
            let reason = format!("\"{other}\" is none of Exact, Prefix, ImplementationSpecific");
            return Err(Invalid::new("pathType", reason));
        }
    };
    let text = if specific && text.is_empty() { "/" } else { text };
    check_path(text, specific)?;
    let trimmed = if kind == PathKind::Prefix {
        text.trim_end_matches('/')
    } else {
        text
    };
    Ok(Path {
        place,
        kind,
        path: if trimmed.is_empty() {
            "/".to_owned()
        } else {
            trimmed.to_owned()
        },
        looks_like_regex: specific && text.contains(['(', '[', '*', '$', '^', '\\', '|']),
        backend: backend(&p.backend).map_err(|e| e.under("backend"))?,
    })
}

/// What the API server refuses (`validateHTTPIngressPath`): a path that does not begin with `/`, and, of `Exact` and
/// `Prefix`, one that could not equal a normalised one.
fn check_path(path: &str, specific: bool) -> Result<(), Invalid> {
    if !path.starts_with('/') {
        return Err(Invalid::new("path", format!("\"{path}\" must begin with \"/\"")));
    }
    // The API server takes it; no request has such a path, and the dataplane refuses it.
    if path.chars().any(char::is_control) {
        return Err(Invalid::new(
            "path",
            format!("{path:?} must not contain control characters"),
        ));
    }
    if specific {
        return Ok(());
    }
    for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
        if path.contains(sequence) {
            return Err(Invalid::new(
                "path",
                format!("\"{path}\" must not contain \"{sequence}\""),
            ));
        }
    }
    match ["/..", "/."].into_iter().find(|end| path.ends_with(end)) {
        Some(end) => Err(Invalid::new(
            "path",
            format!("\"{path}\" must not end with \"{end}\""),
        )),
        None => Ok(()),
    }
}

/// `validateIngressBackend`, but for resources, which Headgate has none of.
fn backend(backend: &k8s::IngressBackend) -> Result<Backend, Invalid> {
    let Some(service) = &backend.service else {
        let (field, reason) = match &backend.resource {
            Some(_) => ("resource", "is not supported: a backend must be a service"),
            None => ("service", "is missing: a backend must be a service"),
        };
        return Err(Invalid::new(field, reason));
    };
    // As the API server has it with the gate RelaxedServiceNameValidation; without, it must begin with a letter.
    if !is_label(&service.name) {
        return Err(Invalid::new(
            "service.name",
            format!("\"{}\" is not a Service's name", service.name),
        ));
    }
    let given = service.port.clone().unwrap_or_default();
    let port = match (
        given.number.filter(|n| *n != 0),
        given.name.filter(|n| !n.is_empty()),
    ) {
        (Some(number), None) => BackendPort::Number(port("service.port.number", number)?),
        (None, Some(name)) if is_port_name(&name) => BackendPort::Name(name),
        (None, Some(name)) => {
            return Err(Invalid::new(
                "service.port.name",
                format!("\"{name}\" is not a port's name"),
            ));
        }
        _ => {
            return Err(Invalid::new(
                "service.port",
                "must have either a number or a name",
            ));
        }
    };
    Ok(Backend {
        service: service.name.clone(),
        port,
    })
}

fn tls(tls: &k8s::IngressTLS, sieve: &mut Sieve) -> Result<IngressTls, Invalid> {
    let hosts = tls.hosts.as_deref().unwrap_or_default();
    Ok(IngressTls {
        place: sieve.place(),
        // Without hosts it would be for all that the certificate names, which nobody has asked for.
        hosts: sieve.some("hosts", hosts, |host, sieve| tls_host(host, sieve.place()))?,
        secret: tls.secret_name.clone().filter(|s| !s.is_empty()),
    })
}

/// `validateIngressTLS`: other than in a rule, an address is taken. It cannot select a certificate: clients name no
/// address in their greeting (RFC 6066 section 3).
fn tls_host(text: &str, place: usize) -> Result<TlsHost, Invalid> {
    if is_subdomain(text) && parse_ip(text).is_some() {
        return Err(Invalid::new(
            "",
            format!(
                "\"{text}\" is an IP address, for which clients cannot ask in TLS: it names no certificate"
            ),
        ));
    }
    let name = host(text).map_err(|e| Invalid::new("", e))?;
    Ok(TlsHost { place, name })
}
