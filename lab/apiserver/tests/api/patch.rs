use serde_json::{Value, json};

use crate::client::{Client, INGRESSES, MAPS, config_map, ingress, server};

const APPLY: &str = "application/apply-patch+yaml";

#[test]
fn every_kind_of_patch_is_taken() {
    let server = server();
    let client = Client::new(&server);
    client.post(MAPS, &config_map("a", "x")).ok();
    let path = format!("{MAPS}/a");
    let data = |answer: Value| answer["data"].clone();
    let merged = client
        .patch(
            &path,
            "application/merge-patch+json",
            &json!({"data": {"b": "1"}}),
        )
        .ok();
    assert_eq!(data(merged), json!({"a": "x", "b": "1"}));
    let json_patch = json!([{"op": "remove", "path": "/data/b"}]);
    assert_eq!(
        data(
            client
                .patch(&path, "application/json-patch+json", &json_patch)
                .ok()
        ),
        json!({"a": "x"})
    );
    client
        .patch(&path, "application/json-patch+json", &json_patch)
        .failed(422, "Invalid");
    let strategic = json!({"data": {"c": "2"}, "metadata": {"labels": {"app": null}}});
    let patched = client
        .patch(&path, "application/strategic-merge-patch+json", &strategic)
        .ok();
    assert_eq!(
        (&patched["data"]["c"], patched["metadata"].get("labels")),
        (&json!("2"), None)
    );
    client
        .patch(&path, "application/json", &json!({}))
        .failed(415, "UnsupportedMediaType");
    client
        .patch(
            &format!("{MAPS}/none"),
            "application/merge-patch+json",
            &json!({}),
        )
        .failed(404, "NotFound");
    client
        .patch(
            &path,
            "application/merge-patch+json",
            &json!({"metadata": {"resourceVersion": "1"}}),
        )
        .failed(409, "Conflict");
    client
        .patch(
            &path,
            "application/merge-patch+json",
            &json!({"metadata": {"name": "b"}}),
        )
        .failed(400, "BadRequest");
}

#[test]
fn appliers_make_objects_and_conflict_about_fields() {
    let server = server();
    let client = Client::new(&server);
    let path = format!("{INGRESSES}/a");
    let made = client.patch(&format!("{path}?fieldManager=one"), APPLY, &ingress("a"));
    assert_eq!(made.status, 201);
    let made = made.ok();
    assert_eq!(
        (
            &made["metadata"]["managedFields"][0]["manager"],
            &made["metadata"]["managedFields"][0]["operation"]
        ),
        (&json!("one"), &json!("Apply"))
    );
    let mut other = ingress("a");
    other["spec"]["ingressClassName"] = "mine".into();
    let status = client
        .patch(&format!("{path}?fieldManager=two"), APPLY, &other)
        .failed(409, "Conflict");
    assert_eq!(
        status["details"]["causes"][0],
        json!({
            "reason": "FieldManagerConflict", "message": "conflict with \"one\" using networking.k8s.io/v1", "field": ".spec.ingressClassName",
        })
    );
    let forced = client
        .patch(&format!("{path}?fieldManager=two&force=true"), APPLY, &other)
        .ok();
    assert_eq!(forced["spec"]["ingressClassName"], "mine");
    // Nothing changes a second time, so no revision is used up.
    let again = client
        .patch(&format!("{path}?fieldManager=two&force=true"), APPLY, &other)
        .ok();
    assert_eq!(
        again["metadata"]["resourceVersion"],
        forced["metadata"]["resourceVersion"]
    );
    client
        .patch(&path, APPLY, &ingress("a"))
        .failed(400, "BadRequest");
    let mut gone = ingress("b");
    gone["metadata"]["uid"] = "0".into();
    client
        .patch(&format!("{INGRESSES}/b?fieldManager=one"), APPLY, &gone)
        .failed(409, "Conflict");
}

#[test]
fn two_managers_of_one_status_conflict() {
    let server = server();
    let client = Client::new(&server);
    client.post(INGRESSES, &ingress("a")).ok();
    let status = |ip: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"},
            "status": {"loadBalancer": {"ingress": [{"ip": ip}]}},
        })
    };
    let at =
        |manager: &str, force: bool| format!("{INGRESSES}/a/status?fieldManager={manager}&force={force}");
    let mine = client.patch(&at("one", false), APPLY, &status("192.0.2.1")).ok();
    assert_eq!(
        mine["metadata"]["managedFields"]
            .as_array()
            .and_then(|all| all.last())
            .map(|own| &own["subresource"]),
        Some(&json!("status"))
    );
    client
        .patch(&at("two", false), APPLY, &status("192.0.2.2"))
        .failed(409, "Conflict");
    let taken = client.patch(&at("two", true), APPLY, &status("192.0.2.2")).ok();
    assert_eq!(taken["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.2");
    assert_eq!(taken["spec"], mine["spec"]);
}
