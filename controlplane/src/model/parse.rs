//! From a manifest's value to a checked object.

use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery, networking::v1 as networking};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::config_map::WantedConfigMaps;
use super::invalid::Invalid;
use super::name::{Id, Kind, ObjectName, is_label};
use super::sieve::Sieve;
use super::typed::{Notes, faultless, sifted, typed};
use super::{
    ClusterPolicy, ConfigMap, Ingress, IngressClass, Labels, Mirrored, NetworkPolicy, Node, Object, Pod,
    Secret, Service, Slice,
};

/// What a manifest's value turned out to be.
#[derive(Debug)]
pub enum ManifestIdentity {
    /// An object of a kind that is read.
    Known(Id),
    /// Something that its author counts on, but that has become another kind.
    Superseded {
        /// Its kind.
        kind: &'static str,
        /// What to use.
        successor: Kind,
    },
    /// Something else: `apiVersion kind`, for a debug line.
    Other(String),
}

/// Kind, `apiVersion`, and the kind that has taken its place.
const SUPERSEDED: [(&str, &str, Kind); 2] = [
    (
        "AdminNetworkPolicy",
        "policy.networking.k8s.io/v1alpha1",
        Kind::ClusterNetworkPolicy,
    ),
    (
        "BaselineAdminNetworkPolicy",
        "policy.networking.k8s.io/v1alpha1",
        Kind::ClusterNetworkPolicy,
    ),
];

/// Finds out which object a value is.
///
/// # Errors
///
/// A value without a kind, or of a kind that is read but without a usable name or with an old `apiVersion`.
pub fn identify(value: &Value) -> Result<ManifestIdentity, Invalid> {
    if !value.is_object() {
        return Err(Invalid::new(
            "",
            "is not an object: a manifest has apiVersion, kind and metadata",
        ));
    }
    let text = |field: &str| match value[field].as_str() {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(Invalid::new(field, "is missing")),
    };
    let (kind, version) = (text("kind")?, text("apiVersion")?);
    let superseded = SUPERSEDED.iter().find(|(k, v, _)| *k == kind && *v == version);
    if let Some((kind, _, successor)) = superseded.copied() {
        return Ok(ManifestIdentity::Superseded { kind, successor });
    }
    let Some(kind) = Kind::ALL.into_iter().find(|k| k.as_str() == kind) else {
        return Ok(ManifestIdentity::Other(format!("{version} {kind}")));
    };
    if version != kind.api_version() {
        let group = |version: &str| {
            version
                .rsplit_once('/')
                .map_or(String::new(), |(group, _)| group.to_owned())
        };
        if group(version) != group(kind.api_version()) && group(version) != "extensions" {
            return Ok(ManifestIdentity::Other(format!("{version} {kind}")));
        }
        let reason = format!(
            "\"{version}\" of {kind} is not read; use \"{}\"",
            kind.api_version()
        );
        return Err(Invalid::new("apiVersion", reason));
    }
    Ok(ManifestIdentity::Known(Id::new(
        kind,
        object_name(kind, &value["metadata"])?,
    )))
}

fn object_name(kind: Kind, metadata: &Value) -> Result<ObjectName, Invalid> {
    let name = match &metadata["name"] {
        Value::String(name) => match kind.refuses_name(name) {
            None => name.clone(),
            Some(reason) => return Err(Invalid::new("metadata.name", reason)),
        },
        Value::Null => return Err(Invalid::new("metadata.name", "is missing")),
        _ => {
            return Err(Invalid::new(
                "metadata.name",
                "must be a string; put it in quotes",
            ));
        }
    };
    let namespace = match &metadata["namespace"] {
        _ if !kind.namespaced() => String::new(),
        Value::Null => "default".to_owned(),
        Value::String(namespace) if namespace.is_empty() => "default".to_owned(),
        // `ValidateNamespaceName`
        Value::String(namespace) if is_label(namespace) => namespace.clone(),
        _ => return Err(Invalid::new("metadata.namespace", "is not an RFC 1123 label")),
    };
    Ok(ObjectName::new(namespace, name))
}

/// What became of a value.
#[derive(Debug)]
pub struct Parsed {
    /// The object, or the first field that is wrong.
    pub object: Result<Object, Invalid>,
    /// What remains of an object that is wrong, for where it has no good state to stay with.
    pub remains: Option<Object>,
    /// Fields that the kind does not have, and that are ignored.
    pub unknown: Vec<String>,
    /// Parts of a good object that are not in force as they are written, and what is instead.
    pub closed: Vec<Invalid>,
}

/// Checks a value of a known kind. Of ConfigMaps only the names are kept: nothing asks for what they hold.
pub fn parse(id: &Id, value: &mut Value) -> Parsed {
    parse_keeping(id, value, &WantedConfigMaps::default())
}

/// Checks a value of a known kind. Of ConfigMaps those are kept that are `wanted`.
pub fn parse_keeping(id: &Id, value: &mut Value, wanted: &WantedConfigMaps) -> Parsed {
    let (mut notes, mut closed) = (Notes::default(), Vec::new());
    let object = match id.kind {
        // Neither kept nor looked into.
        Kind::ConfigMap if !wanted.contains(&id.name) => Ok(Object::ConfigMap(None)),
        _ => object(id, value, &mut notes, &mut closed),
    };
    closed.append(&mut notes.remarks);
    closed.extend(notes.left_out.into_iter().map(|mut invalid| {
        invalid.reason.push_str("; the entry is left out");
        invalid
    }));
    let (object, remains) = match (object, notes.poor) {
        (Ok(poor), Some(reason)) => (Err(reason), Some(poor)),
        (object, _) => (object, None),
    };
    Parsed {
        object,
        remains,
        unknown: notes.unknown,
        closed,
    }
}

