//! The kinds of objects that the server knows, and since when: one row for each.

use serde_json::Value;

use crate::profile::Age;

/// One kind of objects, by one group.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// The API group, "" for core.
    pub(crate) group: String,
    /// "ingresses".
    pub(crate) plural: String,
    /// "ingress".
    pub(crate) singular: String,
    /// "Ingress".
    pub(crate) kind: String,
    /// "ing".
    pub(crate) short_names: Vec<String>,
    /// Whether its objects live in namespaces.
    pub(crate) namespaced: bool,
    /// The versions that this server serves, the preferred one first.
    pub(crate) versions: Vec<String>,
    /// Whether it has the subresource `status`.
    pub(crate) status: bool,
    /// Whether `metadata.generation` counts its changes.
    pub(crate) generation: bool,
    /// Whether an update without a resourceVersion is allowed.
    pub(crate) unconditional: bool,
    /// Whether a PUT makes an object that is not there.
    pub(crate) create_on_update: bool,
    /// Whether a CustomResourceDefinition brought it.
    pub(crate) custom: bool,
    /// `additionalPrinterColumns` of a custom resource.
    pub(crate) columns: Vec<Value>,
    /// Where its objects are kept: groups that share objects share this.
    pub(crate) table: String,
}

impl Resource {
    /// The name with its group, as messages have it: "ingresses.networking.k8s.io", "pods".
    pub(crate) fn qualified(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// "networking.k8s.io/v1", "v1".
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }
}

/// A resource's name with its group, if it has one.
pub(crate) fn qualified(plural: &str, group: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

/// A version of a group, with the first and the last minor version of the servers that serve it.
type Served = (&'static str, u32, u32);

/// Group, plural, kind, short names, flags, versions.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [Served],
);

const ALWAYS: &[Served] = &[("v1", 0, u32::MAX)];

// The flags: n namespaced, s status, g generation, u no update without a resourceVersion, c an update may create.
// The versions are those of the deprecated API migration guide.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("", "namespaces", "Namespace", "ns", "s", ALWAYS),
    ("", "nodes", "Node", "no", "s", ALWAYS),
    ("", "pods", "Pod", "po", "ns", ALWAYS),
    ("", "services", "Service", "svc", "nsc", ALWAYS),
    ("", "endpoints", "Endpoints", "ep", "nc", ALWAYS),
    ("", "configmaps", "ConfigMap", "cm", "n", ALWAYS),
    ("", "secrets", "Secret", "", "n", ALWAYS),
    ("", "events", "Event", "ev", "nc", ALWAYS),
    ("", "serviceaccounts", "ServiceAccount", "sa", "n", ALWAYS),
    ("networking.k8s.io", "ingresses", "Ingress", "ing", "nsg", &[("v1", 19, u32::MAX), ("v1beta1", 14, 21)]),
    ("networking.k8s.io", "ingressclasses", "IngressClass", "", "g", &[("v1", 19, u32::MAX), ("v1beta1", 18, 21)]),
    ("networking.k8s.io", "networkpolicies", "NetworkPolicy", "netpol", "ng", ALWAYS),
    ("discovery.k8s.io", "endpointslices", "EndpointSlice", "", "ng", &[("v1", 21, u32::MAX), ("v1beta1", 17, 24)]),
    ("coordination.k8s.io", "leases", "Lease", "", "nuc", &[("v1", 14, u32::MAX), ("v1beta1", 0, 21)]),
    ("events.k8s.io", "events", "Event", "ev", "nc", &[("v1", 19, u32::MAX), ("v1beta1", 0, 24)]),
    ("apps", "deployments", "Deployment", "deploy", "nsg", ALWAYS),
    ("apps", "daemonsets", "DaemonSet", "ds", "nsg", ALWAYS),
    ("policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", "nsg", &[("v1", 21, u32::MAX), ("v1beta1", 0, 24)]),
    ("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", "", "", ALWAYS),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", "", "", ALWAYS),
    ("rbac.authorization.k8s.io", "roles", "Role", "", "n", ALWAYS),
    ("rbac.authorization.k8s.io", "rolebindings", "RoleBinding", "", "n", ALWAYS),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", "", "gu", ALWAYS),
    ("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", "crd", "sgu", ALWAYS),
];

/// What a server of this age has before anybody installs a CustomResourceDefinition.
pub(crate) fn built_in(age: Age) -> Vec<Resource> {
    ROWS.iter().filter_map(|row| resource(row, age)).collect()
}

fn resource(row: &Row, age: Age) -> Option<Resource> {
    let &(group, plural, kind, short, flags, served) = row;
    let served = served
        .iter()
        .filter(|(_, since, until)| (*since..=*until).contains(&age.0));
    let versions: Vec<String> = served.map(|(version, ..)| (*version).to_owned()).collect();
    let table = if group == "events.k8s.io" {
        plural.to_owned()
    } else {
        qualified(plural, group)
    };
    (!versions.is_empty()).then(|| Resource {
        group: group.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        kind: kind.to_owned(),
        short_names: short
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        namespaced: flags.contains('n'),
        versions,
        status: flags.contains('s'),
        generation: flags.contains('g'),
        unconditional: !flags.contains('u'),
        create_on_update: flags.contains('c'),
        custom: false,
        columns: Vec::new(),
        table,
    })
}

/// The resource that a CustomResourceDefinition describes; None where names or versions are missing.
pub(crate) fn custom(definition: &Value) -> Option<Resource> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let versions = spec["versions"].as_array()?;
    let served: Vec<&Value> = versions
        .iter()
        .filter(|version| version["served"] == true)
        .collect();
    let (group, plural, kind) = (
        text(&spec["group"])?,
        text(&spec["names"]["plural"])?,
        text(&spec["names"]["kind"])?,
    );
    Some(Resource {
        table: qualified(&plural, &group),
        singular: text(&spec["names"]["singular"]).unwrap_or_else(|| kind.to_lowercase()),
        short_names: spec["names"]["shortNames"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(text)
            .collect(),
        namespaced: spec["scope"] == "Namespaced",
        versions: served
            .iter()
            .filter_map(|version| text(&version["name"]))
            .collect(),
        status: served
            .iter()
            .any(|version| version["subresources"]["status"].is_object()),
        columns: served.first()?["additionalPrinterColumns"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
        generation: true,
        unconditional: false,
        create_on_update: false,
        custom: true,
        group,
        plural,
        kind,
    })
}
