//! What is asked of the server without being kept: reviews of access and of tokens, and tokens of service accounts.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::access::User;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::keyspace::Key;
use crate::request::{Request, Target};
use crate::shared::Shared;
use crate::write::decode_value;

/// Group, plural, kind, and whether it is in a namespace: what discovery tells of them. All of v1, all to be created alone.
pub(crate) const RESOURCES: &[(&str, &str, &str, bool)] = &[
    ("authentication.k8s.io", "tokenreviews", "TokenReview", false),
    (
        "authorization.k8s.io",
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        true,
    ),
    (
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        false,
    ),
    (
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        false,
    ),
    (
        "authorization.k8s.io",
        "subjectaccessreviews",
        "SubjectAccessReview",
        false,
    ),
];

/// The answer to a review; None where the request is for something else.
pub(crate) fn answer(
    shared: &Shared,
    request: &Request,
    user: &User,
    body: &Bytes,
) -> Option<Result<Answer, Failure>> {
    let target = &request.target;
    let is_token =
        target.group.is_empty() && target.resource == "serviceaccounts" && target.subresource == "token";
    let is_review = RESOURCES
        .iter()
        .any(|(group, plural, ..)| *group == target.group && *plural == target.resource);
    if !(is_token || is_review) || target.version != "v1" {
        return None;
    }
    if target.verb != "create" {
        return Some(Ok(Answer::no_such_method()));
    }
    let answered = decode_value(request.content_type(), body).and_then(|mut review| {
        if !review.is_object() {
            return Err(Failure::bad_request("a review is an object"));
        }
        review["status"] = match target.resource.as_str() {
            "tokenreviews" => token_review(shared, &review["spec"]),
            "selfsubjectrulesreviews" => rules_review(shared, user, &review["spec"]),
            "selfsubjectaccessreviews" => access_review(shared, user, &review["spec"]),
            "serviceaccounts" => issue(shared, target, &review["spec"])?,
            _ => access_review(shared, &subject(&review["spec"]), &review["spec"]),
        };
        Ok(Answer::json(201, &review))
    });
    Some(answered)
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn subject(spec: &Value) -> User {
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        groups: texts(&spec["groups"]),
    }
}

fn access_review(shared: &Shared, user: &User, spec: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let allowed = if resource.is_object() {
        let target = Target {
            is_resource: true,
            verb: known_verb(&text(&resource["verb"])),
            group: text(&resource["group"]),
            version: text(&resource["version"]),
            namespace: text(&resource["namespace"]),
            resource: text(&resource["resource"]),
            name: text(&resource["name"]),
            subresource: text(&resource["subresource"]),
        };
        shared.authorizer().allows(user, &target)
    } else {
        shared
            .authorizer()
            .allows_path(user, &text(&path["verb"]), &text(&path["path"]))
    };
    json!({"allowed": allowed})
}

/// The verb as the server's own; one that it does not know is allowed by `*` alone.
fn known_verb(verb: &str) -> &'static str {
    let known = [
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
        "*",
    ];
    known.into_iter().find(|one| *one == verb).unwrap_or("unknown")
}

fn rules_review(shared: &Shared, user: &User, spec: &Value) -> Value {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    let rules = shared.authorizer().rules(user, namespace);
    let (resources, paths): (Vec<Value>, Vec<Value>) = rules
        .into_iter()
        .partition(|rule| rule.get("resources").is_some());
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

fn token_review(shared: &Shared, spec: &Value) -> Value {
    match shared.users.of_token(spec["token"].as_str().unwrap_or_default()) {
        Some(user) => json!({"authenticated": true, "user": {"username": user.name, "groups": user.groups}}),
        None => json!({"authenticated": false, "error": "invalid bearer token"}),
    }
}

/// A token for a service account (`TokenRequest`).
fn issue(shared: &Shared, target: &Target, spec: &Value) -> Result<Value, Failure> {
    let accounts = shared.registry.find("", "v1", "serviceaccounts");
    let account = accounts.ok_or_else(|| Failure::new(404, "NotFound", "no service accounts"))?;
    let key = Key::new(&target.namespace, &target.name);
    shared
        .keyspace
        .get(&account.table, &key)
        .ok_or_else(|| Failure::not_found(&account, &target.name))?;
    let seconds = spec["expirationSeconds"].as_u64().unwrap_or(3600);
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Failure::new(500, "InternalError", error.to_string()))?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let user = User::service_account(&target.namespace, &target.name);
    shared
        .users
        .grant(&token, user, Some(Duration::from_secs(seconds)));
    Ok(json!({"token": token, "expirationTimestamp": crate::clock::after(seconds)}))
}
