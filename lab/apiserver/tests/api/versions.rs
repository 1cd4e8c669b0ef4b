use headgate_apiserver::{Age, ApiServer, Settings};
use serde_json::{Value, json};

use crate::client::Client;

fn of_age(minor: u32) -> ApiServer {
    ApiServer::start(Settings {
        age: Age(minor),
        ..Settings::default()
    })
    .expect("a server")
}

fn names(list: &Value, field: &str) -> Vec<String> {
    list.as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one[field].as_str())
        .map(str::to_owned)
        .collect()
}

#[test]
fn servers_say_how_old_they_are() {
    let client_of = |minor: u32| of_age(minor);
    let version = Client::new(&client_of(21)).get("/version").ok();
    assert_eq!(
        (&version["major"], &version["minor"], &version["gitVersion"]),
        (&json!("1"), &json!("21"), &json!("v1.21.0"))
    );
    assert_eq!("1.27".parse::<Age>(), Ok(Age(27)));
    assert!("2.0".parse::<Age>().is_err() && "1.19".parse::<Age>().is_err());
}

#[test]
fn discovery_lists_groups_versions_and_resources() {
    let old = of_age(21);
    let client = Client::new(&old);
    assert_eq!(client.get("/api").ok()["versions"], json!(["v1"]));
    let groups = client.get("/apis").ok();
    let group = groups["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .find(|group| group["name"] == "discovery.k8s.io")
        .expect("a group");
    assert_eq!(names(&group["versions"], "version"), ["v1", "v1beta1"]);
    assert_eq!(group["preferredVersion"]["groupVersion"], "discovery.k8s.io/v1");
    let resources = client.get("/apis/networking.k8s.io/v1").ok();
    assert_eq!(
        names(&resources["resources"], "name"),
        [
            "ingresses",
            "ingresses/status",
            "ingressclasses",
            "networkpolicies"
        ]
    );
    assert_eq!(resources["resources"][0]["shortNames"], json!(["ing"]));
    assert_eq!(client.get("/apis/networking.k8s.io").ok()["kind"], "APIGroup");
    assert_eq!(client.get("/apis/networking.k8s.io/v2").status, 404);
    let newer = of_age(25);
    assert_eq!(
        Client::new(&newer).get("/apis/discovery.k8s.io/v1beta1").status,
        404
    );
}

#[test]
fn newer_servers_tell_all_at_once() {
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                  application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let kinds = [
        (26, "APIGroupList"),
        (27, "APIGroupDiscoveryList"),
        (34, "APIGroupDiscoveryList"),
    ];
    for (minor, kind) in kinds {
        let server = of_age(minor);
        let mut client = Client::new(&server);
        client.accept = accept.into();
        let list = client.get("/apis").ok();
        assert_eq!(list["kind"], kind, "1.{minor}");
        if minor == 34 {
            assert_eq!(list["apiVersion"], "apidiscovery.k8s.io/v2");
            let core = client.get("/api");
            assert_eq!(
                core.headers["content-type"],
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            );
            let core = core.ok();
            let pods = core["items"][0]["versions"][0]["resources"]
                .as_array()
                .expect("resources")
                .iter()
                .find(|one| one["resource"] == "pods");
            assert_eq!(pods.expect("pods")["subresources"][0]["subresource"], "status");
        }
    }
}

#[test]
fn openapi_tells_which_patches_there_are() {
    let server = of_age(24);
    let mut client = Client::new(&server);
    let path = "/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/{name}";
    let parameters = |document: &Value| names(&document["paths"][path]["patch"]["parameters"], "name");
    let old = client.get("/openapi/v2").ok();
    assert_eq!(
        (&old["swagger"], parameters(&old)),
        (
            &json!("2.0"),
            ["dryRun", "fieldManager", "force"].map(str::to_owned).to_vec()
        )
    );
    let places = client.get("/openapi/v3").ok();
    let place = places["paths"]["apis/networking.k8s.io/v1"]["serverRelativeURL"]
        .as_str()
        .expect("a place");
    let new = client.get(place).ok();
    assert_eq!(parameters(&new), parameters(&old));
    let kind = json!({"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"});
    assert_eq!(
        new["paths"][path]["patch"]["x-kubernetes-group-version-kind"],
        kind
    );
    assert_eq!(client.get("/openapi/v3/apis/none/v1").status, 404);
    client.accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf".into();
    let message = client.get("/openapi/v2");
    // Field 1 of the document: a text of three bytes.
    assert!(message.text.starts_with("\n\u{3}2.0") && message.text.contains(path));
    let older = of_age(23);
    assert_eq!(Client::new(&older).get("/openapi/v3").status, 404);
    let newer = of_age(25);
    assert!(parameters(&Client::new(&newer).get("/openapi/v2").ok()).contains(&"fieldValidation".to_owned()));
}
