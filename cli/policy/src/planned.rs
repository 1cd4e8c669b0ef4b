//! Pods that do not run yet: of manifests as people write them.
//!
//! A manifest from a repository has no status, and mostly no Pod, but a Deployment or the like. So that policies can be asked
//! about before anything runs, a pod without a status, and the template of a workload none of whose pods is there, get an
//! address that stands in for the one that they will have: one that no block has in it but the whole of IPv4.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use headgate_controlplane::source::decode::Document;
use headgate_controlplane::source::{Batch, Change, Contents};
use serde_json::{Map, Value, json};

/// Class E (RFC 1112, section 4): nobody has such an address.
const STAND_INS: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 1);

/// Namespace and labels.
type Labelled = (String, Map<String, Value>);

/// Gives stand-in addresses, and returns the names of the pods that have one.
pub(super) fn plan(files: &mut Batch) -> BTreeSet<String> {
    let mut planner = Planner {
        address: STAND_INS,
        names: BTreeSet::new(),
    };
    let documents = files.iter_mut().filter_map(|change| match change {
        Change::File(_, Contents::Documents(documents)) => Some(documents),
        _ => None,
    });
    let mut documents: Vec<&mut Vec<Document>> = documents.collect();
    let pods = documents.iter().flat_map(|documents| documents.iter());
    let pods = pods.filter(|document| is_pod(&document.value));
    let running: Vec<Labelled> = pods
        .clone()
        .map(|document| labelled(&document.value["metadata"]))
        .collect();
    let taken: BTreeSet<String> = pods.map(|document| name(&document.value)).collect();
    for documents in &mut documents {
        for document in documents.iter_mut().filter(|document| is_pod(&document.value)) {
            planner.pod(&mut document.value);
        }
        let workload = |document: &Document| Some((document.line, pod_of(&document.value, &running)?));
        let templates: Vec<(u64, Value)> = documents.iter().filter_map(workload).collect();
        for (line, mut value) in templates {
            if !taken.contains(&name(&value)) && planner.pod(&mut value) {
                documents.push(Document { line, value });
            }
        }
    }
    planner.names
}

struct Planner {
    /// The next one.
    address: Ipv4Addr,
    names: BTreeSet<String>,
}

impl Planner {
    /// Gives a pod without a status an address; whether it has done so. One of the host's network has its node's, which
    /// nobody knows yet.
    fn pod(&mut self, pod: &mut Value) -> bool {
        let fresh = pod["status"].is_null() || pod["status"].as_object().is_some_and(Map::is_empty);
        if !fresh || pod["spec"]["hostNetwork"] == true || !self.names.insert(name(pod)) {
            return false;
        }
        pod["status"] = json!({ "podIP": self.address });
        self.address = Ipv4Addr::from(u32::from(self.address).wrapping_add(1));
        true
    }
}

fn is_pod(value: &Value) -> bool {
    value["kind"] == "Pod" && value["apiVersion"] == "v1" && value["metadata"].is_object()
}

/// The pod that a workload's template makes, by the workload's name; none where pods of it are there, or none shall be.
fn pod_of(value: &Value, running: &[Labelled]) -> Option<Value> {
    let template = match (value["apiVersion"].as_str()?, value["kind"].as_str()?) {
        ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => &value["spec"]["template"],
        ("batch/v1", "Job") => &value["spec"]["template"],
        ("batch/v1", "CronJob") => &value["spec"]["jobTemplate"]["spec"]["template"],
        _ => return None,
    };
    let owned = value["metadata"]["ownerReferences"]
        .as_array()
        .is_some_and(|owners| !owners.is_empty());
    if owned || value["spec"]["replicas"] == 0 || !template.is_object() {
        return None;
    }
    let mut metadata = value["metadata"].clone();
    let (namespace, _) = labelled(&metadata);
    let labels = template["metadata"]["labels"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let is_of_it = |(other, theirs): &Labelled| {
        *other == namespace && labels.iter().all(|(key, value)| theirs.get(key) == Some(value))
    };
    if !labels.is_empty() && running.iter().any(is_of_it) {
        return None;
    }
    metadata["labels"] = Value::Object(labels);
    let kept: BTreeMap<&str, Value> = ["namespace", "name", "labels"]
        .into_iter()
        .filter_map(|field| Some((field, metadata.get(field)?.clone())))
        .collect();
    Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": kept, "spec": template["spec"]}))
}

/// `namespace/name`.
fn name(value: &Value) -> String {
    let metadata = &value["metadata"];
    format!(
        "{}/{}",
        namespace(metadata),
        metadata["name"].as_str().unwrap_or_default()
    )
}

fn namespace(metadata: &Value) -> &str {
    metadata["namespace"]
        .as_str()
        .filter(|text| !text.is_empty())
        .unwrap_or("default")
}

fn labelled(metadata: &Value) -> Labelled {
    let labels = metadata["labels"].as_object().cloned().unwrap_or_default();
    (namespace(metadata).to_owned(), labels)
}

#[cfg(test)]
mod tests {
    use crate::ends::GivenPort;
    use crate::snapshot::PolicySnapshot;
    use crate::testing::snapshot;
    use headgate_ring::message::Protocol;

    /// A repository: no status anywhere.
    const WRITTEN: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: shop, name: web, labels: {of: the-deployment}}
spec:
  replicas: 3
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {namespace: shop, name: report}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: report}}, spec: {containers: [{name: c}]}}}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {namespace: shop, name: agent}
spec: {template: {metadata: {labels: {app: agent}}, spec: {hostNetwork: true, containers: [{name: c}]}}}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: db, labels: {app: db}}
spec: {containers: [{name: c}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: web}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}
";

    fn names(snapshot: &PolicySnapshot) -> Vec<&str> {
        snapshot
            .endpoints
            .iter()
            .map(|endpoint| endpoint.name.as_str())
            .collect()
    }

    #[test]
    fn what_shall_run_is_asked_about_as_if_it_did() {
        let repository = snapshot(&[WRITTEN]);
        assert_eq!(names(&repository), ["shop/db", "shop/report", "shop/web"]);
        let web = repository.end("shop/web").unwrap();
        assert!(web.note.as_ref().unwrap().contains("stands in"), "{web:?}");
        let port = GivenPort::Name("http".to_owned());
        assert_eq!(repository.port("shop/web", &web, &port, Protocol::Tcp), Ok(8080));
        let allowed = |from: &str| {
            let connection = headgate_net::policy::Question {
                from: repository.end(from).unwrap().addresses[0],
                to: web.addresses[0],
                protocol: Protocol::Tcp,
                port: 8080,
            };
            repository.decide(connection).unwrap().is_allowed()
        };
        assert!(allowed("shop/db") && !allowed("shop/report") && !allowed("8.8.8.8"));
    }

    #[test]
    fn what_runs_already_is_not_there_twice() {
        let pod = r"
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: web-5d4f-x, labels: {app: web, pod-template-hash: 5d4f}}
status: {podIP: 10.244.0.5}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {namespace: shop, name: web-5d4f, ownerReferences: [{kind: Deployment, name: web}]}
spec: {template: {metadata: {labels: {app: gone}}, spec: {containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: shop, name: off}
spec: {replicas: 0, template: {metadata: {labels: {app: off}}, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: waits, labels: {app: waits}}
status: {phase: Pending}
";
        let both = snapshot(&[WRITTEN, pod]);
        assert_eq!(names(&both), ["shop/db", "shop/report", "shop/web-5d4f-x"]);
        assert_eq!(both.end("shop/web-5d4f-x").unwrap().note, None);
        assert!(both.end("shop/waits").unwrap_err().contains("has no address"));
    }
}
