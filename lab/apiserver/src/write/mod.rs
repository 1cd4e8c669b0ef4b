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
pub(crate) use names::uid;
pub(crate) use patch::patch;
pub(crate) use prepare::{created, updated};
pub(crate) use validate::check;

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;

use crate::access::User;
use crate::admission::{self, Question};
use crate::failure::Failure;
use crate::keyspace::Object;
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
    pub(crate) user: &'a User,
    pub(crate) body: Bytes,
    warnings: Mutex<Vec<String>>,
}

impl<'a> Write<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        request: &'a Request,
        view: &'a View,
        user: &'a User,
        body: Bytes,
    ) -> Self {
        Write {
            shared,
            request,
            view,
            user,
            body,
            warnings: Mutex::default(),
        }
    }

    /// Tells the client something that does not stop it.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

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

    /// Whether rules of its kind, and webhooks, allow the object.
    async fn admit(&self, operation: &'static str, old: Option<&Object>, new: &Value) -> Result<(), Failure> {
        if !self.is_status() {
            validate::check(self.resource(), new)?;
        }
        let dry_run = self.request.is_dry_run()?;
        admission::review(
            self,
            &Question {
                operation,
                old,
                new: Some(new),
                dry_run,
            },
        )
        .await
    }

    /// Whether webhooks allow a deletion.
    async fn admit_deletion(&self, old: &Object, dry_run: bool) -> Result<(), Failure> {
        admission::review(
            self,
            &Question {
                operation: "DELETE",
                old: Some(old),
                new: None,
                dry_run,
            },
        )
        .await
    }
}
