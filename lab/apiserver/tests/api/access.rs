use std::time::Duration;

use headgate_apiserver::{ApiServer, Authorization, Rule, Settings, User};
use serde_json::json;

use crate::client::{Client, MAPS, server};

#[test]
fn only_those_who_are_known_are_answered() {
    let server = server();
    let mut client = Client::new(&server);
    client.token = None;
    client.get(MAPS).failed(401, "Unauthorized");
    assert_eq!(client.get("/readyz").text, "ok");
    client.token = Some("guess".into());
    client.get(MAPS).failed(401, "Unauthorized");
    server.grant("mine", User::new("me"), None);
    client.token = Some("mine".into());
    client.get(MAPS).ok();
    server.revoke("mine");
    client.get(MAPS).failed(401, "Unauthorized");
    server.grant("short", User::new("me"), Some(Duration::ZERO));
    client.token = Some("short".into());
    client.get(MAPS).failed(401, "Unauthorized");
}

#[test]
fn roles_decide_where_they_shall() {
    let settings = Settings {
        authorization: Authorization::Rbac,
        ..Settings::default()
    };
    let server = ApiServer::start(settings).expect("a server");
    let group = "rbac.authorization.k8s.io";
    let store = server.store();
    store.apply(&json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"], "resourceNames": ["one"]}],
    })).expect("stored");
    store
        .apply(&json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "gate"}],
        }))
        .expect("stored");
    server.grant("gate", User::service_account("default", "gate"), None);
    let mut client = Client::new(&server);
    client.token = Some("gate".into());
    client
        .get(&format!("{MAPS}?fieldSelector=metadata.name%3Done"))
        .ok();
    let status = client.get(MAPS).failed(403, "Forbidden");
    assert_eq!(
        status["message"],
        "configmaps is forbidden: User \"system:serviceaccount:default:gate\" cannot list resource \"configmaps\" in API group \"\" in the \
         namespace \"default\""
    );
    let ask = |verb: &str, name: &str| {
        let attributes =
            json!({"verb": verb, "resource": "configmaps", "name": name, "namespace": "default"});
        let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"resourceAttributes": attributes}});
        client
            .post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review)
            .ok()["status"]["allowed"]
            .clone()
    };
    assert_eq!(
        (ask("get", "one"), ask("get", "two"), ask("update", "one")),
        (json!(true), json!(false), json!(false))
    );
    let rules = json!({"spec": {"namespace": "default"}});
    let rules = client
        .post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &rules)
        .ok();
    assert_eq!(
        rules["status"]["resourceRules"][0]["resourceNames"],
        json!(["one"])
    );
    client.get("/apis").ok();
}

#[test]
fn denials_are_for_a_time() {
    let server = server();
    let client = Client::new(&server);
    server.deny(
        Rule::everybody()
            .resources(["secrets"])
            .verbs(["list", "watch"])
            .cluster_only(),
    );
    client.get("/api/v1/secrets").failed(403, "Forbidden");
    client.get("/api/v1/namespaces/default/secrets").ok();
    server.allow_again();
    client.get("/api/v1/secrets").ok();
}

#[test]
fn service_accounts_get_tokens_and_tokens_are_reviewed() {
    let server = server();
    let client = Client::new(&server);
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    client
        .post(&format!("{accounts}/gate/token"), &json!({"spec": {}}))
        .failed(404, "NotFound");
    client.post(accounts, &json!({"metadata": {"name": "gate"}})).ok();
    let issued = client
        .post(
            &format!("{accounts}/gate/token"),
            &json!({"spec": {"expirationSeconds": 600}}),
        )
        .ok();
    let review = |token: &serde_json::Value| {
        client
            .post(
                "/apis/authentication.k8s.io/v1/tokenreviews",
                &json!({"spec": {"token": token}}),
            )
            .ok()
    };
    let user = &review(&issued["status"]["token"])["status"]["user"];
    assert_eq!(user["username"], "system:serviceaccount:default:gate");
    assert_eq!(review(&json!("guess"))["status"]["authenticated"], false);
}
