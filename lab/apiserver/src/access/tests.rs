use hyper::{HeaderMap, Method};
use serde_json::{Value, json};

use super::{Authorization, Authorizer, Rule, Rules, User};
use crate::keyspace::{Key, Keyspace};
use crate::request::Request;

fn get(path: &str) -> Request {
    Request::new(Method::GET, path, "", HeaderMap::new())
}

fn put(keyspace: &Keyspace, table: &str, namespace: &str, name: &str, value: Value) {
    keyspace.put_all(vec![(
        format!("{table}.rbac.authorization.k8s.io"),
        Key::new(namespace, name),
        value,
    )]);
}

fn bind(keyspace: &Keyspace, namespace: &str, role: &str, subject: &Value) {
    let table = if namespace.is_empty() {
        "clusterrolebindings"
    } else {
        "rolebindings"
    };
    let kind = if role.starts_with("cluster") {
        "ClusterRole"
    } else {
        "Role"
    };
    put(
        keyspace,
        table,
        namespace,
        role,
        json!({"roleRef": {"kind": kind, "name": role}, "subjects": [subject]}),
    );
}

#[test]
fn refusals_have_the_words_of_the_real_server() {
    let keyspace = Keyspace::new(10);
    let denials = Rules::default();
    let check = Authorizer {
        mode: Authorization::Rbac,
        denials: &denials,
        keyspace: &keyspace,
    };
    let told = |path: &str| {
        check
            .check(&User::new("x"), &get(path))
            .expect_err("no role allows it")
            .message
    };
    assert_eq!(
        told("/api/v1/secrets"),
        "secrets is forbidden: User \"x\" cannot list resource \"secrets\" in API group \"\" at the cluster scope"
    );
    assert_eq!(
        told("/apis/networking.k8s.io/v1/namespaces/a/ingresses/b/status"),
        "ingresses.networking.k8s.io \"b\" is forbidden: User \"x\" cannot get resource \"ingresses/status\" in API group \
         \"networking.k8s.io\" in the namespace \"a\""
    );
    assert_eq!(
        told("/metrics"),
        "forbidden: User \"x\" cannot get path \"/metrics\""
    );
}

#[test]
fn roles_allow_where_they_are_bound() {
    let keyspace = Keyspace::new(10);
    let denials = Rules::default();
    let rule = |names: &[&str]| json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": names});
    put(
        &keyspace,
        "clusterroles",
        "",
        "cluster-reader",
        json!({"rules": [rule(&[])]}),
    );
    put(&keyspace, "roles", "a", "one", json!({"rules": [rule(&["s"])]}));
    let account = json!({"kind": "ServiceAccount", "namespace": "h", "name": "gate"});
    bind(&keyspace, "b", "cluster-reader", &account);
    bind(&keyspace, "a", "one", &account);
    let check = Authorizer {
        mode: Authorization::Rbac,
        denials: &denials,
        keyspace: &keyspace,
    };
    let user = User::service_account("h", "gate");
    let may = |path: &str| check.check(&user, &get(path)).is_ok();
    assert!(may("/api/v1/namespaces/b/secrets"));
    assert!(may("/api/v1/namespaces/a/secrets/s"));
    assert!(!may("/api/v1/namespaces/a/secrets/t"));
    assert!(!may("/api/v1/namespaces/a/secrets"));
    assert!(!may("/api/v1/secrets"));
    assert!(!may("/api/v1/namespaces/b/configmaps"));
    bind(
        &keyspace,
        "",
        "cluster-reader",
        &json!({"kind": "Group", "name": "system:serviceaccounts:h"}),
    );
    assert!(may("/api/v1/secrets"));
    assert!(may("/apis") && may("/version"));
    denials.add(
        Rule::user(&user.name)
            .verbs(["list"])
            .resources(["secrets"])
            .cluster_only(),
    );
    assert!(!may("/api/v1/secrets") && may("/api/v1/namespaces/b/secrets"));
    assert!(check.check(&User::admin(), &get("/api/v1/secrets")).is_ok());
}
