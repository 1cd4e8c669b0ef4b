//! What is read in one go is what is read from a value.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::harness::manifests::any_change;
use crate::model::Kind;
use crate::model::parse::{ManifestIdentity, identify, parse, parse_faultless};

/// All places of a value but its root.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        places(value, &at, out);
        out.push(at);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(items) => (0..)
            .zip(items)
            .for_each(|(n, item): (usize, _)| below(&n.to_string(), item)),
        _ => {}
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(7),
        json!(-70_000),
        json!(8.5),
        json!(80.0),
        json!(""),
        json!("10.0.0.300"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"unknown": 1}),
    ])
}

proptest! {
    #[test]
    fn text_and_value_agree(
        change in any_change(),
        odd in prop::option::of((any::<Index>(), odd_value())),
        version in any::<bool>(),
    ) {
        let mut value = change.manifest;
        let Ok(ManifestIdentity::Known(id)) = identify(&value) else {
            panic!("{value} is an object");
        };
        if let Some((index, odd)) = odd {
            let mut all = Vec::new();
            places(&value, "", &mut all);
            all.retain(|at| at != "/kind" && at != "/apiVersion");
            let at: &String = index.get(all.as_slice());
            *value.pointer_mut(at).unwrap() = odd;
        }
        let mut text = value.clone();
        if !version {
            // As the items of a list have it.
            let fields = text.as_object_mut().unwrap();
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        let strict = matches!(id.kind, Kind::NetworkPolicy | Kind::ClusterNetworkPolicy);
        let at_once = parse_faultless(&id, &text.to_string(), strict);
        let slowly = parse(&id, &mut value);
        match at_once {
            Some(object) => {
                prop_assert_eq!(slowly.object.as_ref(), Ok(&object));
                prop_assert!(slowly.closed.is_empty() && slowly.remains.is_none());
                prop_assert!(!strict || slowly.unknown.is_empty(), "{:?}", slowly.unknown);
            }
            None if id.kind == Kind::ClusterNetworkPolicy => {}
            None => {
                let faultless = slowly.object.is_ok() && slowly.closed.is_empty();
                // A version or kind of another object is for whoever asks for a value; quantities may be numbers there.
                let fields = slowly.unknown.is_empty() || !strict;
                prop_assert!(!(faultless && fields), "{text} has no fault");
            }
        }
    }
}
