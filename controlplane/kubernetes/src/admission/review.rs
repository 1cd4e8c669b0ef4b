//! `AdmissionReview` of `admission.k8s.io/v1`, and of `v1beta1`, which says the same.

use headgate_controlplane::admission::{Judgement, Proposal};
use headgate_controlplane::model::Kind;
use headgate_controlplane::model::parse::{ManifestIdentity, identify};
use serde_json::{Value, json};

/// Warnings of one answer: servers keep 4 KiB of them, of each 256 bytes.
const WARNINGS: usize = 15;

/// A review that is asked for.
#[derive(Debug)]
pub(super) struct Review {
    version: String,
    request: Value,
}

impl Review {
    /// Reads the body of a request.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let mut review: Value =
            serde_json::from_slice(body).map_err(|error| format!("this is no JSON: {error}"))?;
        let text = |field: &str| review[field].as_str().unwrap_or_default().to_owned();
        let version = text("apiVersion");
        let known = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"].contains(&version.as_str());
        if !known || text("kind") != "AdmissionReview" {
            return Err("this is no AdmissionReview of admission.k8s.io/v1 or v1beta1".to_owned());
        }
        let request = review["request"].take();
        match request["uid"].as_str() {
            Some(uid) if !uid.is_empty() => Ok(Self { version, request }),
            _ => Err("request.uid: is missing".to_owned()),
        }
    }

    /// What is to be judged; `None` for what is allowed whatever it is. An error is a warning to its author: nobody is
    /// refused what cannot be understood here.
    pub(super) fn proposal(&mut self) -> Result<Option<Proposal>, String> {
        let request = &mut self.request;
        let sub_resource = request["subResource"].as_str().is_some_and(|sub| !sub.is_empty());
        if !matches!(request["operation"].as_str(), Some("CREATE" | "UPDATE")) || sub_resource {
            return Ok(None);
        }
        let (mut new, old) = (request["object"].take(), request["oldObject"].take());
        if !new.is_object() {
            return Err("Headgate cannot read this: request.object is no object".to_owned());
        }
        let metadata = &mut new["metadata"];
        // What is being deleted is only to lose its finalizers.
        if !metadata["deletionTimestamp"].is_null() {
            return Ok(None);
        }
        // Webhooks that change objects may see one without the name that it is to be given.
        if let (None, Some(prefix)) = (metadata["name"].as_str(), metadata["generateName"].as_str()) {
            metadata["name"] = format!("{prefix}0").into();
        }
        match identify(&new) {
            Ok(ManifestIdentity::Known(id)) if is_judged(id.kind) => {
                let old = Some(old).filter(|old| old.is_object());
                Ok(Some(Proposal::new(id, &new, old.as_ref())))
            }
            Ok(_) => Ok(None),
            Err(invalid) => Err(format!("Headgate cannot read this: {invalid}")),
        }
    }

    /// CREATE or UPDATE.
    pub(super) fn operation(&self) -> &str {
        self.request["operation"].as_str().unwrap_or_default()
    }

    /// The object, as lines name it.
    pub(super) fn name(&self) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&self.request["kind"]["kind"]), text(&self.request["name"]));
        match text(&self.request["namespace"]) {
            namespace if namespace.is_empty() => format!("{kind} {name}"),
            namespace => format!("{kind} {namespace}/{name}"),
        }
    }

    /// Who wants it.
    pub(super) fn user(&self) -> &str {
        self.request["userInfo"]["username"].as_str().unwrap_or_default()
    }

    /// The body of the answer.
    pub(super) fn answer(&self, judgement: &Judgement) -> String {
        let mut response = json!({
            "uid": self.request["uid"],
            "allowed": judgement.refusals.is_empty(),
        });
        if !judgement.refusals.is_empty() {
            // With 422 kubectl would look for causes by field, and say less.
            let refusals = judgement.refusals.join("; ");
            response["status"] = json!({
                "code": 400,
                "reason": "BadRequest",
                "message": format!("it would not be in force as it is written: {refusals}"),
            });
        }
        if !judgement.warnings.is_empty() {
            let more = judgement.warnings.len().saturating_sub(WARNINGS);
            let mut warnings: Vec<_> = judgement.warnings.iter().take(WARNINGS).cloned().collect();
            warnings.extend((more > 0).then(|| format!("and {more} more")));
            response["warnings"] = json!(warnings);
        }
        json!({"apiVersion": self.version, "kind": "AdmissionReview", "response": response}).to_string()
    }
}

/// Secrets are not: the API server would send those of everybody.
fn is_judged(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Ingress | Kind::Service | Kind::NetworkPolicy | Kind::ClusterNetworkPolicy
    )
}
