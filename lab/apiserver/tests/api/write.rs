use headgate_apiserver::{Age, ApiServer, Settings, cluster_network_policies};
use serde_json::{Value, json};

use crate::client::{Client, INGRESSES, MAPS, config_map, ingress, server};

#[test]
fn objects_are_made_read_changed_and_deleted() {
    let server = server();
    let client = Client::new(&server);
    let made = client.post(INGRESSES, &ingress("a"));
    assert_eq!(made.status, 201);
    let made = made.ok();
    let metadata = &made["metadata"];
    assert_eq!(
        (&metadata["generation"], &metadata["namespace"]),
        (&json!(1), &json!("default"))
    );
    assert!(metadata["uid"].is_string() && metadata["creationTimestamp"].is_string());
    assert_eq!(client.get(&format!("{INGRESSES}/a")).ok(), made);
    client.post(INGRESSES, &ingress("a")).failed(409, "AlreadyExists");
    let mut changed = made.clone();
    changed["spec"]["ingressClassName"] = "other".into();
    let changed = client.put(&format!("{INGRESSES}/a"), &changed).ok();
    assert_eq!(
        (&changed["metadata"]["generation"], &changed["metadata"]["uid"]),
        (&json!(2), &metadata["uid"])
    );
    client
        .put(&format!("{INGRESSES}/a"), &made)
        .failed(409, "Conflict");
    let deleted = client.delete(&format!("{INGRESSES}/a")).ok();
    assert_eq!(
        (&deleted["status"], &deleted["details"]["name"]),
        (&json!("Success"), &json!("a"))
    );
    let missing = client.get(&format!("{INGRESSES}/a")).failed(404, "NotFound");
    assert_eq!(missing["message"], "ingresses.networking.k8s.io \"a\" not found");
    assert_eq!(
        missing["details"],
        json!({"name": "a", "group": "networking.k8s.io", "kind": "ingresses"})
    );
    client.delete(&format!("{INGRESSES}/a")).failed(404, "NotFound");
}

#[test]
fn status_and_the_rest_are_written_apart() {
    let server = server();
    let client = Client::new(&server);
    let mut object = client.post(INGRESSES, &ingress("a")).ok();
    let address = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    object["status"] = address.clone();
    object["spec"]["ingressClassName"] = "other".into();
    let object = client.put(&format!("{INGRESSES}/a/status"), &object).ok();
    assert_eq!(
        (&object["status"], &object["spec"]["ingressClassName"]),
        (&address, &json!("headgate"))
    );
    assert_eq!(object["metadata"]["generation"], 1);
    let mut again = object.clone();
    again["status"] = json!({});
    let again = client.put(&format!("{INGRESSES}/a"), &again).ok();
    assert_eq!(again["status"], address);
    assert_eq!(
        again["metadata"]["resourceVersion"],
        object["metadata"]["resourceVersion"]
    );
    assert_eq!(
        client.get(&format!("{INGRESSES}/a/status")).ok()["status"],
        address
    );
    assert_eq!(client.get(&format!("{MAPS}/a/status")).status, 404);
}

#[test]
fn a_write_that_changes_nothing_raises_no_revision() {
    let server = server();
    let client = Client::new(&server);
    let made = client.post(MAPS, &config_map("a", "x")).ok();
    let before = server.store().revision();
    assert_eq!(client.put(&format!("{MAPS}/a"), &made).ok(), made);
    let patch = json!({"data": {"a": "x"}});
    assert_eq!(
        client
            .patch(&format!("{MAPS}/a"), "application/merge-patch+json", &patch)
            .ok(),
        made
    );
    assert_eq!(server.store().revision(), before);
    let dry = client.post(&format!("{MAPS}?dryRun=All"), &config_map("b", "x"));
    assert_eq!(dry.status, 201);
    assert_eq!(server.store().revision(), before);
}

