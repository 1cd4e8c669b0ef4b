//! Random objects that the API accepts. Few names, labels, addresses and ports, so that they meet.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// In pairs of IPv4 and IPv6: of the pods that may be, then of nobody. The lab has all of them.
pub(crate) const ADDRESSES: [&str; 20] = [
    "10.244.1.11",
    "fd00:10:244:1::11",
    "10.244.1.12",
    "fd00:10:244:1::12",
    "10.244.1.13",
    "fd00:10:244:1::13",
    "10.244.1.14",
    "fd00:10:244:1::14",
    "10.244.1.15",
    "fd00:10:244:1::15",
    "10.244.1.16",
    "fd00:10:244:1::16",
    "10.244.1.17",
    "fd00:10:244:1::17",
    "10.244.1.18",
    "fd00:10:244:1::18",
    "10.244.1.19",
    "fd00:10:244:1::19",
    "192.0.2.10",
    "2001:db8:c::10",
];
/// That rules and pods name.
const PORTS: [u16; 6] = [1, 79, 80, 81, 443, 65535];

const PODS: usize = 8;
const NAMESPACES: [&str; 3] = ["n1", "n2", "n3"];
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const KEYS: [&str; 2] = ["app", "tier"];
const VALUES: [&str; 3] = ["a", "b", ""];
const PORT_NAMES: [&str; 2] = ["web", "dns"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

pub(crate) fn cluster() -> impl Strategy<Value = Vec<Value>> {
    let named = |name| labels().prop_map(move |labels| object("v1", "Namespace", name, &labels, json!({})));
    let namespaces = NAMESPACES.map(|name| option::of(named(name)));
    let pods: Vec<_> = (0..PODS).map(pod).collect();
    let tiers = vec(cluster_policy(), 0..4);
    (namespaces, pods, vec(policy(), 1..6), tiers).prop_map(|(namespaces, pods, policies, tiers)| {
        let numbered = |kind, mut policies: Vec<Value>| {
            for (n, policy) in policies.iter_mut().enumerate() {
                policy["metadata"]["name"] = json!(format!("{kind}{n}"));
            }
            policies
        };
        let mut objects: Vec<Value> = namespaces.into_iter().flatten().chain(pods).collect();
        objects.extend(numbered("policy", policies));
        let mut tiers = numbered("tier", tiers);
        for (n, policy) in tiers.iter_mut().enumerate() {
            // No two of them the same: which of such comes first the API leaves open.
            let drawn = policy["spec"]["priority"].as_u64().unwrap_or_default();
            policy["spec"]["priority"] = json!(drawn * 10 + n as u64);
        }
        objects.extend(tiers);
        objects
    })
}

/// What connections are asked for: ports that rules name and their neighbours.
pub(crate) fn ports() -> impl Strategy<Value = Vec<(&'static str, u16)>> {
    let edges = vec![1_u16, 2, 78, 79, 80, 81, 82, 442, 443, 65534, 65535];
    vec((select(&PROTOCOLS[..]), select(edges)), 10)
}

fn object(version: &str, kind: &str, name: &str, labels: &Value, rest: Value) -> Value {
    let mut object =
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}});
    if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
        object.extend(rest);
    }
    object
}

fn pod(index: usize) -> impl Strategy<Value = Value> {
    let port = |name| {
        let port = (select(&PORTS[..]), select(&PROTOCOLS[..]));
        option::of(port.prop_map(
            move |(number, protocol)| json!({"name": name, "containerPort": number, "protocol": protocol}),
        ))
    };
    let kind = prop_oneof![8 => Just("usual"), 1 => Just("host"), 1 => Just("ended")];
    let families = select(vec![vec![0, 1], vec![0, 1], vec![0], vec![1], vec![]]);
    let ports = PORT_NAMES.map(port);
    (select(&NAMESPACES[..]), labels(), ports, kind, families).prop_map(
        move |(namespace, labels, ports, kind, families)| {
            let ports: Vec<Value> = ports.into_iter().flatten().collect();
            let ips: Vec<Value> = families
                .iter()
                .map(|family| json!({"ip": ADDRESSES[2 * index + family]}))
                .collect();
            let phase = if kind == "ended" { "Succeeded" } else { "Running" };
            let mut pod = object(
                "v1",
                "Pod",
                &format!("pod{index}"),
                &labels,
                json!({
                    "spec": {"hostNetwork": kind == "host", "containers": [{"name": "c", "ports": ports}]},
                    "status": {"phase": phase, "podIPs": ips},
                }),
            );
            pod["metadata"]["namespace"] = json!(namespace);
            pod
        },
    )
}

