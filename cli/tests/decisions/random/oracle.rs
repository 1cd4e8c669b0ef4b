//! Kubernetes' rules, read off the manifests themselves: no groups, no tables, nothing of Headgate's code.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

/// A connection's first packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: &'static str,
    pub(crate) port: u16,
}

/// Manifests of one cluster.
pub(crate) struct Oracle<'a> {
    pub(crate) objects: &'a [Value],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

/// Whose policies are asked, and who is at the other end.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) subject: IpAddr,
    pub(crate) peer: IpAddr,
}

/// What the policies of one end say: whether they allow the connection, and which policy and rule (by its place in the
/// manifest) say so; no policy where nothing decides, no rule where none matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) allowed: bool,
    pub(crate) by: Option<(String, Option<u32>)>,
}

impl<'a> Oracle<'a> {
    /// What is said at the source, and at the destination.
    pub(crate) fn decide(&self, connection: Connection) -> [Ruling; 2] {
        let Connection { src, dst, .. } = connection;
        let own = Ruling {
            allowed: true,
            by: None,
        };
        if src == dst {
            return [own.clone(), own];
        }
        let end = |direction, subject, peer| self.end(direction, Ends { subject, peer }, connection);
        [
            end(Direction::Egress, src, dst),
            end(Direction::Ingress, dst, src),
        ]
    }

    fn end(&self, direction: Direction, ends: Ends, connection: Connection) -> Ruling {
        if let Some(decided) = self.cluster(direction, "Admin", ends, connection) {
            return decided;
        }
        let mut isolating: Vec<&Value> = self
            .of("NetworkPolicy")
            .filter(|p| isolates(p, direction) && self.selects(p, ends.subject))
            .collect();
        isolating.sort_by_key(|policy| name(policy));
        if let Some(first) = isolating.first() {
            if self.is_own_node(ends) {
                return Ruling {
                    allowed: true,
                    by: None,
                };
            }
            let rules = isolating.iter().flat_map(|policy| {
                let rules = list(&policy["spec"][direction.field()]);
                rules
                    .iter()
                    .zip(0..)
                    .map(move |(rule, number)| (*policy, rule, number))
            });
            let matching = |(policy, rule, _): &(&Value, &Value, u32)| {
                self.matches(policy, rule, direction, ends, connection)
            };
            let found = rules.into_iter().find(matching);
            return Ruling {
                allowed: found.is_some(),
                by: Some(found.map_or((name(first), None), |(policy, _, number)| {
                    (name(policy), Some(number))
                })),
            };
        }
        let baseline = self.cluster(direction, "Baseline", ends, connection);
        baseline.unwrap_or(Ruling {
            allowed: true,
            by: None,
        })
    }

