//! Random clusters in few words, so that selectors, blocks and ports meet.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::collection::{btree_map, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::{Value, json};

use super::oracle::Connection;

const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const KEYS: [&str; 3] = ["app", "tier", "kubernetes.io/metadata.name"];
const VALUES: [&str; 4] = ["a", "b", "x", "y"];
const PORT_NAMES: [&str; 3] = ["http", "dns", "web"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
/// Ports of pods, and those at the edges of ranges.
pub(crate) const PORTS: [u16; 8] = [1, 53, 79, 80, 81, 90, 443, 65_535];
const BLOCKS: [(&str, &[&str]); 8] = [
    ("0.0.0.0/0", &["10.0.0.0/8", "192.0.2.0/24", "10.0.1.0/28"]),
    ("10.0.0.0/8", &["10.0.0.0/24", "10.0.1.0/24", "10.0.0.2/32"]),
    ("10.0.0.0/24", &["10.0.0.0/30", "10.0.0.4/30", "10.0.0.3/32"]),
    ("10.0.1.1/32", &[]),
    ("192.0.2.128/25", &["192.0.2.128/26", "192.0.2.200/29"]),
    ("::/0", &["fd00::/64", "2001:db8::/32"]),
    ("fd00::/63", &["fd00::/126", "fd00:0:0:1::/64"]),
    ("2001:db8::/32", &["2001:db8:1::/48"]),
];
/// Addresses that are no pod's, inside and outside of the blocks.
const OUTSIDE: [&str; 9] = [
    "192.0.2.1",
    "192.0.2.130",
    "192.0.2.201",
    "198.51.100.7",
    "10.0.0.200",
    "10.9.9.9",
    "2001:db8::9",
    "2001:db8:1::9",
    "fd00::ffff",
];

/// A cluster's manifests, without what binds them to a moment.
pub(crate) fn cluster() -> impl Strategy<Value = Vec<Value>> {
    let policies = (
        vec(network_policy(), 0..6),
        vec(super::tiers::cluster_policy(), 0..4),
        vec(super::tiers::node(), 0..3),
    );
    (
        subsequence(&NAMESPACES[..], 0..=3),
        vec(any::<u8>(), 3),
        vec(pod(), 1..9),
        policies,
    )
        .prop_map(|(named, seeds, pods, (policies, tiers, nodes))| {
            let mut objects: Vec<Value> = Vec::new();
            for (name, seed) in named.iter().zip(seeds) {
                let label = VALUES[usize::from(seed) % VALUES.len()];
                objects.push(json!({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": name, "labels": {"tier": label}}}));
            }
            let numbered = |kind: &str, specs: Vec<Value>| {
                specs
                    .into_iter()
                    .zip(0..)
                    .map(|(mut object, i)| {
                        object["metadata"]["name"] = json!(format!("{kind}{i}"));
                        object
                    })
                    .collect::<Vec<_>>()
            };
            objects.extend(numbered("pod", each_its_own(pods)));
            objects.extend(numbered("policy", policies));
            objects.extend(numbered("tier", tiers));
            objects.extend(numbered("node", nodes));
            objects
        })
}

/// Takes addresses from pods that an earlier one has: the API does not say whose port a name then means.
fn each_its_own(mut pods: Vec<Value>) -> Vec<Value> {
    let mut taken = BTreeSet::new();
    for pod in &mut pods {
        if let Some(addresses) = pod["status"]["podIPs"].as_array_mut() {
            addresses.retain(|address| taken.insert(address["ip"].to_string()));
        }
    }
    pods
}

pub(crate) fn labels() -> impl Strategy<Value = Value> {
    btree_map(select(&KEYS[..2]), select(&VALUES[..]), 0..3).prop_map(|map| json!(map))
}

fn pod() -> impl Strategy<Value = Value> {
    // Few hosts, so that blocks meet them.
    let addresses = (0_u8..2, 0_u8..8, 0_u8..8).prop_map(|(net, host, kind)| {
        let v4 = json!({"ip": format!("10.0.{net}.{host}")});
        let v6 = json!({"ip": IpAddr::from([0xfd00, 0, 0, u16::from(net), 0, 0, 0, u16::from(host) + 1]).to_string()});
        match kind {
            0 => json!([]),
            1..=3 => json!([v4]),
            4 => json!([v6]),
            _ => json!([v4, v6]),
        }
    });
    let port = (
        weighted(0.8, select(&PORT_NAMES[..])),
        weighted(0.5, select(&PROTOCOLS[..])),
        select(&PORTS[..]),
    );
    let ports = vec(port, 0..4).prop_map(|ports| {
        let mut list = Vec::new();
        for (name, protocol, number) in ports {
            let mut port = json!({"containerPort": number});
            if let Some(name) = name {
                port["name"] = json!(name);
            }
            if let Some(protocol) = protocol {
                port["protocol"] = json!(protocol);
            }
            list.push(port);
        }
        json!(list)
    });
    let state = (
        select(&["10.9.9.9", "192.0.2.1", "2001:db8::9", "10.0.1.3"][..]),
        0_u8..20,
        weighted(0.1, select(&["Succeeded", "Failed", "Pending"][..])),
    );
    (select(&NAMESPACES[..]), labels(), addresses, ports, state).prop_map(
        |(namespace, labels, addresses, ports, (node, host, phase))| {
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"namespace": namespace, "labels": labels},
                "spec": {"hostNetwork": host == 0, "containers": [{"name": "c", "ports": ports}]},
                "status": {"podIPs": addresses, "hostIPs": [{"ip": node}], "phase": phase.unwrap_or("Running")}})
        },
    )
}

pub(crate) fn selector() -> impl Strategy<Value = Value> {
    let expression =
        (select(&KEYS[..]), 0_u8..4, subsequence(&VALUES[..], 1..3)).prop_map(|(key, operator, values)| {
            match operator {
                0 => json!({"key": key, "operator": "In", "values": values}),
                1 => json!({"key": key, "operator": "NotIn", "values": values}),
                2 => json!({"key": key, "operator": "Exists"}),
                _ => json!({"key": key, "operator": "DoesNotExist"}),
            }
        });
    prop_oneof![
        2 => Just(json!({})),
        3 => labels().prop_map(|labels| json!({"matchLabels": labels})),
        2 => (labels(), vec(expression, 1..3))
            .prop_map(|(labels, all)| json!({"matchLabels": labels, "matchExpressions": all})),
    ]
}

fn peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => selector().prop_map(|s| json!({"podSelector": s})),
        2 => selector().prop_map(|s| json!({"namespaceSelector": s})),
        2 => (selector(), selector()).prop_map(|(n, p)| json!({"namespaceSelector": n, "podSelector": p})),
        3 => (select(&BLOCKS[..]), vec(any::<Index>(), 0..3)).prop_map(|((cidr, parts), except)| {
            let except: Vec<_> = except.iter().filter(|_| !parts.is_empty()).map(|i| i.get(parts)).collect();
            json!({"ipBlock": {"cidr": cidr, "except": except}})
        }),
    ]
}