fn labels() -> impl Strategy<Value = Value> {
    let values =
        KEYS.map(|key| option::of(select(&VALUES[..]).prop_map(move |value| (key.to_owned(), json!(value)))));
    values.prop_map(|labels| Value::Object(labels.into_iter().flatten().collect()))
}

/// Fields that are there or not.
fn fields(fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let present = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn list(element: impl Strategy<Value = Value>, longest: usize) -> impl Strategy<Value = Value> {
    vec(element, 0..=longest).prop_map(Value::Array)
}

fn policy() -> impl Strategy<Value = Value> {
    let types = select(vec![
        json!([]),
        json!(["Ingress"]),
        json!(["Egress"]),
        json!(["Egress", "Ingress"]),
    ]);
    let spec = (
        option::of(types),
        option::weighted(0.8, list(rule("from"), 2)),
        option::weighted(0.8, list(rule("to"), 2)),
    );
    (select(&NAMESPACES[..]), selector(false), spec).prop_map(|(namespace, pods, (types, ingress, egress))| {
        let spec = fields([("podSelector", Some(pods)), ("policyTypes", types), ("ingress", ingress), ("egress", egress)]);
        let metadata = json!({"namespace": namespace});
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec})
    })
}

fn rule(peers: &'static str) -> impl Strategy<Value = Value> {
    let parts = (
        option::weighted(0.8, list(peer(), 3)),
        option::weighted(0.6, list(port(), 2)),
    );
    parts.prop_map(move |(who, what)| fields([(peers, who), ("ports", what)]))
}

fn cluster_policy() -> impl Strategy<Value = Value> {
    let rules = |peers| option::of(vec(cluster_rule(peers), 1..3).prop_map(Value::Array));
    let tier = select(vec!["Admin", "Admin", "Baseline"]);
    (tier, 0..10_u32, pods_of_cluster(), rules("from"), rules("to")).prop_map(
        |(tier, priority, subject, ingress, egress)| {
            let spec = fields([
                ("tier", Some(json!(tier))),
                ("priority", Some(json!(priority))),
                ("subject", Some(subject)),
                ("ingress", ingress),
                ("egress", egress),
            ]);
            let (version, kind) = ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy");
            json!({"apiVersion": version, "kind": kind, "metadata": {}, "spec": spec})
        },
    )
}

/// `Pass` is drawn for either tier: in the last one there is nothing left to pass to.
fn cluster_rule(peers: &'static str) -> impl Strategy<Value = Value> {
    let action = select(vec!["Accept", "Deny", "Deny", "Pass"]);
    let networks = (select(&ADDRESSES[..]), prop_oneof![0..=128_u8, 112..=128_u8]);
    let networks =
        networks.prop_map(|(address, length)| json!({"networks": [network(address, length).to_string()]}));
    let number = || select(&PORTS[..]);
    let port = prop_oneof![
        number().prop_map(|port| json!({"number": port})),
        (number(), number())
            .prop_filter("a range has two ends", |(a, b)| a != b)
            .prop_map(|(a, b)| json!({"range": {"start": a.min(b), "end": a.max(b)}})),
    ];
    let protocol = (select(vec!["tcp", "udp", "sctp"]), port);
    let protocol = protocol.prop_map(|(protocol, port)| json!({protocol: {"destinationPort": port}}));
    let name = select(&PORT_NAMES[..]).prop_map(|name| json!({"destinationNamedPort": name}));
    let inside = (
        vec(pods_of_cluster(), 1..3),
        option::of(vec(prop_oneof![protocol.clone(), name], 1..3)),
    );
    // Networks have no names for ports.
    let outside = (
        vec(prop_oneof![pods_of_cluster(), networks], 1..3),
        option::of(vec(protocol, 1..3)),
    );
    let to = peers == "to";
    let matches = (inside, outside, any::<bool>())
        .prop_map(move |(inside, outside, out)| if to && out { outside } else { inside });
    (action, matches).prop_map(move |(action, (who, what))| {
        let what = what.map(|protocols| json!(protocols));
        fields([
            ("action", Some(json!(action))),
            (peers, Some(json!(who))),
            ("protocols", what),
        ])
    })
}