    pub(crate) fn of(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |o| o["kind"] == kind)
    }

    /// Pods that can be meant by selectors and have this address.
    pub(crate) fn pods_at(&self, address: IpAddr) -> impl Iterator<Item = &'a Value> {
        self.of("Pod").filter(move |pod| {
            let running = !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            let addresses = list(&pod["status"]["podIPs"]);
            let has = addresses
                .iter()
                .any(|ip| ip["ip"] == address.to_string().as_str());
            running && has && pod["spec"]["hostNetwork"] != true
        })
    }

    /// "Traffic to and from the node where a Pod is running is always allowed".
    fn is_own_node(&self, ends: Ends) -> bool {
        let node = ends.peer.to_string();
        self.pods_at(ends.subject).any(|pod| {
            let mut hosts = list(&pod["status"]["hostIPs"]).iter();
            hosts.any(|host| host["ip"] == node.as_str())
        })
    }

    fn selects(&self, policy: &Value, address: IpAddr) -> bool {
        self.pods_at(address).any(|pod| {
            namespace(pod) == namespace(policy) && selected(&policy["spec"]["podSelector"], &labels(pod))
        })
    }

    fn matches(
        &self,
        policy: &Value,
        rule: &Value,
        direction: Direction,
        ends: Ends,
        connection: Connection,
    ) -> bool {
        let peers = list(&rule[direction.peers()]);
        let ports = list(&rule["ports"]);
        (peers.is_empty() || peers.iter().any(|peer| self.is_peer(policy, peer, ends.peer)))
            && (ports.is_empty()
                || ports
                    .iter()
                    .any(|port| self.is_port(policy, port, direction, connection)))
    }

    fn is_peer(&self, policy: &Value, peer: &Value, address: IpAddr) -> bool {
        let block = &peer["ipBlock"];
        if !block.is_null() {
            let excepted = list(&block["except"]).iter().any(|except| holds(except, address));
            return holds(&block["cidr"], address) && !excepted;
        }
        self.pods_at(address).any(|pod| {
            let namespaces = &peer["namespaceSelector"];
            let in_namespace = if namespaces.is_null() {
                namespace(pod) == namespace(policy)
            } else {
                selected(namespaces, &self.namespace_labels(namespace(pod)))
            };
            in_namespace && (peer["podSelector"].is_null() || selected(&peer["podSelector"], &labels(pod)))
        })
    }

    /// A named port is resolved by the destination pod: in an ingress rule one of those that the policy selects.
    fn is_port(&self, policy: &Value, port: &Value, direction: Direction, connection: Connection) -> bool {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        if protocol != connection.protocol {
            return false;
        }
        match &port["port"] {
            Value::Null => true,
            Value::String(name) => self.pods_at(connection.dst).any(|pod| {
                let guarded = namespace(pod) == namespace(policy)
                    && selected(&policy["spec"]["podSelector"], &labels(pod));
                (direction == Direction::Egress || guarded)
                    && named_port(pod, name, protocol) == Some(u64::from(connection.port))
            }),
            number => {
                let first = number.as_u64().expect("a port's number");
                let last = port["endPort"].as_u64().unwrap_or(first);
                (first..=last).contains(&u64::from(connection.port))
            }
        }
    }

    /// The labels that are written, and the one that every namespace has.
    pub(crate) fn namespace_labels(&self, name: &str) -> Vec<(String, String)> {
        let written = self.of("Namespace").find(|n| n["metadata"]["name"] == name);
        let mut all = written.map(labels).unwrap_or_default();
        all.retain(|(key, _)| key != "kubernetes.io/metadata.name");
        all.push(("kubernetes.io/metadata.name".to_owned(), name.to_owned()));
        all
    }
}

impl Direction {
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    pub(crate) fn peers(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// As Headgate names a policy.
pub(crate) fn name(policy: &Value) -> String {
    let own = policy["metadata"]["name"].as_str().expect("a name");
    match policy["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{own}"),
        None => own.to_owned(),
    }
}

pub(crate) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or("default")
}

pub(crate) fn labels(object: &Value) -> Vec<(String, String)> {
    let pair = |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap_or_default().to_owned());
    let map = object["metadata"]["labels"].as_object();
    map.map(|map| map.iter().map(pair).collect()).unwrap_or_default()
}

fn isolates(policy: &Value, direction: Direction) -> bool {
    let types = list(&policy["spec"]["policyTypes"]);
    if types.is_empty() {
        return direction == Direction::Ingress || !list(&policy["spec"]["egress"]).is_empty();
    }
    let name = if direction == Direction::Ingress {
        "Ingress"
    } else {
        "Egress"
    };
    types.iter().any(|t| t == name)
}

pub(crate) fn selected(selector: &Value, labels: &[(String, String)]) -> bool {
    let value = |key: &str| labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let mut equal = selector["matchLabels"].as_object().into_iter().flatten();
    let holds = |expression: &Value| {
        let found = value(expression["key"].as_str().expect("a key"));
        let listed = list(&expression["values"]).iter().any(|v| v.as_str() == found);
        match expression["operator"].as_str() {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => found.is_some(),
            Some("DoesNotExist") => found.is_none(),
            other => panic!("the operator {other:?}"),
        }
    };
    equal.all(|(key, wanted)| value(key) == wanted.as_str())
        && list(&selector["matchExpressions"]).iter().all(holds)
}

pub(crate) fn holds(block: &Value, address: IpAddr) -> bool {
    let block: IpNet = block
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a block");
    block.contains(&address)
}

/// Of several ports of one name and protocol the first counts.
pub(crate) fn named_port(pod: &Value, name: &str, protocol: &str) -> Option<u64> {
    let containers = list(&pod["spec"]["containers"]).iter();
    let mut ports = containers.flat_map(|c| list(&c["ports"]));
    let port = ports.find(|p| p["name"] == name && p["protocol"].as_str().unwrap_or("TCP") == protocol)?;
    port["containerPort"].as_u64()
}
