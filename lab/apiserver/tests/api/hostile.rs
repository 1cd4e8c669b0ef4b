use bytes::Bytes;
use hyper::Method;
use serde_json::json;

use crate::client::{Client, INGRESSES, JSON, MAPS, config_map, ingress, server};

#[test]
fn what_cannot_be_read_is_refused() {
    let server = server();
    let client = Client::new(&server);
    let post = |content_type: &str, body: &'static str| {
        client.send(
            Method::POST,
            MAPS,
            content_type,
            Bytes::from_static(body.as_bytes()),
        )
    };
    for body in ["", "{", "[]", "7", "{\"metadata\":", "\u{0}"] {
        post(JSON, body).failed(400, "BadRequest");
    }
    post("text/plain", "{}").failed(415, "UnsupportedMediaType");
    post("application/vnd.kubernetes.protobuf", "k8s").failed(400, "BadRequest");
    post("application/yaml", "metadata:\n  name: from-yaml\ndata: {a: b}\n").ok();
    let large = vec![b' '; 3 * 1024 * 1024 + 1];
    client
        .send(Method::POST, MAPS, JSON, large.into())
        .failed(413, "RequestEntityTooLarge");
    client.get(MAPS).ok();
}

#[test]
fn objects_of_other_places_and_kinds_are_refused() {
    let server = server();
    let client = Client::new(&server);
    client.post(MAPS, &ingress("a")).failed(400, "BadRequest");
    let mut object = config_map("a", "x");
    object["metadata"]["namespace"] = "other".into();
    client.post(MAPS, &object).failed(400, "BadRequest");
    client.post(MAPS, &config_map("a", "x")).ok();
    client
        .put(&format!("{MAPS}/b"), &config_map("a", "x"))
        .failed(400, "BadRequest");
    let mut old = ingress("a");
    old["apiVersion"] = "networking.k8s.io/v1beta1".into();
    client.post(INGRESSES, &old).failed(400, "BadRequest");
    let mut other = config_map("a", "x");
    other["metadata"]["uid"] = "00000000".into();
    client.put(&format!("{MAPS}/a"), &other).failed(409, "Conflict");
    let mut new = config_map("n", "x");
    new["metadata"]["resourceVersion"] = "5".into();
    client.post(MAPS, &new).failed(500, "InternalError");
}

#[test]
fn unknown_paths_and_methods_are_told() {
    let server = server();
    let client = Client::new(&server);
    for path in [
        "/",
        "/nothing",
        "/api/v1/unicorns",
        "/apis/none/v1/x",
        "/api/v2/pods",
        "/apis/networking.k8s.io/v1/ingresses/a",
        "/api/v1/namespaces/default/pods/a/exec",
        "/api/v1/namespaces/default/nodes",
        "/%00%zz",
    ] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
    let send = |method: Method, path: &str| client.send(method, path, JSON, Bytes::from_static(b"{}")).status;
    assert_eq!(send(Method::POST, &format!("{MAPS}/a")), 405);
    assert_eq!(send(Method::PUT, MAPS), 405);
    assert_eq!(send(Method::PATCH, MAPS), 405);
    assert_eq!(send(Method::OPTIONS, MAPS), 405);
    assert_eq!(send(Method::DELETE, &format!("{INGRESSES}/a/status")), 405);
    let mut client = Client::new(&server);
    client.accept = "text/html".into();
    client.get(MAPS).failed(406, "NotAcceptable");
}

#[test]
fn a_bad_dry_run_writes_nothing() {
    let server = server();
    let client = Client::new(&server);
    client
        .post(&format!("{MAPS}?dryRun=Some"), &config_map("a", "x"))
        .failed(400, "BadRequest");
    client.get(&format!("{MAPS}/a")).failed(404, "NotFound");
    let patch = json!({"metadata": {"name": "a"}});
    client
        .patch(&format!("{MAPS}/a"), "application/apply-patch+yaml", &patch)
        .failed(400, "BadRequest");
}
