//! Refusals that say how long to wait in a header, of which the client's library tells nothing.
//!
//! Priority and fairness, and a server that ends, answer 429 with `Retry-After` and a line of text
//! (`k8s.io/apiserver/pkg/server/filters`, `tooManyRequests`), as do proxies on the way; other errors of the API are a `Status`
//! with `details.retryAfterSeconds`. The former are made the latter here.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderValue, Response};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Body;
use serde_json::{Value, json};
use tower::BoxError;

/// More of an error's text is read by nobody.
const LONGEST: usize = 1 << 16;

/// The same answer; but where it is an error with `Retry-After`, a `Status` that says so.
pub(crate) async fn with_retry_after<B>(
    answer: Response<B>,
) -> Result<Response<Either<Full<Bytes>, B>>, BoxError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let failed = answer.status().is_client_error() || answer.status().is_server_error();
    let seconds = answer.headers().get(RETRY_AFTER).and_then(seconds);
    let (true, Some(seconds)) = (failed, seconds) else {
        return Ok(answer.map(Either::Right));
    };
    let (mut head, body) = answer.into_parts();
    let text = Limited::new(body, LONGEST).collect().await?.to_bytes();
    let status = status(&text, head.status.as_u16(), seconds);
    head.headers.remove(CONTENT_LENGTH);
    Ok(Response::from_parts(
        head,
        Either::Left(Full::from(status.to_string())),
    ))
}

/// Of a time, which is the other thing that the header may have (RFC 9110, section 10.2.3), no server of the API tells.
fn seconds(header: &HeaderValue) -> Option<u32> {
    header.to_str().ok()?.trim().parse().ok()
}

fn status(text: &[u8], code: u16, seconds: u32) -> Value {
    let told = serde_json::from_slice::<Value>(text).ok();
    let mut status = told.filter(|told| told["kind"] == "Status").unwrap_or_else(|| {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
            "message": String::from_utf8_lossy(text).trim(),
        })
    });
    if status["details"]["retryAfterSeconds"].is_null() {
        status["details"]["retryAfterSeconds"] = seconds.into();
    }
    status
}