fn port() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        1 => Just(json!({})),
        3 => select(&PORTS[..]).prop_map(|p| json!({"port": p})),
        2 => (select(&PORTS[..]), select(&PORTS[..]))
            .prop_map(|(a, b)| json!({"port": a.min(b), "endPort": a.max(b)})),
        2 => select(&PORT_NAMES[..]).prop_map(|name| json!({"port": name})),
    ];
    (number, weighted(0.6, select(&PROTOCOLS[..]))).prop_map(|(mut port, protocol)| {
        if let Some(protocol) = protocol {
            port["protocol"] = json!(protocol);
        }
        port
    })
}

/// Lists are missing, empty or filled.
fn rules(peers: &'static str) -> impl Strategy<Value = Option<Vec<Value>>> {
    let rule = (weighted(0.8, vec(peer(), 0..4)), weighted(0.7, vec(port(), 0..3)));
    let rule = rule.prop_map(move |(from, ports)| {
        let mut rule = json!({});
        if let Some(from) = from {
            rule[peers] = json!(from);
        }
        if let Some(ports) = ports {
            rule["ports"] = json!(ports);
        }
        rule
    });
    weighted(0.8, vec(rule, 0..3))
}

fn network_policy() -> impl Strategy<Value = Value> {
    let types = weighted(0.6, subsequence(vec!["Ingress", "Egress"], 0..=2));
    (
        select(&NAMESPACES[..]),
        selector(),
        types,
        rules("from"),
        rules("to"),
    )
        .prop_map(|(namespace, subjects, types, ingress, egress)| {
            let mut spec = json!({"podSelector": subjects});
            if let Some(types) = types {
                spec["policyTypes"] = json!(types);
            }
            if let Some(rules) = ingress {
                spec["ingress"] = json!(rules);
            }
            if let Some(rules) = egress {
                spec["egress"] = json!(rules);
            }
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"namespace": namespace}, "spec": spec})
        })
}

/// Every address of a pod, and the others, to every one of the same family.
pub(crate) fn connections(objects: &[Value]) -> impl Iterator<Item = Connection> {
    let pods = objects
        .iter()
        .filter(|o| o["kind"] == "Pod" || o["kind"] == "Node");
    let listed = pods.flat_map(|o| {
        let (ips, nodes) = (
            o["status"]["podIPs"].as_array(),
            o["status"]["addresses"].as_array(),
        );
        let ips = ips.into_iter().flatten().filter_map(|ip| ip["ip"].as_str());
        ips.chain(nodes.into_iter().flatten().filter_map(|a| a["address"].as_str()))
    });
    let mut addresses: Vec<IpAddr> = listed
        .chain(OUTSIDE)
        .map(|text| text.parse().expect("an address"))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let pairs: Vec<(IpAddr, IpAddr)> = addresses
        .iter()
        .flat_map(|src| addresses.iter().map(|dst| (*src, *dst)))
        .filter(|(src, dst)| src.is_ipv4() == dst.is_ipv4())
        .collect();
    pairs.into_iter().flat_map(|(src, dst)| {
        PROTOCOLS.into_iter().flat_map(move |protocol| {
            PORTS.into_iter().map(move |port| Connection {
                src,
                dst,
                protocol,
                port,
            })
        })
    })
}
