//! Writes: POST, PUT, PATCH and DELETE.

mod change;
mod create;
mod decode;
mod defaults;
mod delete;
mod names;
mod patch;
mod prepare;
mod validate;

pub(crate) use change::update;
pub(crate) use create::create;
pub(crate) use decode::value as decode_value;
pub(crate) use delete::{delete, delete_collection};
pub(crate) use patch::patch;
pub(crate) use prepare::{created, updated};

use bytes::Bytes;
use serde_json::Value;

use crate::failure::Failure;
use crate::patch::managed::Writer;
use crate::read::View;
use crate::request::Request;
use crate::resources::Resource;
use crate::shared::Shared;

/// One write, with all that it needs to know.
pub(crate) struct Write<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) request: &'a Request,
    pub(crate) view: &'a View,
    pub(crate) body: Bytes,
}

impl Write<'_> {
    fn resource(&self) -> &Resource {
        &self.view.resource
    }

    fn name(&self) -> &str {
        &self.request.target.name
    }

    fn namespace(&self) -> &str {
        &self.request.target.namespace
    }

    fn is_status(&self) -> bool {
        self.request.target.subresource == "status"
    }

    fn writer(&self, operation: &'static str) -> Writer {
        Writer {
            manager: self.request.manager(),
            operation,
            api_version: self.view.api_version(),
            subresource: self.request.target.subresource.clone(),
        }
    }

    /// Whether rules of its kind allow the object.
    fn admit(&self, new: &Value) -> Result<(), Failure> {
        if self.is_status() {
            Ok(())
        } else {
            validate::check(self.resource(), new, self.shared.age)
        }
    }
}
