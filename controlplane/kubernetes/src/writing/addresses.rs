//! Where clients reach this gateway, as the status of Ingresses says it.

use std::collections::BTreeSet;

use kube::api::{ListParams, Request};
use serde_json::Value;

use super::status::StatusAddress;
use crate::access::ApiConnection;
use crate::call::ANSWER;
use crate::reply::{Failure, Page};
use crate::starting::ready;
use headgate_controlplane::model::ObjectName;

/// Where the addresses are to be found. The flags of the same names mean what they mean for ingress-nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// `--publish-status-address`, or the ingress addresses of a process that is in no pod: these.
    Fixed(BTreeSet<StatusAddress>),
    /// The ingress addresses of this pod; but where these are its node's own, each node that serves has others, and it is
    /// those of all of them.
    Ingress {
        /// The ingress addresses.
        addresses: BTreeSet<StatusAddress>,
        /// This pod.
        pod: ObjectName,
        /// As of [`Self::Nodes`].
        internal: bool,
    },
    /// `--publish-service`: those of a Service.
    Service(ObjectName),
    /// Those of the nodes on which the pods of this gateway run.
    Nodes {
        /// One of these pods.
        pod: ObjectName,
        /// `--report-node-internal-ip-address`: a node's internal address also where it has an external one.
        internal: bool,
    },
}

/// Labels by which a pod differs from others of the same gateway.
const OWN_LABELS: [&str; 3] = [
    "controller-revision-hash",
    "pod-template-generation",
    "pod-template-hash",
];

impl Publish {
    /// The addresses as they are now.
    pub(crate) async fn find(&self, connection: &ApiConnection) -> Result<BTreeSet<StatusAddress>, Failure> {
        match self {
            Self::Fixed(addresses) => Ok(addresses.clone()),
            Self::Service(name) => Ok(of_service(&get(connection, &path("services", name)).await?)),
            Self::Nodes { pod, internal } => nodes(connection, pod, *internal).await,
            Self::Ingress {
                addresses,
                pod,
                internal,
            } => {
                let own = match get_surely(connection, &path("pods", pod)).await {
                    Ok(own) => own,
                    // It is not known to be its node's: then it is what the flag says.
                    Err(Failure::Missing | Failure::Forbidden(_)) => return Ok(addresses.clone()),
                    Err(failure) => return Err(failure),
                };
                if addresses.is_subset(&of_host(&own)) {
                    nodes(connection, pod, *internal).await
                } else {
                    Ok(addresses.clone())
                }
            }
        }
    }
}

/// The addresses of a pod's node.
fn of_host(pod: &Value) -> BTreeSet<StatusAddress> {
    let status = &pod["status"];
    let all = status["hostIPs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|ip| &ip["ip"]);
    let all = all.chain([&status["hostIP"]]).filter_map(Value::as_str);
    all.map(StatusAddress::of).collect()
}

fn path(plural: &str, name: &ObjectName) -> String {
    format!("/api/v1/namespaces/{}/{plural}/{}", name.namespace, name.name)
}

async fn get(connection: &ApiConnection, path: &str) -> Result<Value, Failure> {
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| Failure::Invalid(error.to_string()))?;
    let client = connection.client().await;
    client.request(request).await.map_err(|error| Failure::of(&error))
}

/// The same, where a server that has only just started is not believed that it forbids it.
async fn get_surely(connection: &ApiConnection, path: &str) -> Result<Value, Failure> {
    match get(connection, path).await {
        Err(Failure::Forbidden(_)) => {
            ready(&connection.client().await, ANSWER).await?;
            get(connection, path).await
        }
        answer => answer,
    }
}

/// As ingress-nginx reads a Service (`statusAddressFromService`).
fn of_service(service: &Value) -> BTreeSet<StatusAddress> {
    let spec = &service["spec"];
    let external = || {
        let ips = spec["externalIPs"].as_array().into_iter().flatten();
        ips.filter_map(Value::as_str)
            .map(StatusAddress::of)
            .collect::<BTreeSet<_>>()
    };
    let cluster = || {
        let ip = spec["clusterIP"]
            .as_str()
            .filter(|ip| !matches!(*ip, "" | "None"));
        ip.map(StatusAddress::of).into_iter().collect::<BTreeSet<_>>()
    };
    match spec["type"].as_str() {
        Some("ExternalName") => {
            let name = spec["externalName"].as_str();
            name.map(StatusAddress::of).into_iter().collect()
        }
        Some("NodePort") => {
            let external = external();
            if external.is_empty() { cluster() } else { external }
        }
        Some("LoadBalancer") => {
            let mut all = StatusAddress::of_status(service);
            all.append(&mut external());
            all
        }
        _ => cluster(),
    }
}

async fn nodes(
    connection: &ApiConnection,
    pod: &ObjectName,
    internal: bool,
) -> Result<BTreeSet<StatusAddress>, Failure> {
    let serving = serving_pods(connection, pod).await?;
    let names: BTreeSet<_> = serving
        .iter()
        .filter_map(|pod| pod["spec"]["nodeName"].as_str())
        .collect();
    let mut addresses = BTreeSet::new();
    for name in names {
        let node = get(connection, &format!("/api/v1/nodes/{name}")).await?;
        addresses.extend(of_node(&node, internal));
    }
    Ok(addresses)
}

/// The pods with the labels of this one that are ready, and are to stay.
pub(crate) async fn serving_pods(
    connection: &ApiConnection,
    pod: &ObjectName,
) -> Result<Vec<Value>, Failure> {
    let own = get(connection, &path("pods", pod)).await?;
    let labels = own["metadata"]["labels"].as_object();
    let selector: Vec<_> = labels
        .into_iter()
        .flatten()
        .filter(|(key, _)| !OWN_LABELS.contains(&key.as_str()))
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    let mut pods: Vec<Value> = if selector.is_empty() {
        vec![own]
    } else {
        let request = Request::new(format!("/api/v1/namespaces/{}/pods", pod.namespace))
            .list(&ListParams::default().labels(&selector.join(",")))
            .map_err(|error| Failure::Invalid(error.to_string()))?;
        let client = connection.client().await;
        let page: Page<Value> = client
            .request(request)
            .await
            .map_err(|error| Failure::of(&error))?;
        page.items.unwrap_or_default()
    };
    pods.retain(is_ready);
    Ok(pods)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    pod["metadata"]["deletionTimestamp"].is_null() && conditions.into_iter().flatten().any(ready)
}

/// The external addresses of a node, or else its internal ones.
fn of_node(node: &Value, internal: bool) -> BTreeSet<StatusAddress> {
    let of = |kind: &str| -> BTreeSet<_> {
        let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
        let of_kind = addresses.filter(|address| address["type"] == kind);
        of_kind
            .filter_map(|address| address["address"].as_str())
            .map(StatusAddress::of)
            .collect()
    };
    let external = if internal {
        BTreeSet::new()
    } else {
        of("ExternalIP")
    };
    if external.is_empty() {
        of("InternalIP")
    } else {
        external
    }
}
