//! Answers that Headgate gives itself.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Method, Response, StatusCode};

use super::body::Body;

/// A short text: what happened, and the request's ID to find it by.
pub(super) fn answer(status: StatusCode, reason: &str, id: &HeaderValue, method: &Method) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Error");
    let id = id.to_str().unwrap_or_default();
    let text = Bytes::from(format!("{} {title}: {reason}\nrequest {id}\n", status.as_u16()));
    let length = text.len();
    let body = if method == Method::HEAD {
        Body::Empty
    } else {
        Body::text(text)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(SERVER, HeaderValue::from_static("headgate"));
    headers.insert(
        &super::middleware::REQUEST_ID,
        HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("")),
    );
    response
}

/// As [`answer`], and the connection closes after it.
pub(super) fn last_answer(
    status: StatusCode,
    reason: &str,
    id: &HeaderValue,
    method: &Method,
) -> Response<Body> {
    let mut response = answer(status, reason, id, method);
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What a client reads that speaks HTTP to a TLS listener.
pub(super) const PLAIN_ON_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: text/plain; charset=utf-8\r\n\
content-length: 68\r\n\
server: headgate\r\n\
connection: close\r\n\
\r\n\
400 Bad Request: this port speaks HTTPS, and the request was HTTP.\n\n";
