//! Answers that Headgate gives itself.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SERVER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::relay::ReplyBody;
use super::{Reply, Then};
use crate::headers::REQUEST_ID;

/// An answer that is not a pod's.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    /// Beyond those that every answer has.
    headers: HeaderMap,
    /// What happened, in a sentence for people.
    body: &'static str,
    /// Whether the client's connection closes after it.
    last: bool,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, body: &'static str) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body,
            last: false,
        }
    }

    /// With a header, in place of others of its name.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The client's connection closes after it.
    pub(crate) fn last(self) -> Self {
        Self { last: true, ..self }
    }

    /// As a response to a request: a short text with the request's ID to find it by.
    pub(super) fn reply(self, id: &HeaderValue, method: &Method) -> Reply {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let status = self.status.as_u16();
        let name = id.to_str().unwrap_or_default();
        let text = Bytes::from(format!("{status} {title}: {}\nrequest {name}\n", self.body));
        let length = text.len();
        let body = if method == Method::HEAD {
            ReplyBody::Empty
        } else {
            ReplyBody::Text(Some(text))
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        *headers = self.headers;
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(SERVER, HeaderValue::from_static("headgate"));
        headers.insert(&REQUEST_ID, id.clone());
        Reply {
            response,
            then: if self.last { Then::Close } else { Then::Continue },
        }
    }
}
