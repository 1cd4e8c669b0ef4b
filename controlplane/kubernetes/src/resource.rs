//! Where the API server has the objects of a kind, and in which version.

use serde_json::Value;

use super::received::Received;
use headgate_controlplane::model::{Id, Kind, ObjectName};
use headgate_controlplane::problem::Version;
use headgate_controlplane::source::ObjectText;

/// One way in which a server has a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource {
    /// Of the REST path: `/api/v1` or `/apis/GROUP/VERSION`.
    root: &'static str,
    plural: &'static str,
    /// What makes an object of this version one of the version that is read.
    convert: Option<fn(&mut Value)>,
}

const fn resource(root: &'static str, plural: &'static str) -> Resource {
    Resource {
        root,
        plural,
        convert: None,
    }
}

const CORE: &str = "/api/v1";
const NETWORKING: &str = "/apis/networking.k8s.io/v1";

const NAMESPACES: &[Resource] = &[resource(CORE, "namespaces")];
const PODS: &[Resource] = &[resource(CORE, "pods")];
const SERVICES: &[Resource] = &[resource(CORE, "services")];
const SECRETS: &[Resource] = &[resource(CORE, "secrets")];
const NODES: &[Resource] = &[resource(CORE, "nodes")];
const ENDPOINTS: &[Resource] = &[resource(CORE, "endpoints")];
const CONFIG_MAPS: &[Resource] = &[resource(CORE, "configmaps")];
const ENDPOINT_SLICES: &[Resource] = &[
    resource("/apis/discovery.k8s.io/v1", "endpointslices"),
    // Servers of 1.17 to 1.20 have nothing else.
    Resource {
        root: "/apis/discovery.k8s.io/v1beta1",
        plural: "endpointslices",
        convert: Some(slice_of_v1beta1),
    },
];
const INGRESS_CLASSES: &[Resource] = &[resource(NETWORKING, "ingressclasses")];
const INGRESSES: &[Resource] = &[resource(NETWORKING, "ingresses")];
const NETWORK_POLICIES: &[Resource] = &[resource(NETWORKING, "networkpolicies")];
const CLUSTER_NETWORK_POLICIES: &[Resource] = &[resource(
    "/apis/policy.networking.k8s.io/v1alpha2",
    "clusternetworkpolicies",
)];

/// The ways in which servers have a kind, the one to prefer first.
pub(crate) const fn resources(kind: Kind) -> &'static [Resource] {
    match kind {
        Kind::Namespace => NAMESPACES,
        Kind::Pod => PODS,
        Kind::Service => SERVICES,
        Kind::Secret => SECRETS,
        Kind::Node => NODES,
        Kind::Endpoints => ENDPOINTS,
        Kind::ConfigMap => CONFIG_MAPS,
        Kind::EndpointSlice => ENDPOINT_SLICES,
        Kind::IngressClass => INGRESS_CLASSES,
        Kind::Ingress => INGRESSES,
        Kind::NetworkPolicy => NETWORK_POLICIES,
        Kind::ClusterNetworkPolicy => CLUSTER_NETWORK_POLICIES,
    }
}

/// Whether a server without this kind is as good as one that has it and no objects of it.
pub(crate) const fn optional(kind: Kind) -> bool {
    matches!(kind, Kind::ClusterNetworkPolicy)
}

impl Resource {
    /// The path of its objects: of one namespace, or of all.
    pub(crate) fn path(self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) => format!("{}/namespaces/{namespace}/{}", self.root, self.plural),
            None => format!("{}/{}", self.root, self.plural),
        }
    }

    /// Which version of which object was received, and what it says in the version that is read. `None` where it has no name,
    /// which no server sends.
    pub(crate) fn take_in(self, kind: Kind, received: Received) -> Option<(Version, ObjectText)> {
        if received.name.is_empty() {
            return None;
        }
        let version = Version {
            uid: received.uid.into(),
            resource_version: received.resource_version.into(),
            id: Id::new(kind, ObjectName::new(received.namespace, received.name)),
        };
        let text = ObjectText::from(received.text);
        let text = match self.convert {
            None => text,
            Some(convert) => {
                let mut value = text.value();
                convert(&mut value);
                (&value).into()
            }
        };
        Some((version, text))
    }
}

/// `discovery.k8s.io/v1beta1` has the node and the zone of an endpoint in its `topology`, where v1 has fields of their own
/// (`Convert_v1beta1_Endpoint_To_discovery_Endpoint`).
fn slice_of_v1beta1(slice: &mut Value) {
    if let Some(version) = slice.get_mut("apiVersion") {
        *version = Kind::EndpointSlice.api_version().into();
    }
    let endpoints = slice.get_mut("endpoints").and_then(Value::as_array_mut);
    for endpoint in endpoints.into_iter().flatten().filter_map(Value::as_object_mut) {
        let Some(topology) = endpoint.remove("topology") else {
            continue;
        };
        for (label, field) in [
            ("kubernetes.io/hostname", "nodeName"),
            ("topology.kubernetes.io/zone", "zone"),
        ] {
            if let Some(text) = topology[label].as_str() {
                endpoint.entry(field).or_insert_with(|| text.into());
            }
        }
    }
}