fn pods_of_cluster() -> impl Strategy<Value = Value> {
    prop_oneof![
        selector(true).prop_map(|namespaces| json!({"namespaces": namespaces})),
        (option::of(selector(true)), selector(false))
            .prop_map(|(n, p)| json!({"pods": fields([("namespaceSelector", n), ("podSelector", Some(p))])})),
    ]
}

fn peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        block().prop_map(|block| json!({"ipBlock": block})),
        selector(false).prop_map(|pods| json!({"podSelector": pods})),
        selector(true).prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        (selector(false), selector(true))
            .prop_map(|(p, n)| json!({"podSelector": p, "namespaceSelector": n})),
    ]
}

/// A block around one of the addresses, and excepts around any that lie in it.
fn block() -> impl Strategy<Value = Value> {
    // Mostly such as tell the addresses apart.
    let length = prop_oneof![1 => 0..=128_u8, 2 => 112..=128_u8];
    let except = (0..ADDRESSES.len(), prop_oneof![1 => 1..=128_u8, 2 => 1..=12_u8]);
    (select(&ADDRESSES[..]), length, vec(except, 0..3)).prop_map(|(address, length, excepts)| {
        let block = network(address, length);
        let inside = excepts.into_iter().filter_map(|(index, longer)| {
            let inside = ADDRESSES
                .iter()
                .cycle()
                .skip(index)
                .find(|a| a.parse().is_ok_and(|a: IpAddr| block.contains(&a)))?;
            // In the measure of `network`.
            let unit = if block.max_prefix_len() == 32 { 4 } else { 1 };
            let length = (block.prefix_len() * unit).saturating_add(longer).min(128);
            Some(network(inside, length)).filter(|except| except.prefix_len() > block.prefix_len())
        });
        let excepts: Vec<String> = inside.map(|except| except.to_string()).collect();
        json!({"cidr": block.to_string(), "except": excepts})
    })
}

/// The network of that length around an address; an IPv4 address's has a quarter of the length.
fn network(address: &str, length: u8) -> IpNet {
    let address: IpAddr = address.parse().unwrap();
    let length = if address.is_ipv4() { length / 4 } else { length };
    IpNet::new(address, length).unwrap().trunc()
}

fn selector(of_namespaces: bool) -> impl Strategy<Value = Value> {
    let keys: Vec<&str> = KEYS
        .into_iter()
        .chain(of_namespaces.then_some(NAME_LABEL))
        .collect();
    let values: Vec<&str> = VALUES
        .into_iter()
        .chain(NAMESPACES.into_iter().filter(|_| of_namespaces))
        .collect();
    let equal = option::weighted(0.5, (select(keys.clone()), select(values.clone())));
    let operators = select(vec!["In", "NotIn", "Exists", "DoesNotExist"]);
    let expressions = vec((select(keys), operators, vec(select(values), 1..3)), 0..2);
    (equal, expressions).prop_map(|(equal, expressions)| {
        let equal = equal.map(|(key, value)| json!({key: value}));
        let expression = |(key, operator, values): (&str, &str, Vec<&str>)| match operator {
            "In" | "NotIn" => json!({"key": key, "operator": operator, "values": values}),
            _ => json!({"key": key, "operator": operator}),
        };
        let expressions: Vec<Value> = expressions.into_iter().map(expression).collect();
        let expressions = (!expressions.is_empty()).then(|| json!(expressions));
        fields([("matchLabels", equal), ("matchExpressions", expressions)])
    })
}

fn port() -> impl Strategy<Value = Value> {
    let number = || select(&PORTS[..]);
    let ports = prop_oneof![
        Just((None, None)),
        select(&PORT_NAMES[..]).prop_map(|name| (Some(json!(name)), None)),
        number().prop_map(|port| (Some(json!(port)), None)),
        (number(), number()).prop_map(|(a, b)| (Some(json!(a.min(b))), Some(json!(a.max(b))))),
    ];
    (option::of(select(&PROTOCOLS[..])), ports).prop_map(|(protocol, (port, last))| {
        fields([
            ("protocol", protocol.map(|p| json!(p))),
            ("port", port),
            ("endPort", last),
        ])
    })
}
