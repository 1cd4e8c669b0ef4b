//! What servers answer, and what follows from it.

use std::fmt;
use std::time::Duration;

use kube::Error;
use kube::core::Status;
use serde::Deserialize;

use super::access::chain;

/// A page of a list.
#[derive(Deserialize)]
pub(crate) struct Page<T> {
    #[serde(default)]
    pub(crate) metadata: PageMetadata,
    /// `null` where a server has none.
    #[serde(default)]
    pub(crate) items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageMetadata {
    #[serde(default)]
    pub(crate) resource_version: String,
    #[serde(default, rename = "continue")]
    pub(crate) next: String,
}

/// Why there was no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// 401: the credentials are not, or no longer, good.
    Unauthorized(String),
    /// 403: RBAC does not allow it.
    Forbidden(String),
    /// 404: the server has no such resource.
    Missing,
    /// 409: somebody else has written it meanwhile, or it is there already.
    Conflict(String),
    /// 410: what was asked for is no longer kept; a list brings the present.
    Expired,
    /// 400 or 422: the server does not take the request in this form.
    Invalid(String),
    /// 429 or another status: to be tried again, no sooner than the server says.
    Later(String, Option<Duration>),
    /// There was no answer, or it broke off.
    Unreachable(String),
}

/// `v1.NamespaceTerminatingCause`
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

fn has_cause(status: &Status, reason: &str) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == reason)
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            // As good as gone: nothing is made in it any more, and RBAC has nothing to do with it (`NamespaceLifecycle`).
            Error::Api(status) if status.code == 403 && has_cause(status, NAMESPACE_TERMINATING) => {
                Self::Missing
            }
            Error::Api(status) => {
                let seconds = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
                Self::of_status(status.code, &status.reason, &status.message, seconds)
            }
            Error::Auth(error) => Self::Unauthorized(chain(error)),
            Error::SerdeError(error) => Self::Later(format!("the answer makes no sense: {error}"), None),
            Error::Service(error) => Self::Unreachable(chain(error.as_ref())),
            other => Self::Unreachable(chain(other)),
        }
    }

    /// Of a `Status`, as an answer or in the midst of a watch.
    pub(crate) fn of_status(code: u16, reason: &str, message: &str, retry_after_seconds: u32) -> Self {
        let text = if message.is_empty() {
            format!("status {code}")
        } else {
            message.to_owned()
        };
        match code {
            401 => Self::Unauthorized(text),
            403 => Self::Forbidden(text),
            404 => Self::Missing,
            409 => Self::Conflict(text),
            // A watch says 410 with one of these two reasons; a list that goes on too late says Expired.
            410 => Self::Expired,
            _ if matches!(reason, "Expired" | "Gone") => Self::Expired,
            400 | 422 => Self::Invalid(text),
            _ => {
                let wait = Duration::from_secs(retry_after_seconds.into());
                Self::Later(
                    format!("the API server answers {code}: {text}"),
                    (!wait.is_zero()).then_some(wait),
                )
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized(reason) => {
                write!(f, "the API server does not accept the credentials: {reason}")
            }
            Self::Unreachable(reason) => write!(f, "the API server cannot be reached: {reason}"),
            Self::Forbidden(reason)
            | Self::Invalid(reason)
            | Self::Later(reason, _)
            | Self::Conflict(reason) => f.write_str(reason),
            Self::Missing => f.write_str("the API server does not have it"),
            Self::Expired => f.write_str("what was asked for is no longer kept"),
        }
    }
}
