//! An answer before it is one of HTTP.

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::Value;

use crate::body::Body;
use crate::failure::Failure;

/// Status, headers and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    content_type: String,
    headers: Vec<(HeaderName, String)>,
    pub(crate) body: Body,
}

/// The media type of objects.
pub(crate) const JSON: &str = "application/json";

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: Body) -> Self {
        Answer {
            status,
            content_type: content_type.to_owned(),
            headers: Vec::new(),
            body,
        }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::bytes(status, value.to_string().into())
    }

    pub(crate) fn bytes(status: u16, json: Bytes) -> Self {
        Self::new(status, JSON, Body::Full(Some(json)))
    }

    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self::new(
            status,
            "text/plain; charset=utf-8",
            Body::Full(Some(Bytes::copy_from_slice(text.as_bytes()))),
        )
    }

    /// What a path answers that nothing is at.
    pub(crate) fn no_such_path() -> Self {
        Self::text(404, "404 page not found\n")
    }

    /// What a resource answers to a method that it has not.
    pub(crate) fn no_such_method() -> Self {
        Self::text(405, "405: Method Not Allowed")
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same with a warning, as `kubectl` prints it (RFC 7234, section 5.5).
    pub(crate) fn warning(self, text: &str) -> Self {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        self.header(hyper::header::WARNING, &format!("299 - \"{text}\""))
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = hyper::StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        let own = self
            .headers
            .into_iter()
            .chain([(CONTENT_TYPE, self.content_type)]);
        for (name, value) in own {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(name, value);
            }
        }
        response
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        let answer = Answer::json(failure.code, &failure.status());
        match failure.retry_after {
            Some(seconds) => answer.header(RETRY_AFTER, &seconds.to_string()),
            None => answer,
        }
    }
}
