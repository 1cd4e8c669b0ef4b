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
