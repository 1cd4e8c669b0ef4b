//! Reading what a client sends.

use serde_json::Value;

use super::Write;
use crate::convert;
use crate::failure::Failure;
use crate::profile::Age;
use crate::proto;
use crate::types;

/// The media types of whole objects.
const WHOLE: &[&str] = &[proto::MEDIA, "application/json", "application/yaml", ""];

/// A value of JSON, or of YAML where the media type says so.
pub(crate) fn value(content_type: &str, body: &[u8]) -> Result<Value, Failure> {
    if content_type == proto::MEDIA {
        return proto::decode(body).ok_or_else(|| {
            Failure::bad_request("this message cannot be read, or is of a kind that is not known")
        });
    }
    let yaml = content_type.ends_with("yaml");
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) if yaml => {
            let text = std::str::from_utf8(body).map_err(|error| Failure::bad_request(error.to_string()))?;
            serde_saphyr::from_str(text)
                .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))
        }
        Err(error) => Err(Failure::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))),
    }
}

impl Write<'_> {
    /// 415 where the body is of none of these types.
    pub(super) fn check_type(&self, known: &[&str]) -> Result<(), Failure> {
        if known.contains(&self.request.content_type()) {
            return Ok(());
        }
        let accepted = known
            .iter()
            .filter(|one| !one.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let said = "the body of the request was in an unknown format - accepted media types include:";
        Err(Failure::new(
            415,
            "UnsupportedMediaType",
            format!("{said} {accepted}"),
        ))
    }

    /// The object of a POST or PUT, as it is stored: of the kind, version, name and namespace of the URL.
    pub(super) fn object(&self) -> Result<Value, Failure> {
        // Custom resources have no messages.
        self.check_type(if self.resource().custom {
            &WHOLE[1..]
        } else {
            WHOLE
        })?;
        let value = value(self.request.content_type(), &self.body)?;
        self.stored(value)
    }

    /// Checks an object of the URL's version, and turns it to what is stored.
    pub(super) fn stored(&self, mut value: Value) -> Result<Value, Failure> {
        if !value.is_object() {
            return Err(Failure::bad_request(
                "couldn't get version/kind; json parse error: this is no object",
            ));
        }
        self.check_kind(&value)?;
        self.check_fields(&value)?;
        if !value["metadata"].is_object() {
            value["metadata"] = serde_json::json!({});
        }
        let resource = self.resource();
        strip_nulls(&mut value);
        let named = value["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let namespace = self.namespace();
        if resource.namespaced {
            if !named.is_empty() && named != namespace {
                let said =
                    "the namespace of the provided object does not match the namespace sent on the request";
                return Err(Failure::bad_request(said));
            }
            value["metadata"]["namespace"] = namespace.into();
        } else if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("namespace");
        }
        Ok(convert::to_stored(resource, &self.view.version, value))
    }

    /// Whether the fields are those of the kind, as strictly as the client wants it (`fieldValidation`).
    fn check_fields(&self, value: &Value) -> Result<(), Failure> {
        let (resource, version) = (self.resource(), &self.view.version);
        let unknown = types::unknown_fields(resource, version, value).map_err(|error| {
            let (kind, version) = (&resource.kind, self.view.api_version());
            Failure::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: {error}"
            ))
        })?;
        let said: Vec<String> = unknown
            .iter()
            .map(|field| format!("unknown field {field:?}"))
            .collect();
        match self.request.query.get("fieldValidation") {
            // Servers know the parameter since 1.25, and warn where it is not given.
            _ if said.is_empty() || self.shared.age < Age(25) => {}
            "Ignore" => {}
            "Strict" => {
                return Err(Failure::bad_request(format!(
                    "strict decoding error: {}",
                    said.join(", ")
                )));
            }
            _ => said.into_iter().for_each(|text| self.warn(text)),
        }
        Ok(())
    }

    fn check_kind(&self, value: &Value) -> Result<(), Failure> {
        let (kind, version) = (
            value["kind"].as_str().unwrap_or_default(),
            value["apiVersion"].as_str().unwrap_or_default(),
        );
        let (expected, expected_version) = (&self.resource().kind, self.view.api_version());
        // The server takes what is left out from the URL.
        if (kind.is_empty() || kind == expected) && (version.is_empty() || version == expected_version) {
            return Ok(());
        }
        if kind == expected {
            let said = "the API version in the data";
            return Err(Failure::bad_request(format!(
                "{said} ({version}) does not match the expected API version ({expected_version})"
            )));
        }
        let said = format!(
            "{kind} in version {version:?} cannot be handled as a {expected}: converting ({kind}) to ({expected}): unknown conversion"
        );
        Err(Failure::bad_request(said))
    }
}

/// Typed servers do not see a field that is null.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}
