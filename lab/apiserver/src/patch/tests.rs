use serde_json::{Value, json};

use super::apply::apply;
use super::fields::Fields;
use super::managed::{Writer, after_update};
use super::{json_patch, merge_patch, strategic_patch};

#[test]
fn json_patches_follow_rfc_6902() {
    let object = json!({"a": {"b": 1}, "list": [1, 2]});
    let patched = |operations: Value| json_patch(object.clone(), &operations);
    let all = json!([
        {"op": "test", "path": "/a/b", "value": 1}, {"op": "add", "path": "/list/1", "value": 9},
        {"op": "add", "path": "/list/-", "value": 3}, {"op": "remove", "path": "/a/b"},
        {"op": "add", "path": "/a/c~1d", "value": true}, {"op": "copy", "from": "/list/0", "path": "/a/e"},
        {"op": "move", "from": "/list/0", "path": "/f"}, {"op": "replace", "path": "/f", "value": 7},
    ]);
    let expected = json!({"a": {"c/d": true, "e": 1}, "list": [9, 2, 3], "f": 7});
    assert_eq!(patched(all).expect("it can be applied"), expected);
    for refused in [
        json!([{"op": "test", "path": "/a/b", "value": 2}]),
        json!([{"op": "remove", "path": "/x"}]),
        json!([{"op": "replace", "path": "/x", "value": 1}]),
        json!([{"op": "add", "path": "/list/7", "value": 1}]),
        json!([{"op": "add", "path": "/x/y", "value": 1}]),
    ] {
        assert_eq!(
            patched(refused.clone()).expect_err("it cannot be applied").code,
            422,
            "{refused}"
        );
    }
    for unreadable in [
        json!({}),
        json!([{"op": "add", "path": "/x"}]),
        json!([{"op": "jump", "path": "/x"}]),
    ] {
        assert_eq!(
            patched(unreadable.clone()).expect_err("it cannot be read").code,
            400,
            "{unreadable}"
        );
    }
}

#[test]
fn merge_patches_follow_rfc_7396() {
    let object = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "d": 1});
    let patch = json!({"a": {"b": null, "e": {"f": null, "g": 1}}, "list": [3], "d": {"x": 1}});
    assert_eq!(
        merge_patch(object, &patch),
        json!({"a": {"c": 2, "e": {"g": 1}}, "list": [3], "d": {"x": 1}})
    );
}

#[test]
fn strategic_patches_merge_lists_by_their_keys() {
    let service =
        json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 443, "name": "b"}], "x": ["1"]}});
    let patch = json!({"spec": {
        "$setElementOrder/ports": [{"port": 8080}, {"port": 80}],
        "ports": [{"port": 80, "name": "z"}, {"port": 443, "$patch": "delete"}, {"port": 8080}], "x": ["2"],
    }});
    let expected = json!({"spec": {"ports": [{"port": 8080}, {"port": 80, "name": "z"}], "x": ["2"]}});
    assert_eq!(strategic_patch("Service", service, &patch), expected);
    let replaced = json!({"spec": {"$patch": "replace", "a": 1}});
    assert_eq!(
        strategic_patch("Pod", json!({"spec": {"b": 1}}), &replaced),
        json!({"spec": {"a": 1}})
    );
    let kept = json!({"metadata": {"finalizers": ["b"], "$deleteFromPrimitiveList/finalizers": ["a"]}});
    let finalized = json!({"metadata": {"finalizers": ["a"]}});
    assert_eq!(
        strategic_patch("Pod", finalized, &kept),
        json!({"metadata": {"finalizers": ["b"]}})
    );
}

fn writer(manager: &str, operation: &'static str, subresource: &str) -> Writer {
    Writer {
        manager: manager.into(),
        operation,
        api_version: "v1".into(),
        subresource: subresource.into(),
    }
}

#[test]
fn two_managers_conflict_about_what_both_want_otherwise() {
    let (a, b) = (writer("a", "Apply", "status"), writer("b", "Apply", "status"));
    let status = |ip: &str| json!({"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}});
    let live = apply(
        "Ingress",
        &json!({"metadata": {"name": "x"}}),
        &status("1"),
        &a,
        false,
    )
    .expect("nobody owns it");
    let taken = apply("Ingress", &live, &status("2"), &b, false).expect_err("a owns it");
    assert_eq!(
        taken,
        [("a".to_owned(), ".status.loadBalancer.ingress".to_owned())]
    );
    // Both may want the same.
    let shared = apply("Ingress", &live, &status("1"), &b, false).expect("the same value");
    assert_eq!(
        shared["metadata"]["managedFields"].as_array().map(Vec::len),
        Some(2)
    );
    let forced = apply("Ingress", &live, &status("2"), &b, true).expect("forced");
    assert_eq!(forced["status"], status("2")["status"]);
    assert_eq!(forced["metadata"]["managedFields"][0]["manager"], "b");
    // What nobody wants any more goes.
    let gone = apply("Ingress", &forced, &json!({"status": {}}), &b, false).expect("its own");
    assert_eq!(gone["status"].get("loadBalancer"), None);
}

#[test]
fn an_update_takes_what_it_changes() {
    let (a, u) = (writer("a", "Apply", ""), writer("u", "Update", ""));
    let live = apply(
        "Service",
        &json!({}),
        &json!({"spec": {"type": "X", "ports": [{"port": 80}]}}),
        &a,
        false,
    );
    let live = live.expect("nobody owns it");
    let mut new = live.clone();
    new["spec"]["type"] = "Y".into();
    after_update("Service", Some(&live), &mut new, &u);
    let owners = new["metadata"]["managedFields"].as_array().expect("owners");
    assert_eq!(owners[1]["fieldsV1"], json!({"f:spec": {"f:type": {}}}));
    let ports =
        json!({"f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}});
    assert_eq!(owners[0]["fieldsV1"], ports);
    assert_eq!(Fields::from_json(&ports).to_json(), ports);
    assert!(apply("Service", &new, &json!({"spec": {"type": "X"}}), &a, false).is_err());
}
