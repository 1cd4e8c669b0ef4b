//! Whatever JSON comes, it is answered: nothing that a client sends ends the connection or the server.

use bytes::Bytes;
use hyper::Method;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::client::{Client, config_map, ingress, server};

const KEYS: &[&str] = &[
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "resourceVersion",
    "uid",
    "generateName",
    "spec",
    "status",
    "type",
    "ports",
    "port",
    "protocol",
    "rules",
    "http",
    "paths",
    "path",
    "backend",
    "defaultBackend",
    "service",
    "endpoints",
    "addresses",
    "topology",
    "data",
    "stringData",
    "ingress",
    "egress",
    "conditions",
    "$patch",
    "$setElementOrder/ports",
    "$deleteFromPrimitiveList/finalizers",
    "op",
    "from",
    "value",
    "names",
    "versions",
    "group",
];

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec![
        "",
        "a",
        "x/y",
        "/spec/ports/0",
        "replace",
        "add",
        "remove",
        "move",
        "TCP",
        "10",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((prop::sample::select(KEYS), inner), 0..6).prop_map(
                |fields| Value::Object(
                    fields
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect::<Map<_, _>>()
                )
            ),
        ]
    })
}

/// A place, and what can be done there that has a body.
fn any_request() -> impl Strategy<Value = (Method, &'static str, &'static str)> {
    let places = [
        "/api/v1/namespaces/default/configmaps",
        "/api/v1/namespaces/default/services",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces",
        "/api/v1/nodes",
        "/api/v1/namespaces/default/events",
        "/apis/events.k8s.io/v1/namespaces/default/events",
        "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
        "/apis/networking.k8s.io/v1beta1/namespaces/default/ingresses",
        "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
        "/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        "/apis/authentication.k8s.io/v1/tokenreviews",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        "/api/v1/namespaces/default/configmaps/a",
        "/apis/networking.k8s.io/v1/namespaces/default/ingresses/a",
        "/apis/networking.k8s.io/v1/namespaces/default/ingresses/a/status",
        "/apis/networking.k8s.io/v1beta1/namespaces/default/ingresses/a",
    ];
    let types = [
        "application/json",
        "application/yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/vnd.kubernetes.protobuf",
    ];
    let methods = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    (
        prop::sample::select(methods.to_vec()),
        prop::sample::select(places.to_vec()),
        prop::sample::select(types.to_vec()),
    )
}

#[test]
fn everything_is_answered() {
    let server = headgate_apiserver::ApiServer::start(headgate_apiserver::Settings {
        age: headgate_apiserver::Age(21),
        ..Default::default()
    });
    let server = server.expect("a server");
    let client = Client::new(&server);
    let put_back = || {
        server
            .store()
            .apply_all(&[config_map("a", "x"), ingress("a")])
            .expect("stored")
    };
    proptest!(|(request in any_request(), body in any_json(), mut named in any_json())| {
        put_back();
        let (method, path, content_type) = request;
        // As it is, and with what gets an object past the first checks.
        if let Some(metadata) = named.as_object_mut().map(|fields| fields.entry("metadata").or_insert_with(|| json!({})))
            && let Some(metadata) = metadata.as_object_mut()
        {
            metadata.insert("name".into(), json!("a"));
        }
        for body in [body, named] {
            let answer = client.try_send(method.clone(), &format!("{path}?fieldManager=m&force=1"), content_type, body.to_string().into());
            let answer = answer.map_err(|why| TestCaseError::fail(format!("{method} {path} {content_type} {body}: {why}")))?;
            prop_assert!(answer.status < 500 || answer.status == 500 && answer.text.contains("resourceVersion"), "{}", answer.text);
        }
    });
}

#[test]
fn noise_on_the_line_ends_nothing_but_itself() {
    use std::io::Write;
    let server = server();
    let client = Client::new(&server);
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\xff\xff\x00",
        &[0; 70_000],
        b"",
    ] {
        let mut stream = std::net::TcpStream::connect(server.address()).expect("the server takes it");
        // The server may hang up while it is written.
        let _ = stream.write_all(noise);
    }
    let long = format!("/api/v1/configmaps?labelSelector={}", "a,".repeat(20_000));
    let _ = client.try_send(Method::GET, &long, "", Bytes::new());
    client.get("/api/v1/configmaps").ok();
}
