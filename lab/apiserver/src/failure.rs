//! Errors as the API tells them: a `Status` object with code, reason and details
//! (`metav1.Status`; the reasons are those of `k8s.io/apimachinery/pkg/apis/meta/v1`).

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::resources::Resource;

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The HTTP status.
    pub(crate) code: u16,
    /// The machine-readable reason: "NotFound", "Conflict", …
    pub(crate) reason: Cow<'static, str>,
    /// What a user reads.
    pub(crate) message: String,
    /// `status.details`, or null.
    pub(crate) details: Value,
    /// A fresh continue token, told with an expired one.
    pub(crate) continue_token: Option<String>,
    /// Seconds of the header `Retry-After`.
    pub(crate) retry_after: Option<u32>,
}

impl Failure {
    /// A failure without details.
    pub(crate) fn new(code: u16, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Failure {
            code,
            reason: reason.into(),
            message: message.into(),
            details: Value::Null,
            continue_token: None,
            retry_after: None,
        }
    }

    /// 400: what the client sent cannot be read.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404: an object that is not there.
    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} {name:?} not found", resource.qualified()),
        )
        .about(resource, name)
    }

    /// 409: a name that is taken.
    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{} {name:?} already exists", resource.qualified()),
        )
        .about(resource, name)
    }

    /// 409: a write that names another resourceVersion or uid than the object has, or a field that another owns.
    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let qualified = resource.qualified();
        Self::new(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on {qualified} {name:?}: {why}"),
        )
        .about(resource, name)
    }

    /// 409: the write was made for an older resourceVersion.
    pub(crate) fn stale(resource: &Resource, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 410: a resourceVersion whose history is compacted.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 422: an object that breaks rules; each cause is (field, type of cause, message).
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let qualified = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let said: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let said = if said.len() == 1 {
            said[0].clone()
        } else {
            format!("[{}]", said.join(", "))
        };
        let mut failure = Self::new(422, "Invalid", format!("{qualified} {name:?} is invalid: {said}"));
        let causes: Vec<Value> = causes
            .iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        failure.details = json!({"name": name, "group": group, "kind": kind, "causes": causes});
        failure
    }

    /// The same, with the object that it is about in `details`.
    pub(crate) fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = json!({"name": name, "group": resource.group, "kind": resource.plural});
        if resource.group.is_empty()
            && let Some(details) = self.details.as_object_mut()
        {
            details.remove("group");
        }
        self
    }

    /// As a `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = token.as_str().into();
        }
        if let Some(seconds) = self.retry_after {
            status["details"]["retryAfterSeconds"] = seconds.into();
        }
        status
    }
}

/// One broken rule of an object.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    /// The field's path.
    pub(crate) field: String,
    /// "FieldValueInvalid", "FieldValueRequired", …
    pub(crate) reason: &'static str,
    /// What is wrong, as `field.Error.ErrorBody` says it.
    pub(crate) message: String,
}

impl Cause {
    /// A value that breaks a rule.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Cause {
            field: field.into(),
            reason: "FieldValueInvalid",
            message,
        }
    }

    /// A field that must be there.
    pub(crate) fn required(field: impl Into<String>, why: &str) -> Self {
        let message = if why.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {why}")
        };
        Cause {
            field: field.into(),
            reason: "FieldValueRequired",
            message,
        }
    }

    /// A field that must not be there.
    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Cause {
            field: field.into(),
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {why}"),
        }
    }

    /// A value that is none of those which are known.
    pub(crate) fn not_supported(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
        let known: Vec<String> = known.iter().map(|one| format!("{one:?}")).collect();
        let message = format!(
            "Unsupported value: {value}: supported values: {}",
            known.join(", ")
        );
        Cause {
            field: field.into(),
            reason: "FieldValueNotSupported",
            message,
        }
    }
}
