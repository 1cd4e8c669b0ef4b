//! The types of the server's own kinds: what does not fit them cannot be read, and what they do not have is told as the
//! parameter `fieldValidation` wants it.

use k8s_openapi::api::{
    admissionregistration, apps, coordination, core, discovery, networking, policy, rbac,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::resources::Resource;

/// The fields that the kind does not have; what is wrong where a field is of another type. Old versions, whose types
/// nobody has any more, and custom resources fit always.
pub(crate) fn unknown_fields(
    resource: &Resource,
    version: &str,
    value: &Value,
) -> Result<Vec<String>, String> {
    if version != "v1" || resource.custom {
        return Ok(Vec::new());
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => read::<core::v1::Namespace>(value),
        ("", "Node") => read::<core::v1::Node>(value),
        ("", "Pod") => read::<core::v1::Pod>(value),
        ("", "Service") => read::<core::v1::Service>(value),
        ("", "Endpoints") => read::<core::v1::Endpoints>(value),
        ("", "ConfigMap") => read::<core::v1::ConfigMap>(value),
        ("", "Secret") => read::<core::v1::Secret>(value),
        ("", "Event") => read::<core::v1::Event>(value),
        ("", "ServiceAccount") => read::<core::v1::ServiceAccount>(value),
        ("networking.k8s.io", "Ingress") => read::<networking::v1::Ingress>(value),
        ("networking.k8s.io", "IngressClass") => read::<networking::v1::IngressClass>(value),
        ("networking.k8s.io", "NetworkPolicy") => read::<networking::v1::NetworkPolicy>(value),
        ("discovery.k8s.io", "EndpointSlice") => read::<discovery::v1::EndpointSlice>(value),
        ("coordination.k8s.io", "Lease") => read::<coordination::v1::Lease>(value),
        ("events.k8s.io", "Event") => read::<k8s_openapi::api::events::v1::Event>(value),
        ("apps", "Deployment") => read::<apps::v1::Deployment>(value),
        ("apps", "DaemonSet") => read::<apps::v1::DaemonSet>(value),
        ("policy", "PodDisruptionBudget") => read::<policy::v1::PodDisruptionBudget>(value),
        ("rbac.authorization.k8s.io", "ClusterRole") => read::<rbac::v1::ClusterRole>(value),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => read::<rbac::v1::ClusterRoleBinding>(value),
        ("rbac.authorization.k8s.io", "Role") => read::<rbac::v1::Role>(value),
        ("rbac.authorization.k8s.io", "RoleBinding") => read::<rbac::v1::RoleBinding>(value),
        ("admissionregistration.k8s.io", _) => {
            read::<admissionregistration::v1::ValidatingWebhookConfiguration>(value)
        }
        _ => Ok(Vec::new()),
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    serde_ignored::deserialize::<_, _, T>(value, |path| unknown.push(path_text(&path.to_string())))
        .map_err(|error| error.to_string())?;
    Ok(unknown)
}

/// `spec.?.rules.0.host` as the server has it: `spec.rules[0].host`.
fn path_text(path: &str) -> String {
    let mut text = String::new();
    for step in path.split('.').filter(|step| *step != "?") {
        if step.parse::<usize>().is_ok() {
            text = format!("{text}[{step}]");
        } else {
            text = if text.is_empty() {
                step.to_owned()
            } else {
                format!("{text}.{step}")
            };
        }
    }
    text
}