/// Reads the text of an object of a cluster in one go, where there is nothing to be said of it: it is checked, all of it is in
/// force as it is written, and where `strict` all its fields are known. Else `None`: [`parse_keeping`] says why, from a value,
/// which costs three times as much. That is also for the kinds of which there are few.
#[must_use]
pub fn parse_faultless(id: &Id, text: &str, strict: bool) -> Option<Object> {
    let object = match id.kind {
        Kind::NetworkPolicy => {
            let policy = faultless::<networking::NetworkPolicy>(text, strict)?;
            NetworkPolicy::parse(&policy).map(Object::NetworkPolicy)
        }
        _ if strict => return None,
        _ => with_sieve(id, &mut Faultless(text))?,
    };
    object.ok()
}

/// An odd entry costs itself alone, but for policies.
fn object(
    id: &Id,
    value: &mut Value,
    notes: &mut Notes,
    closed: &mut Vec<Invalid>,
) -> Result<Object, Invalid> {
    if let Some(object) = with_sieve(id, &mut Sifting { value, notes }) {
        return object;
    }
    match id.kind {
        Kind::Secret => Secret::parse(value, notes).map(Object::Secret),
        Kind::ConfigMap => {
            let map = |map: &core::ConfigMap, _: &mut Sieve| Ok(Some(ConfigMap::parse(map)));
            sifted(value, notes, map).map(Object::ConfigMap)
        }
        Kind::NetworkPolicy => typed::<networking::NetworkPolicy>(value, &mut notes.unknown)
            .and_then(|p| NetworkPolicy::parse(&p))
            .map(Object::NetworkPolicy),
        Kind::ClusterNetworkPolicy => {
            ClusterPolicy::parse(value, &mut notes.unknown, closed).map(Object::ClusterNetworkPolicy)
        }
        _ => unreachable!("all others are read with a sieve"),
    }
}

/// Objects of kinds of which an odd entry costs itself alone; `None` for other kinds.
fn with_sieve(id: &Id, reader: &mut impl Reader) -> Option<Result<Object, Invalid>> {
    let namespace = &id.name.namespace;
    let object = match id.kind {
        Kind::Namespace => {
            let labels = |n: &core::Namespace, _: &mut Sieve| Ok(n.metadata.labels.clone());
            let labels = reader.read(labels);
            labels.map(|labels| Object::Namespace(Labels::of(labels.as_ref())))
        }
        Kind::Pod => reader.read(Pod::parse).map(Object::Pod),
        Kind::Service => reader.read(Service::parse).map(Object::Service),
        Kind::EndpointSlice => {
            let slice = |s: &discovery::EndpointSlice, sieve: &mut Sieve| Slice::parse(s, namespace, sieve);
            reader.read(slice).map(Object::EndpointSlice)
        }
        Kind::IngressClass => {
            let class = |c: &networking::IngressClass, _: &mut Sieve| Ok(IngressClass::parse(c));
            reader.read(class).map(Object::IngressClass)
        }
        Kind::Ingress => reader.read(Ingress::parse).map(Object::Ingress),
        Kind::Node => reader.read(Node::parse).map(Object::Node),
        Kind::Endpoints => {
            let slices = |e: &core::Endpoints, sieve: &mut Sieve| Mirrored::parse(e, &id.name, sieve);
            reader.read(slices).map(Object::Endpoints)
        }
        Kind::Secret | Kind::ConfigMap | Kind::NetworkPolicy | Kind::ClusterNetworkPolicy => return None,
    };
    Some(object)
}

/// What objects are read from.
trait Reader {
    /// Reads what the API has as a `T`, and checks it.
    fn read<T: DeserializeOwned, U>(
        &mut self,
        parse: impl FnOnce(&T, &mut Sieve) -> Result<U, Invalid>,
    ) -> Result<U, Invalid>;
}

/// A value, of which odd entries are taken out.
struct Sifting<'a> {
    value: &'a mut Value,
    notes: &'a mut Notes,
}

impl Reader for Sifting<'_> {
    fn read<T: DeserializeOwned, U>(
        &mut self,
        parse: impl FnOnce(&T, &mut Sieve) -> Result<U, Invalid>,
    ) -> Result<U, Invalid> {
        sifted(self.value, self.notes, parse)
    }
}

/// A text, of which nothing may be odd.
struct Faultless<'a>(&'a str);

impl Reader for Faultless<'_> {
    fn read<T: DeserializeOwned, U>(
        &mut self,
        parse: impl FnOnce(&T, &mut Sieve) -> Result<U, Invalid>,
    ) -> Result<U, Invalid> {
        let odd = || Invalid::new("", "is odd");
        let object: T = faultless(self.0, false).ok_or_else(odd)?;
        let mut sieve = Sieve::default();
        let parsed = parse(&object, &mut sieve)?;
        sieve.finish().is_faultless().then_some(parsed).ok_or_else(odd)
    }
}
