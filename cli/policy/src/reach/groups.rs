//! Rows and columns of the matrix.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use headgate_ring::message::Endpoint;
use serde::Serialize;

use crate::classes::{ClassKind, EndpointClass};
use crate::flags::By;
use crate::names::namespace;
use crate::snapshot::PolicySnapshot;

/// So many groups are readable: with more, pods are grouped where nobody says how.
const READABLE: usize = 50;

/// A row, and a column.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub(super) name: String,
    /// Empty for nodes and addresses outside.
    pub(super) namespace: String,
    /// How many; 0 of addresses outside.
    pub(super) pods: usize,
    /// Which classes they are of, and how many of each.
    #[serde(skip)]
    pub(super) classes: Vec<(usize, usize)>,
}

/// Labels that number the pods of a workload.
const NUMBERING: [&str; 6] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "controller-revision-hash",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// The groups, and what they are by: pods before nodes before addresses outside.
pub(super) fn groups(
    snapshot: &PolicySnapshot,
    classes: &[EndpointClass],
    by: Option<By>,
    namespaces: &[String],
) -> (By, Vec<Group>) {
    let wanted = |e: &&Endpoint| namespaces.is_empty() || namespaces.iter().any(|n| n == namespace(&e.name));
    let endpoints: Vec<&Endpoint> = snapshot.endpoints.iter().filter(wanted).collect();
    let finest = [By::Pod, By::Workload].into_iter();
    let readable = |by: &By| partition(&endpoints, *by).len() <= READABLE;
    let by = by
        .or_else(|| finest.clone().find(readable))
        .unwrap_or(By::Namespace);
    let class_of: HashMap<&str, usize> = classes
        .iter()
        .enumerate()
        .flat_map(|(i, class)| class.names().iter().map(move |name| (name.as_str(), i)))
        .collect();
    let groups = partition(&endpoints, by).into_values();
    let mut groups: Vec<Group> = groups
        .filter_map(|members| group(&members, by, &class_of))
        .collect();
    groups.sort_by(|a, b| (a.namespace.is_empty(), &a.name).cmp(&(b.namespace.is_empty(), &b.name)));
    groups.extend(outside(&endpoints, classes));
    (by, groups)
}

/// Addresses outside, of the families that pods have: block by block, or, where those are too many to read, together.
fn outside(endpoints: &[&Endpoint], classes: &[EndpointClass]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (family, is_v4) in [("IPv4", true), ("IPv6", false)] {
        let here = |a: &IpAddr| a.is_ipv4() == is_v4;
        if !endpoints
            .iter()
            .any(|endpoint| endpoint.addresses.iter().any(here))
        {
            continue;
        }
        let of_family = |(index, class): (usize, &EndpointClass)| match &class.kind {
            ClassKind::Outside(outside) if here(&outside.block.addr()) => Some((index, outside.to_string())),
            _ => None,
        };
        let blocks: Vec<(usize, String)> = classes.iter().enumerate().filter_map(of_family).collect();
        let group = |name, classes| Group {
            name,
            namespace: String::new(),
            pods: 0,
            classes,
        };
        if blocks.len() > READABLE {
            let name = format!("{} blocks of {family}", blocks.len());
            groups.push(group(name, blocks.iter().map(|(index, _)| (*index, 1)).collect()));
        } else {
            groups.extend(
                blocks
                    .into_iter()
                    .map(|(index, name)| group(name, vec![(index, 1)])),
            );
        }
    }
    groups
}

/// The endpoints of each group; a node is always one of its own.
fn partition<'a>(endpoints: &[&'a Endpoint], by: By) -> BTreeMap<(&'a str, Vec<String>), Vec<&'a Endpoint>> {
    let mut groups: BTreeMap<_, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        let namespace = namespace(&endpoint.name);
        let own = vec![endpoint.name.clone()];
        let key = match by {
            _ if namespace.is_empty() => own,
            By::Pod => own,
            By::Namespace => Vec::new(),
            By::Workload => {
                let labels = endpoint
                    .labels
                    .iter()
                    .filter(|(key, _)| !NUMBERING.contains(&key.as_str()));
                let labels: Vec<String> = labels.flat_map(|(k, v)| [k.clone(), v.clone()]).collect();
                // Nothing says that pods without labels belong together.
                if labels.is_empty() { own } else { labels }
            }
        };
        groups.entry((namespace, key)).or_default().push(endpoint);
    }
    groups
}

/// A group of these; none where none has an address.
fn group(members: &[&Endpoint], by: By, class_of: &HashMap<&str, usize>) -> Option<Group> {
    let mut classes: BTreeMap<usize, usize> = BTreeMap::new();
    for member in members {
        if let Some(class) = class_of.get(member.name.as_str()) {
            *classes.entry(*class).or_default() += 1;
        }
    }
    let first = members.first().filter(|_| !classes.is_empty())?;
    let namespace = namespace(&first.name);
    let name = match by {
        By::Namespace if !namespace.is_empty() => namespace.to_owned(),
        _ if members.len() == 1 => first.name.clone(),
        _ => common_prefix(members),
    };
    Some(Group {
        name,
        namespace: namespace.to_owned(),
        pods: classes.values().sum(),
        classes: classes.into_iter().collect(),
    })
}

/// `shop/web-*` of `shop/web-1` and `shop/web-2`.
fn common_prefix(members: &[&Endpoint]) -> String {
    let first = &members[0].name;
    let common = |other: &&&Endpoint| {
        let alike = first
            .char_indices()
            .zip(other.name.chars())
            .take_while(|((_, a), b)| a == b);
        alike.last().map_or(0, |((at, c), _)| at + c.len_utf8())
    };
    let length = members.iter().map(|other| common(&other)).min().unwrap_or(0);
    let prefix = &first[..length];
    let cut = prefix.rfind(['-', '/']).map_or(0, |at| at + 1);
    format!("{}*", &prefix[..cut])
}
