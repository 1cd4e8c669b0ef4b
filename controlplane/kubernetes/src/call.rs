//! One request to the API server, with an end.

use std::time::Duration;

use http::{Method, header};
use serde_json::Value;
use tokio::time::timeout;

use super::access::ApiConnection;
use super::reply::Failure;
use super::starting::ready;

/// How long it may take.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// Sends a body of this kind; neither where they are empty. That something is forbidden is said by servers that are ready.
pub(crate) async fn send(
    connection: &ApiConnection,
    method: Method,
    path: &str,
    kind: &'static str,
    body: &Value,
) -> Result<Value, Failure> {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let mut request = http::Request::builder().method(method).uri(path);
    if !kind.is_empty() {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    let request = request
        .body(body)
        .map_err(|error| Failure::Invalid(error.to_string()))?;
    let client = connection.client().await;
    let Ok(answer) = timeout(ANSWER, client.request(request)).await else {
        return Err(Failure::Unreachable(format!("no answer within {ANSWER:?}")));
    };
    let failure = match answer {
        Ok(answer) => return Ok(answer),
        Err(error) => Failure::of(&error),
    };
    if matches!(failure, Failure::Forbidden(_)) {
        ready(&client, ANSWER).await?;
    }
    Err(failure)
}
