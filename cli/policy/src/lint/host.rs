//! Pods of the host's network, whose labels selectors ask for in vain. Known of manifests alone.

use std::collections::{BTreeMap, BTreeSet};

use headgate_controlplane::model::cluster_policy;
use headgate_controlplane::model::policy::{NetworkPolicyPeer, NetworkPolicyRule};
use headgate_controlplane::model::{Labels, Model, ObjectName, Selector};

use super::{Finding, Severity};
use crate::snapshot::PolicySnapshot;

/// The label that every namespace carries without anybody writing it.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Pods of the host's network, and the labels of namespaces.
struct Hosts<'a> {
    pods: Vec<(&'a ObjectName, &'a Labels)>,
    namespaces: BTreeMap<&'a str, &'a Labels>,
}

/// Finds selectors that ask for labels which a pod of the host's network has.
pub(super) fn check(snapshot: &PolicySnapshot, findings: &mut Vec<Finding>) {
    let Some(model) = &snapshot.model else { return };
    let hosts = Hosts::of(model);
    if hosts.pods.is_empty() {
        return;
    }
    for (name, policy) in model.policies() {
        let own = |pods| hosts.in_namespace(&name.namespace, pods);
        tell(name, "spec.podSelector", None, &own(&policy.subjects), findings);
        for (field, peers, rules) in [
            ("spec.ingress", "from", &policy.ingress),
            ("spec.egress", "to", &policy.egress),
        ] {
            for (rule, number) in rules.iter().flatten().zip(0..) {
                let field = format!("{field}[{number}].{peers}");
                tell(name, &field, Some(number), &hosts.meant(name, rule), findings);
            }
        }
    }
    for (name, policy) in model.cluster_policies() {
        let cluster_policy::Pods { namespaces, pods } = &policy.subject;
        tell(
            name,
            "spec.subject",
            None,
            &hosts.in_namespaces(namespaces, pods),
            findings,
        );
    }
}

fn tell(
    name: &ObjectName,
    field: &str,
    rule: Option<u32>,
    pods: &BTreeSet<String>,
    findings: &mut Vec<Finding>,
) {
    for pod in pods {
        findings.push(Finding {
            severity: Severity::Warning,
            policy: Some(name.to_string()),
            rule,
            field: field.to_owned(),
            check: "host-network",
            text: format!("asks for labels of {pod}, which uses its node's network: no policy can select it"),
        });
    }
}

impl<'a> Hosts<'a> {
    fn of(model: &'a Model) -> Self {
        let pods = model.pods().filter(|(_, pod)| pod.host_network);
        Self {
            pods: pods.map(|(name, pod)| (name, &pod.labels)).collect(),
            namespaces: model
                .namespaces()
                .map(|(name, labels)| (name.name.as_str(), labels))
                .collect(),
        }
    }

    /// Those that a rule's peers ask for.
    fn meant(&self, policy: &ObjectName, rule: &NetworkPolicyRule) -> BTreeSet<String> {
        let of_peer = |peer: &NetworkPolicyPeer| match peer {
            NetworkPolicyPeer::Block { .. } => BTreeSet::new(),
            NetworkPolicyPeer::Pods {
                namespaces: None,
                pods,
            } => self.in_namespace(&policy.namespace, pods),
            NetworkPolicyPeer::Pods {
                namespaces: Some(namespaces),
                pods,
            } => self.in_namespaces(namespaces, pods),
        };
        rule.peers.iter().flatten().flat_map(of_peer).collect()
    }

    fn in_namespace(&self, namespace: &str, pods: &Selector) -> BTreeSet<String> {
        self.select(pods, |name| name == namespace)
    }

    fn in_namespaces(&self, namespaces: &Selector, pods: &Selector) -> BTreeSet<String> {
        self.select(pods, |name| namespaces.matches(&self.labels(name)))
    }

    /// A selector of everything asks for no label: nobody was meant in particular.
    fn select(&self, pods: &Selector, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let all = self.pods.iter().filter(|_| !pods.is_everything());
        let meant = all.filter(|(name, labels)| wanted(&name.namespace) && pods.matches(labels));
        meant.map(|(name, _)| name.to_string()).collect()
    }

    fn labels(&self, namespace: &str) -> Labels {
        let labels = self
            .namespaces
            .get(namespace)
            .copied()
            .cloned()
            .unwrap_or_default();
        if labels.contains_key(NAMESPACE_NAME_LABEL) {
            return labels;
        }
        labels.with(NAMESPACE_NAME_LABEL, namespace)
    }
}