#[test]
fn names_are_made_up_where_that_is_asked_for() {
    let server = server();
    let client = Client::new(&server);
    let object = json!({"metadata": {"generateName": "web-"}});
    let (one, other) = (client.post(MAPS, &object).ok(), client.post(MAPS, &object).ok());
    let name = one["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("web-") && name.len() == 9 && other["metadata"]["name"] != name);
    client.post(MAPS, &json!({"metadata": {}})).failed(422, "Invalid");
}

#[test]
fn preconditions_of_deletions_hold() {
    let server = server();
    let client = Client::new(&server);
    let made = client.post(MAPS, &config_map("a", "x")).ok();
    let delete = |body: Value| {
        client.send(
            hyper::Method::DELETE,
            &format!("{MAPS}/a"),
            "application/json",
            body.to_string().into(),
        )
    };
    delete(json!({"preconditions": {"uid": "other"}})).failed(409, "Conflict");
    delete(json!({"preconditions": {"resourceVersion": "1"}})).failed(409, "Conflict");
    delete(json!({"preconditions": {"uid": made["metadata"]["uid"]}})).ok();
    for n in 0..3 {
        client
            .post(
                MAPS,
                &config_map(&format!("m{n}"), if n == 0 { "x" } else { "y" }),
            )
            .ok();
    }
    client.delete(&format!("{MAPS}?labelSelector=app%3Dy")).ok();
    assert_eq!(server.store().list("cm", "default").len(), 1);
}

#[test]
fn finalizers_hold_an_object_back() {
    let server = server();
    let client = Client::new(&server);
    let mut object = config_map("a", "x");
    object["metadata"]["finalizers"] = json!(["test/hold"]);
    client.post(MAPS, &object).ok();
    let waiting = client.delete(&format!("{MAPS}/a")).ok();
    assert!(waiting["metadata"]["deletionTimestamp"].is_string());
    client
        .patch(
            &format!("{MAPS}/a"),
            "application/merge-patch+json",
            &json!({"metadata": {"finalizers": null}}),
        )
        .ok();
    client.get(&format!("{MAPS}/a")).failed(404, "NotFound");
}

#[test]
fn namespaces_must_be_there_and_take_their_objects_along() {
    let server = server();
    let client = Client::new(&server);
    let inside = "/api/v1/namespaces/shop/configmaps";
    client.post(inside, &config_map("a", "x")).failed(404, "NotFound");
    client
        .post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}}))
        .ok();
    client.post(inside, &config_map("a", "x")).ok();
    let from = server.store().revision();
    assert_eq!(client.delete("/api/v1/namespaces/shop").ok()["kind"], "Namespace");
    assert!(server.store().list("cm", "shop").is_empty());
    // It ends before it is gone, and what is in it is gone before it.
    let mut watch = client.watch(&format!("/api/v1/namespaces?watch=1&resourceVersion={from}"));
    let (ending, gone) = (watch.next().expect("an event"), watch.next().expect("an event"));
    assert_eq!(
        (
            &ending["type"],
            &ending["object"]["status"]["phase"],
            &gone["type"]
        ),
        (&json!("MODIFIED"), &json!("Terminating"), &json!("DELETED"))
    );
    let mut watch = client.watch(&format!("/api/v1/configmaps?watch=1&resourceVersion={from}"));
    let revision = |event: &Value| {
        event["object"]["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse::<u64>().ok())
    };
    assert!(revision(&watch.next().expect("an event")) < revision(&gone));
}

#[test]
fn rules_of_ingresses_are_the_servers() {
    let server = server();
    let client = Client::new(&server);
    let mut object = ingress("a");
    object["spec"] = json!({});
    let status = client.post(INGRESSES, &object).failed(422, "Invalid");
    assert!(
        status["message"]
            .as_str()
            .is_some_and(|said| said.starts_with("Ingress.networking.k8s.io \"a\" is invalid: spec:"))
    );
    object["spec"] = json!({"rules": [{"host": "A.test", "http": {"paths": [{"path": "x", "backend": {}}, {"path": "x", "pathType": "Prefix",
        "backend": {"service": {"name": "s", "port": {"number": 1}}}}]}}]});
    let status = client.post(INGRESSES, &object).failed(422, "Invalid");
    let fields: Vec<&str> = status["details"]["causes"]
        .as_array()
        .expect("causes")
        .iter()
        .filter_map(|cause| cause["field"].as_str())
        .collect();
    let at = "spec.rules[0].http.paths";
    let expected = [
        "spec.rules[0].host".into(),
        format!("{at}[0].pathType"),
        format!("{at}[0].backend"),
        format!("{at}[1].path"),
    ];
    assert_eq!(fields, expected);
    let mut object = ingress("Not_A_Name");
    client.post(INGRESSES, &object).failed(422, "Invalid");
    object["metadata"]["name"] = "a".into();
    client.post(INGRESSES, &object).ok();
}

#[test]
fn leases_are_made_by_put_and_never_changed_blindly() {
    let server = server();
    let client = Client::new(&server);
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let lease = |holder: &str| json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}});
    let made = client.put(path, &lease("a"));
    assert_eq!(made.status, 201);
    client.put(path, &lease("b")).failed(422, "Invalid");
    let mut mine = made.ok();
    mine["spec"]["holderIdentity"] = "b".into();
    client.put(path, &mine).ok();
    client.put(path, &mine).failed(409, "Conflict");
}

