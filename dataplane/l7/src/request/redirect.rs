//! Answers that send the client elsewhere.

use headgate_ring::message::{Redirect, Scheme};
use http::StatusCode;

use super::answer::Answer;
use crate::h1::request::{Host, Target};
use crate::headers::Client;

/// The answer to a request, unless the redirect is not for requests of its scheme.
pub(super) fn redirect(
    redirect: &Redirect,
    client: &Client,
    host: Option<&Host<'_>>,
    target: &Target<'_>,
) -> Option<Answer> {
    let came_by = if client.tls { Scheme::Https } else { Scheme::Http };
    if redirect.from.is_some_and(|from| from != came_by) {
        return None;
    }
    let location = location(redirect, came_by, client, host, target);
    let status = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::PERMANENT_REDIRECT);
    Some(if location.bytes().any(|byte| byte.is_ascii_control()) {
        Answer::new(StatusCode::BAD_REQUEST, "the path cannot be told again")
    } else {
        Answer::new(status, "what is asked for is at the address in Location").to(location)
    })
}

fn location(
    redirect: &Redirect,
    came_by: Scheme,
    client: &Client,
    asked: Option<&Host<'_>>,
    target: &Target<'_>,
) -> String {
    let scheme = redirect.scheme.unwrap_or(came_by);
    let own;
    let host = match (&redirect.host, asked) {
        (Some(host), _) => host.as_str(),
        (None, Some(asked)) => &*asked.name,
        (None, None) => {
            own = match client.listener.ip() {
                std::net::IpAddr::V4(address) => address.to_string(),
                std::net::IpAddr::V6(address) => format!("[{address}]"),
            };
            &own
        }
    };
    let port = redirect.port.unwrap_or_else(|| {
        if scheme == came_by {
            client.listener.port()
        } else {
            scheme.port()
        }
    });
    let mut location = format!("{scheme}://{host}");
    if port != scheme.port() {
        location += &format!(":{port}");
    }
    location += redirect.path.as_deref().unwrap_or(target.path);
    if let Some(query) = target.query {
        location.push('?');
        location += query;
    }
    location
}
