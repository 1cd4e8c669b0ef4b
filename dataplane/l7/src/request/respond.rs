//! The fourth stage: a pod's response becomes the one for the client.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Response, StatusCode, Version, response};
use hyper::body::Incoming;

use super::answer::Answer;
use super::relay::{Relayed, ReplyBody};
use super::{Gateway, Reply, Then, Tunnel};
use crate::headers;
use crate::upstream::Ticket;
use headgate_net::record::HttpCount;

/// Turns the pod's response into the one for the client; `upgrade` is whether the client has asked for another protocol.
pub(super) async fn respond(
    gateway: &Gateway,
    response: Response<Incoming>,
    ticket: Ticket,
    upgrade: bool,
) -> Result<Reply, Answer> {
    ticket.running.answered();
    let (mut head, incoming) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return switch(gateway, head, ticket, upgrade).await;
    }
    headers::prepare_response(&mut head.headers);
    head.version = Version::HTTP_11;
    let body = Relayed::new(incoming, ticket, gateway.limits.read);
    Ok(Reply {
        response: Response::from_parts(head, ReplyBody::Relayed(Box::new(body))),
        then: Then::Continue,
    })
}

async fn switch(
    gateway: &Gateway,
    mut head: response::Parts,
    mut ticket: Ticket,
    upgrade: bool,
) -> Result<Reply, Answer> {
    let upstream = if upgrade { ticket.upgraded().await } else { None };
    let Some(upstream) = upstream else {
        gateway.tally.count(HttpCount::BadResponses);
        return Err(Answer::new(
            StatusCode::BAD_GATEWAY,
            "the service changed the protocol unasked",
        ));
    };
    gateway.tally.count(HttpCount::Upgrades);
    let protocol = head.headers.remove(UPGRADE);
    headers::strip_hop_by_hop(&mut head.headers);
    head.headers
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        head.headers.insert(UPGRADE, protocol);
    }
    Ok(Reply {
        response: Response::from_parts(head, ReplyBody::Empty),
        then: Then::Tunnel(Box::new(Tunnel { upstream, ticket })),
    })
}
