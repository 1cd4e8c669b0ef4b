//! One cell.

use serde_json::Value;

/// The text of a cell of a kind's own columns; names and ages are the same everywhere.
pub(super) fn cell(kind: &str, column: &str, value: &Value) -> String {
    match column {
        "Name" => text(&value["metadata"]["name"]),
        "Age" => super::age(
            value["metadata"]["creationTimestamp"]
                .as_str()
                .unwrap_or_default(),
        ),
        _ => match kind {
            "Ingress" => ingress(column, value),
            "IngressClass" => ingress_class(column, value),
            "Service" => service(column, value),
            "Pod" => pod(column, value),
            "Node" => node(column, value),
            "Event" => event(column, value),
            "Lease" => text(&value["spec"]["holderIdentity"]),
            "Namespace" => text(&value["status"]["phase"]),
            "EndpointSlice" => slice(column, value),
            "Endpoints" => endpoints(value),
            "Secret" if column == "Type" => text(&value["type"]),
            "ConfigMap" | "Secret" => (count(&value["data"]) + count(&value["binaryData"])).to_string(),
            "Deployment" | "DaemonSet" => workload(column, value),
            "NetworkPolicy" => labels(&value["spec"]["podSelector"]["matchLabels"]),
            _ => String::new(),
        },
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn count(value: &Value) -> usize {
    value.as_object().map_or(0, serde_json::Map::len)
}

fn or(text: String, other: &str) -> String {
    if text.is_empty() { other.to_owned() } else { text }
}

fn labels(value: &Value) -> String {
    let pairs: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    or(pairs.join(","), "<none>")
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// The first three, and how many more there are.
fn some(parts: Vec<String>) -> String {
    let more = parts.len().saturating_sub(3);
    let shown = parts.into_iter().take(3).collect::<Vec<_>>().join(",");
    if more > 0 {
        format!("{shown} + {more} more...")
    } else {
        or(shown, "<none>")
    }
}

/// Addresses of a load balancer's status.
fn addresses(status: &Value) -> String {
    joined(items(&status["loadBalancer"]["ingress"]).map(|one| or(text(&one["ip"]), &text(&one["hostname"]))))
}

fn ingress(column: &str, value: &Value) -> String {
    let spec = &value["spec"];
    match column {
        "Class" => {
            let annotated = &value["metadata"]["annotations"]["kubernetes.io/ingress.class"];
            or(or(text(&spec["ingressClassName"]), &text(annotated)), "<none>")
        }
        "Hosts" => {
            let hosts: Vec<String> = items(&spec["rules"])
                .map(|rule| text(&rule["host"]))
                .filter(|host| !host.is_empty())
                .collect();
            if hosts.is_empty() { "*".into() } else { some(hosts) }
        }
        "Address" => addresses(&value["status"]),
        _ if items(&spec["tls"]).next().is_some() => "80, 443".into(),
        _ => "80".into(),
    }
}

fn ingress_class(column: &str, value: &Value) -> String {
    let parameters = &value["spec"]["parameters"];
    match column {
        "Controller" => text(&value["spec"]["controller"]),
        _ if !parameters.is_object() => "<none>".into(),
        _ => {
            let (group, kind, name) = (
                text(&parameters["apiGroup"]),
                text(&parameters["kind"]),
                text(&parameters["name"]),
            );
            if group.is_empty() {
                format!("{kind}/{name}")
            } else {
                format!("{kind}.{group}/{name}")
            }
        }
    }
}

fn service(column: &str, value: &Value) -> String {
    let spec = &value["spec"];
    let kind = text(&spec["type"]);
    match column {
        "Type" => kind,
        "Cluster-IP" => or(text(&spec["clusterIP"]), "<none>"),
        "External-IP" => {
            let listed = joined(items(&spec["externalIPs"]).map(text));
            match kind.as_str() {
                "LoadBalancer" => or(or(addresses(&value["status"]), &listed), "<pending>"),
                "ExternalName" => text(&spec["externalName"]),
                _ => or(listed, "<none>"),
            }
        }
        "Selector" => labels(&spec["selector"]),
        _ => or(joined(items(&spec["ports"]).map(service_port)), "<none>"),
    }
}

fn service_port(port: &Value) -> String {
    let (number, protocol) = (text(&port["port"]), or(text(&port["protocol"]), "TCP"));
    match text(&port["nodePort"]).as_str() {
        "" | "0" => format!("{number}/{protocol}"),
        node => format!("{number}:{node}/{protocol}"),
    }
}

fn pod(column: &str, value: &Value) -> String {
    let (spec, status) = (&value["spec"], &value["status"]);
    match column {
        "Ready" => {
            let ready = items(&status["containerStatuses"])
                .filter(|one| one["ready"] == true)
                .count();
            format!("{ready}/{}", items(&spec["containers"]).count())
        }
        "Status" if value["metadata"]["deletionTimestamp"].is_string() => "Terminating".into(),
        "Status" => or(text(&status["reason"]), &text(&status["phase"])),
        "Restarts" => items(&status["containerStatuses"])
            .filter_map(|one| one["restartCount"].as_u64())
            .sum::<u64>()
            .to_string(),
        "IP" => or(text(&status["podIP"]), "<none>"),
        "Node" => or(text(&spec["nodeName"]), "<none>"),
        _ => "<none>".into(),
    }
}

fn node(column: &str, value: &Value) -> String {
    let status = &value["status"];
    let address = |kind: &str| {
        let found = items(&status["addresses"]).find(|address| address["type"] == kind);
        or(
            found.map(|address| text(&address["address"])).unwrap_or_default(),
            "<none>",
        )
    };
    match column {
        "Status" => {
            let ready = items(&status["conditions"]).find(|condition| condition["type"] == "Ready");
            let state = match ready.map(|condition| condition["status"] == "True") {
                Some(true) => "Ready",
                Some(false) => "NotReady",
                None => "Unknown",
            };
            let closed = value["spec"]["unschedulable"] == true;
            if closed {
                format!("{state},SchedulingDisabled")
            } else {
                state.to_owned()
            }
        }
        "Roles" => {
            let labels = value["metadata"]["labels"].as_object();
            let roles = labels
                .into_iter()
                .flatten()
                .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"));
            or(joined(roles.map(str::to_owned)), "<none>")
        }
        "Version" => text(&status["nodeInfo"]["kubeletVersion"]),
        "Internal-IP" => address("InternalIP"),
        _ => address("ExternalIP"),
    }
}

fn event(column: &str, value: &Value) -> String {
    match column {
        "Last Seen" => {
            let times = [
                &value["series"]["lastObservedTime"],
                &value["lastTimestamp"],
                &value["eventTime"],
                &value["firstTimestamp"],
            ];
            times
                .into_iter()
                .find_map(Value::as_str)
                .map_or_else(|| "<unknown>".into(), super::age)
        }
        "Type" => text(&value["type"]),
        "Reason" => text(&value["reason"]),
        "Object" => {
            let object = &value["involvedObject"];
            format!(
                "{}/{}",
                text(&object["kind"]).to_lowercase(),
                text(&object["name"])
            )
        }
        _ => text(&value["message"]).trim().to_owned(),
    }
}

fn slice(column: &str, value: &Value) -> String {
    match column {
        "AddressType" => text(&value["addressType"]),
        "Ports" => {
            let ports: Vec<String> = items(&value["ports"])
                .map(|port| or(text(&port["port"]), "*"))
                .collect();
            if ports.is_empty() {
                "<unset>".into()
            } else {
                some(ports)
            }
        }
        _ => {
            let addresses = items(&value["endpoints"])
                .flat_map(|endpoint| items(&endpoint["addresses"]))
                .map(text);
            let addresses: Vec<String> = addresses.collect();
            if addresses.is_empty() {
                "<unset>".into()
            } else {
                some(addresses)
            }
        }
    }
}

fn endpoints(value: &Value) -> String {
    let mut all = Vec::new();
    for subset in items(&value["subsets"]) {
        for address in items(&subset["addresses"]) {
            all.extend(
                items(&subset["ports"])
                    .map(|port| format!("{}:{}", text(&address["ip"]), text(&port["port"]))),
            );
        }
    }
    some(all)
}

fn workload(column: &str, value: &Value) -> String {
    let status = |field: &str| value["status"][field].as_u64().unwrap_or(0);
    let wanted = value["spec"]["replicas"].as_u64().unwrap_or(1);
    match (value["spec"].get("replicas").is_some(), column) {
        (_, "Node Selector") => labels(&value["spec"]["template"]["spec"]["nodeSelector"]),
        (_, "Desired") => status("desiredNumberScheduled").to_string(),
        (_, "Current") => status("currentNumberScheduled").to_string(),
        (true, "Ready") => format!("{}/{wanted}", status("readyReplicas")),
        (true, "Up-to-date") => status("updatedReplicas").to_string(),
        (true, _) => status("availableReplicas").to_string(),
        (false, "Ready") => status("numberReady").to_string(),
        (false, "Up-to-date") => status("updatedNumberScheduled").to_string(),
        (false, _) => status("numberAvailable").to_string(),
    }
}
