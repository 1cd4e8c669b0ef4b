use std::sync::Arc;

use proptest::prelude::*;

use super::Index;
use crate::model::{Labels, Object, ObjectName, Pod, Selector};

fn pod(labels: &[(u8, u8)], number: u8) -> Pod {
    Pod {
        labels: labels
            .iter()
            .map(|(k, v)| (format!("k{k}"), format!("v{v}")))
            .collect(),
        addresses: vec![[10, 0, 0, number].into()],
        hosts: Vec::new(),
        host_network: false,
        ready: true,
        terminating: false,
        ports: Default::default(),
    }
}

fn any_selector() -> impl Strategy<Value = serde_json::Value> {
    let label = (0..3u8, 0..3u8);
    let expression =
        (0..3u8, 0..4usize, prop::collection::vec(0..3u8, 1..3)).prop_map(|(key, operator, values)| {
            let operator = ["In", "NotIn", "Exists", "DoesNotExist"][operator];
            let values: Vec<_> = values.iter().map(|v| format!("v{v}")).collect();
            let values = if operator.ends_with("In") {
                values
            } else {
                Vec::new()
            };
            serde_json::json!({"key": format!("k{key}"), "operator": operator, "values": values})
        });
    (
        prop::collection::vec(label, 0..2),
        prop::collection::vec(expression, 0..3),
    )
        .prop_map(|(labels, expressions)| {
            let labels: serde_json::Map<_, _> = labels
                .iter()
                .map(|(k, v)| (format!("k{k}"), format!("v{v}").into()))
                .collect();
            serde_json::json!({"matchLabels": labels, "matchExpressions": expressions})
        })
}

proptest! {
    /// The index finds what looking at every pod finds.
    #[test]
    fn selecting_is_looking_at_every_pod(
        pods in prop::collection::vec(prop::collection::vec((0..3u8, 0..3u8), 0..3), 0..12),
        selector in any_selector(),
    ) {
        let selector = Selector::parse(&serde_json::from_value(selector).unwrap()).unwrap();
        let mut index = Index::default();
        let (mut here, mut both) = (Vec::new(), Vec::new());
        for (number, labels) in pods.iter().enumerate() {
            let pod = pod(labels, number as u8);
            let namespace = if number % 4 == 3 { "there" } else { "here" };
            let name = ObjectName::new(namespace, format!("p{number:02}"));
            // It comes with other labels, and some pods go again.
            let first = Pod { labels: Labels::default().with("k0", "v0"), ..pod.clone() };
            index.set_pod(&name, Some(&Arc::new(Object::Pod(first))));
            if number % 5 == 4 {
                index.set_pod(&name, None);
                continue;
            }
            if selector.matches(&pod.labels) {
                both.push(pod.addresses[0]);
                here.extend((namespace == "here").then_some(pod.addresses[0]));
            }
            index.set_pod(&name, Some(&Arc::new(Object::Pod(pod))));
        }
        let addresses = |selected: Vec<_>| {
            let mut found: Vec<_> = selected.into_iter().map(|id| index.pod(id).unwrap().1.addresses[0]).collect();
            found.sort_unstable();
            found
        };
        prop_assert_eq!(addresses(index.select("here", &selector)), here);
        for names in [&["here", "there"][..], &["there", "here", "a", "b", "c", "d", "e", "f", "g", "h"]] {
            let namespaces = names.iter().copied();
            let selected = index.select_in(namespaces, |name| names.contains(&name), &selector);
            prop_assert_eq!(addresses(selected), both.clone(), "few namespaces and many");
        }
    }
}
