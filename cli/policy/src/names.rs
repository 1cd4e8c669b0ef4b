//! Sets of pods, nodes and addresses, in few words.

use std::collections::{BTreeMap, BTreeSet};

use super::classes::{ClassKind, EndpointClass};
use super::snapshot::PolicySnapshot;

/// How many of a namespace's pods are named one by one.
const NAMED: usize = 4;

/// How many pods each namespace has; nodes stand under the empty name.
#[derive(Debug, Default)]
pub(super) struct Census(BTreeMap<String, usize>);

/// The namespace of a pod; empty for a node.
pub(super) fn namespace(name: &str) -> &str {
    name.split_once('/').map_or("", |(namespace, _)| namespace)
}

impl Census {
    pub(super) fn of(snapshot: &PolicySnapshot) -> Self {
        let mut counts = BTreeMap::new();
        for endpoint in snapshot.endpoints.iter().filter(|e| !e.addresses.is_empty()) {
            *counts.entry(namespace(&endpoint.name).to_owned()).or_default() += 1;
        }
        Self(counts)
    }

    /// The census of all but this one.
    pub(super) fn without(mut self, name: &str) -> Self {
        if let Some(count) = self.0.get_mut(namespace(name)) {
            *count -= 1;
        }
        self.0.retain(|_, count| *count > 0);
        self
    }

    /// Names pods and nodes: all of a namespace by the namespace, a few one by one.
    pub(super) fn describe<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut by_namespace: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for name in names {
            by_namespace.entry(namespace(name)).or_default().insert(name);
        }
        let nodes = by_namespace.remove("");
        let namespaces = self.0.keys().filter(|namespace| !namespace.is_empty()).count();
        let whole =
            |(namespace, names): (&&str, &BTreeSet<&str>)| self.0.get(*namespace) == Some(&names.len());
        let mut words = Vec::new();
        if namespaces > 1 && by_namespace.len() == namespaces && by_namespace.iter().all(whole) {
            words.push("every pod".to_owned());
        } else {
            for (namespace, names) in &by_namespace {
                if names.len() > 1 && whole((namespace, names)) {
                    words.push(format!("all of {namespace}"));
                } else {
                    words.extend(few(names, &format!(" of {namespace}")));
                }
            }
        }
        if let Some(nodes) = nodes {
            if nodes.len() > 1 && whole((&"", &nodes)) {
                words.push("every node".to_owned());
            } else {
                words.extend(few(&nodes, " nodes"));
            }
        }
        words
    }

    /// Names what is in these classes.
    pub(super) fn describe_classes<'a>(
        &self,
        classes: impl IntoIterator<Item = &'a EndpointClass>,
    ) -> Vec<String> {
        let (mut names, mut outside) = (Vec::new(), Vec::new());
        for class in classes {
            match &class.kind {
                ClassKind::Endpoints(members) => names.extend(members.iter().map(String::as_str)),
                ClassKind::Outside(addresses) => outside.push(addresses.to_string()),
            }
        }
        let mut words = self.describe(names);
        words.append(&mut outside);
        words
    }
}

/// The first names, and how many more.
pub(super) fn few(names: &BTreeSet<&str>, of: &str) -> Vec<String> {
    let mut words: Vec<String> = names.iter().take(NAMED).map(|name| (*name).to_owned()).collect();
    if let Some(more) = names.len().checked_sub(NAMED).filter(|more| *more > 0) {
        words.push(format!("{more} more{of}"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(counts: &[(&str, usize)]) -> Census {
        Census(
            counts
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
        )
    }

    #[test]
    fn whole_namespaces_are_named_as_such() {
        let census = census(&[("shop", 2), ("blog", 1), ("", 2)]);
        let words = |names: &[&str]| census.describe(names.iter().copied()).join(", ");
        assert_eq!(words(&["shop/a", "shop/b"]), "all of shop");
        assert_eq!(words(&["shop/a", "blog/x"]), "blog/x, shop/a");
        assert_eq!(words(&["shop/a", "shop/b", "blog/x"]), "every pod");
        assert_eq!(words(&["n1", "n2", "shop/a"]), "shop/a, every node");
        assert_eq!(words(&["n1"]), "n1");
    }

    #[test]
    fn of_many_a_few_are_named() {
        let census = census(&[("shop", 9)]);
        let names = ["shop/a", "shop/b", "shop/c", "shop/d", "shop/e", "shop/f"];
        let words = census.describe(names);
        assert_eq!(words.join(", "), "shop/a, shop/b, shop/c, shop/d, 2 more of shop");
        assert_eq!(census.without("shop/z").0["shop"], 8);
    }
}