#[test]
fn events_are_seen_by_both_their_groups() {
    let server = server();
    let client = Client::new(&server);
    let event = json!({
        "metadata": {"name": "e"}, "regarding": {"kind": "Ingress", "name": "a", "namespace": "default"}, "note": "shadowed",
        "reason": "Shadowed", "type": "Warning", "reportingController": "headgate", "eventTime": "2024-01-01T00:00:00.000000Z",
    });
    client
        .post("/apis/events.k8s.io/v1/namespaces/default/events", &event)
        .ok();
    let core = client.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Da,involvedObject.kind%3DIngress").ok();
    assert_eq!(
        (
            &core["items"][0]["message"],
            &core["items"][0]["involvedObject"]["name"]
        ),
        (&json!("shadowed"), &json!("a"))
    );
    let new = client.get("/apis/events.k8s.io/v1/events").ok();
    assert_eq!(
        (&new["kind"], &new["items"][0]["note"]),
        (&json!("EventList"), &json!("shadowed"))
    );
}

#[test]
fn a_definition_brings_its_kind() {
    let server = server();
    let client = Client::new(&server);
    let path = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";
    assert_eq!(client.get(path).status, 404);
    let definition = cluster_network_policies();
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    client.post(definitions, &definition).ok();
    let policy = json!({"metadata": {"name": "p"}, "spec": {"priority": 1}});
    client.post(path, &policy).ok();
    let list = client.get(path).ok();
    // Items of custom kinds keep their kind.
    assert_eq!(
        (&list["kind"], &list["items"][0]["kind"]),
        (&json!("ClusterNetworkPolicyList"), &json!("ClusterNetworkPolicy"))
    );
    let strategic = "application/strategic-merge-patch+json";
    client
        .patch(&format!("{path}/p"), strategic, &json!({}))
        .failed(415, "UnsupportedMediaType");
    client
        .delete(&format!(
            "{definitions}/clusternetworkpolicies.policy.networking.k8s.io"
        ))
        .ok();
    assert_eq!(client.get(path).status, 404);
}

#[test]
fn old_servers_have_old_versions() {
    let server = ApiServer::start(Settings {
        age: Age(20),
        ..Settings::default()
    })
    .expect("a server");
    let client = Client::new(&server);
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1beta1", "kind": "EndpointSlice", "metadata": {"name": "s"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"], "topology": {"kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "z", "x": "y"}}],
    });
    let made = client
        .post(
            "/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices",
            &slice,
        )
        .ok();
    assert_eq!(
        made["endpoints"][0]["topology"],
        slice["endpoints"][0]["topology"]
    );
    assert_eq!(client.get("/apis/discovery.k8s.io/v1/endpointslices").status, 404);
    let stored = server
        .store()
        .get("endpointslices", "default", "s")
        .expect("stored");
    assert_eq!(
        (&stored["apiVersion"], &stored["endpoints"]),
        (&slice["apiVersion"], &made["endpoints"])
    );
}

#[test]
fn fields_that_a_kind_has_not_are_told_as_the_client_wants() {
    let server = server();
    let client = Client::new(&server);
    let mut object = ingress("a");
    object["spec"]["ingresClassName"] = "typo".into();
    let told = client.post(&format!("{INGRESSES}?dryRun=All"), &object);
    assert_eq!(
        told.headers["warning"],
        "299 - \"unknown field \\\"spec.ingresClassName\\\"\""
    );
    let status = client
        .post(&format!("{INGRESSES}?fieldValidation=Strict"), &object)
        .failed(400, "BadRequest");
    assert_eq!(
        status["message"],
        "strict decoding error: unknown field \"spec.ingresClassName\""
    );
    let quiet = client.post(&format!("{INGRESSES}?dryRun=All&fieldValidation=Ignore"), &object);
    assert!(quiet.status == 201 && !quiet.headers.contains_key("warning"));
    object["spec"] = json!({"defaultBackend": {"service": {"name": 7}}});
    client.post(INGRESSES, &object).failed(400, "BadRequest");
}

