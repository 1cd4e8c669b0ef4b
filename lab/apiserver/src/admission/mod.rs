//! Validating admission webhooks (`k8s.io/apiserver/pkg/admission/plugin/webhook/validating`). Not evaluated:
//! `matchConditions`, and `matchPolicy: Equivalent` across versions of a kind.

mod call;
mod matching;

use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::keyspace::Object;
use crate::read::View;
use crate::write::Write;

pub(crate) use call::Services;

/// How long a webhook may take that says nothing of it, and how long at most, in seconds.
const DEFAULT_TIMEOUT: u64 = 10;
const LONGEST_TIMEOUT: u64 = 30;

/// A write that webhooks are asked about.
pub(crate) struct Question<'a> {
    /// CREATE, UPDATE or DELETE.
    pub(crate) operation: &'static str,
    pub(crate) old: Option<&'a Object>,
    /// As it would be stored; None for a deletion.
    pub(crate) new: Option<&'a Value>,
    pub(crate) dry_run: bool,
}

/// Asks all webhooks whose rules fit. The first refusal is the failure; their warnings are kept for the answer.
pub(crate) async fn review(write: &Write<'_>, question: &Question<'_>) -> Result<(), Failure> {
    let table = "validatingwebhookconfigurations.admissionregistration.k8s.io";
    // No webhook guards the webhooks: else nobody could mend a broken one.
    if write.view.resource.group == "admissionregistration.k8s.io" {
        return Ok(());
    }
    for configuration in write.shared.keyspace.list(table, "").objects {
        for webhook in configuration.value["webhooks"].as_array().into_iter().flatten() {
            if matching::fits(write, question, webhook) {
                ask(write, question, webhook).await?;
            }
        }
    }
    Ok(())
}

async fn ask(write: &Write<'_>, question: &Question<'_>, webhook: &Value) -> Result<(), Failure> {
    let name = webhook["name"].as_str().unwrap_or_default();
    let side_effects = !matches!(webhook["sideEffects"].as_str(), Some("None" | "NoneOnDryRun"));
    if question.dry_run && side_effects {
        return Err(Failure::bad_request(format!(
            "admission webhook {name:?} does not support dry run"
        )));
    }
    let uid = crate::write::uid();
    let seconds = webhook["timeoutSeconds"]
        .as_u64()
        .unwrap_or(DEFAULT_TIMEOUT)
        .min(LONGEST_TIMEOUT);
    let sent = json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request(write, question, &uid),
    });
    let answered = call::post(&write.shared.services, &webhook["clientConfig"], &sent);
    let answered = match tokio::time::timeout(Duration::from_secs(seconds), answered).await {
        Ok(answered) => answered.and_then(|review| response(&review, &uid)),
        Err(_) => Err("context deadline exceeded".to_owned()),
    };
    match answered {
        Ok(response) => judge(write, name, &response),
        Err(why) if webhook["failurePolicy"] == "Ignore" => {
            tracing::debug!(name, why, "a webhook failed, and is ignored");
            Ok(())
        }
        Err(why) => {
            let said = format!(
                "Internal error occurred: failed calling webhook {name:?}: failed to call webhook: {why}"
            );
            Err(Failure::new(500, "InternalError", said))
        }
    }
}

/// The response of a review that is one, and that answers the request.
fn response(review: &Value, uid: &str) -> Result<Value, String> {
    let response = &review["response"];
    if review["kind"] != "AdmissionReview" || review["apiVersion"] != "admission.k8s.io/v1" {
        return Err("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview".into());
    }
    if response["uid"] != uid {
        return Err(format!("expected response.uid={uid:?}, got {}", response["uid"]));
    }
    Ok(response.clone())
}

/// Takes a response's warnings, and its refusal (`webhook/errors.ToStatusErr`).
fn judge(write: &Write<'_>, name: &str, response: &Value) -> Result<(), Failure> {
    for warning in response["warnings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        write.warn(warning);
    }
    if response["allowed"] == true {
        return Ok(());
    }
    let status = &response["status"];
    let text = |field: &str| status[field].as_str().unwrap_or_default();
    let explained = if text("message").is_empty() {
        text("reason")
    } else {
        text("message")
    };
    let denied = format!("admission webhook {name:?} denied the request");
    let said = if explained.is_empty() {
        format!("{denied} without explanation")
    } else {
        format!("{denied}: {explained}")
    };
    let code = status["code"]
        .as_u64()
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| *code >= 400);
    let mut failure = Failure::new(code.unwrap_or(400), text("reason").to_owned(), said);
    failure.details = status["details"].clone();
    Err(failure)
}

/// `AdmissionRequest`.
fn request(write: &Write<'_>, question: &Question<'_>, uid: &str) -> Value {
    let (view, target) = (write.view, &write.request.target);
    let shown = |value: &Value| View::value_of(&view.resource, &view.version, value);
    let kind = json!({"group": view.resource.group, "version": view.version, "kind": view.resource.kind});
    let resource =
        json!({"group": view.resource.group, "version": view.version, "resource": view.resource.plural});
    let object = question.new.map(shown);
    let named = |value: &Value| value["metadata"]["name"].as_str().map(str::to_owned);
    let name = object
        .as_ref()
        .and_then(named)
        .unwrap_or_else(|| target.name.clone());
    let mut request = json!({
        "uid": uid, "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "name": name, "operation": question.operation, "dryRun": question.dry_run,
        "userInfo": {"username": write.user.name, "groups": write.user.groups},
        "object": object, "oldObject": question.old.map(|old| shown(&old.value)),
        "options": {"kind": options_kind(question.operation), "apiVersion": "meta.k8s.io/v1"},
    });
    let optional = [
        ("namespace", &target.namespace),
        ("subResource", &target.subresource),
        ("requestSubResource", &target.subresource),
    ];
    for (key, value) in optional {
        if !value.is_empty() {
            request[key] = value.as_str().into();
        }
    }
    request
}

fn options_kind(operation: &str) -> &'static str {
    match operation {
        "CREATE" => "CreateOptions",
        "UPDATE" => "UpdateOptions",
        _ => "DeleteOptions",
    }
}
