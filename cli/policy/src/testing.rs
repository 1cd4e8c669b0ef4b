//! What the tests of several modules need.

use super::snapshot::PolicySnapshot;
use super::source;

/// An application of three tiers, an agent on the node's network, pods of one family, one without an address.
pub(super) const SHOP: &str = r#"
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: web, labels: {tier: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {podIPs: [{ip: 10.244.1.11}, {ip: "fd00:10:244:1::11"}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: db, labels: {tier: db}}
spec: {containers: [{name: c, ports: [{name: sql, containerPort: 5432}, {name: sync, containerPort: 5433, protocol: UDP}]}]}
status: {podIPs: [{ip: 10.244.1.12}, {ip: "fd00:10:244:1::12"}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: agent, labels: {tier: db}}
spec: {hostNetwork: true, containers: [{name: c, ports: [{name: metrics, containerPort: 9100}]}]}
status: {podIP: 192.0.2.1}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: new, labels: {tier: db}}
status: {phase: Pending}
---
apiVersion: v1
kind: Pod
metadata: {namespace: blog, name: six, labels: {tier: web}}
status: {podIPs: [{ip: "fd00:10:244:1::13"}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: db}
spec:
  podSelector: {matchLabels: {tier: db}}
  ingress:
    - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.9.0.0/16]}}]
      ports: [{port: 5432}]
    - from: [{podSelector: {matchLabels: {tier: web}}}]
      ports: [{port: sync, protocol: UDP}]
"#;

/// The default deny of both directions in a namespace.
pub(super) const DENY: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: a-deny}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";

/// A snapshot of these documents.
pub(super) fn snapshot(documents: &[&str]) -> PolicySnapshot {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("all.yaml"), documents.join("\n---\n")).expect("written");
    source::manifests(directory.path()).expect("a state that the dataplane takes")
}