#[test]
fn what_a_client_leaves_out_is_filled_in_and_kept() {
    let server = server();
    let client = Client::new(&server);
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = client
        .post(
            secrets,
            &json!({"metadata": {"name": "s"}, "stringData": {"a": "b"}}),
        )
        .ok();
    assert_eq!(
        (&secret["type"], &secret["data"], secret.get("stringData")),
        (&json!("Opaque"), &json!({"a": "Yg=="}), None)
    );
    let services = "/api/v1/namespaces/default/services";
    let service = |port: u64| json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": [{"port": port}]}});
    let made = client.post(services, &service(80)).ok();
    assert_eq!(
        (
            &made["spec"]["ports"][0]["protocol"],
            &made["spec"]["ports"][0]["targetPort"]
        ),
        (&json!("TCP"), &json!(80))
    );
    assert!(made["spec"]["clusterIP"].is_string() && made["spec"]["ports"][0]["nodePort"].is_u64());
    let changed = client.put(&format!("{services}/web"), &service(81)).ok();
    assert_eq!(changed["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    assert_eq!(changed["spec"]["ports"][0]["protocol"], "TCP");
}

#[test]
fn writers_who_read_first_lose_no_change() {
    let server = server();
    server.store().apply(&config_map("a", "0")).expect("stored");
    let count = || {
        let client = Client::new(&server);
        for _ in 0..20 {
            loop {
                let mut object = client.get(&format!("{MAPS}/a")).ok();
                let n: u64 = object["data"]["a"]
                    .as_str()
                    .and_then(|text| text.parse().ok())
                    .expect("a number");
                object["data"]["a"] = (n + 1).to_string().into();
                match client.put(&format!("{MAPS}/a"), &object).status {
                    200 => break,
                    status => assert_eq!(status, 409),
                }
            }
        }
    };
    std::thread::scope(|scope| {
        (0..3).for_each(|_| {
            scope.spawn(count);
        });
    });
    assert_eq!(
        server.store().get("cm", "default", "a").expect("stored")["data"]["a"],
        "60"
    );
}

#[test]
fn ingresses_of_the_old_version_have_other_backends() {
    let server = ApiServer::start(Settings {
        age: Age(21),
        ..Settings::default()
    })
    .expect("a server");
    let client = Client::new(&server);
    let old = "/apis/networking.k8s.io/v1beta1/namespaces/default/ingresses";
    let backend = |port: Value| json!({"serviceName": "web", "servicePort": port});
    let rules =
        json!([{"host": "a.test", "http": {"paths": [{"path": "/", "backend": backend(json!("http"))}]}}]);
    let made = client
        .post(
            old,
            &json!({"metadata": {"name": "a"}, "spec": {"backend": backend(json!(80)), "rules": rules}}),
        )
        .ok();
    assert_eq!(made["spec"]["backend"], backend(json!(80)));
    let new = client.get(&format!("{INGRESSES}/a")).ok();
    assert_eq!(
        new["spec"]["defaultBackend"]["service"],
        json!({"name": "web", "port": {"number": 80}})
    );
    let path = &new["spec"]["rules"][0]["http"]["paths"][0];
    assert_eq!(
        (&path["pathType"], &path["backend"]["service"]["port"]["name"]),
        (&json!("ImplementationSpecific"), &json!("http"))
    );
}

#[test]
fn an_object_is_checked_without_being_written() {
    let server = server();
    let store = server.store();
    store.check(&ingress("a")).expect("nothing against it");
    let mut typo = ingress("a");
    typo["spec"]["ingresClassName"] = "x".into();
    assert_eq!(
        store.check(&typo).expect_err("a typo").to_string(),
        "unknown fields: spec.ingresClassName"
    );
    let mut empty = ingress("a");
    empty["spec"] = json!({});
    assert!(
        store
            .check(&empty)
            .expect_err("no rules")
            .to_string()
            .contains("`defaultBackend` or `rules`")
    );
    assert!(
        store
            .check(&json!({"apiVersion": "v1", "kind": "Unicorn"}))
            .is_err()
    );
    assert!(store.list("ing", "").is_empty());
}

#[test]
fn a_test_may_set_what_the_server_would() {
    let server = server();
    let mut object = ingress("a");
    object["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
    server.store().apply(&object).expect("stored");
    object["metadata"]["deletionTimestamp"] = "2020-01-02T00:00:00Z".into();
    let stored = server.store().apply(&object).expect("stored");
    let metadata = &stored["metadata"];
    assert_eq!(
        (&metadata["creationTimestamp"], &metadata["deletionTimestamp"]),
        (&json!("2020-01-01T00:00:00Z"), &json!("2020-01-02T00:00:00Z"))
    );
    // A client may not.
    let client = Client::new(&server);
    object["metadata"]["name"] = "b".into();
    let made = client.post(INGRESSES, &object).ok();
    assert!(
        made["metadata"]["creationTimestamp"] != "2020-01-01T00:00:00Z"
            && made["metadata"].get("deletionTimestamp").is_none()
    );
}
