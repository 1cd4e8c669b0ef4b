//! What a request comes to before anything of it is sent.

use crate::engine::Turn;
use crate::engine::client::Client;
use crate::engine::exchange::Exchange;
use crate::h1::RefusedRequest;
use crate::h1::body::BodyReader;
use crate::h1::request::{Expectation, RequestHead};
use crate::headers::RequestId;
use crate::request::{Answer, AnswerForm, Audience, HttpVersion, RequestRecord};

/// What a request comes to: an exchange, or an answer with what is left of the body, if it is worth reading.
pub(super) type Begun =
    Result<Box<Option<Exchange>>, Box<(Answer, Audience, RequestRecord, Option<BodyReader>)>>;

/// Looks where a request goes.
pub(super) fn ask(
    client: &Client,
    head: &RequestHead<'_, '_>,
    version: HttpVersion,
    form: AnswerForm,
    turn: &mut Turn<'_, '_>,
) -> Begun {
    let gateway = turn.gateway;
    let record = RequestRecord::begin(gateway);
    let id = match head.id {
        Some(id) => RequestId::Given(id.into()),
        None => RequestId::made_of([gateway.net.random(), gateway.net.random()]),
    };
    let audience = Audience {
        id,
        form,
        version,
        keep: head.keep,
    };
    let who = &client.peer.client;
    tracing::trace!(client = %who.address, method = head.method, id = ?audience.id);
    let mut place = turn.places.take();
    match Exchange::begin(&mut place, gateway, who, head, audience, record, turn.now) {
        Ok(()) => Ok(place),
        Err(refusal) => {
            turn.places.give_back(place);
            let (answer, audience, record) = *refusal;
            // A client that waits for 100 may or may not send its body now.
            let rest = Some(BodyReader::new(head.framing)).filter(BodyReader::is_short);
            let body = rest.filter(|body| head.expects != Expectation::Continue || body.is_done());
            Err(Box::new((answer, audience, record, body)))
        }
    }
}

/// Which part of a head is too large.
pub(super) fn too_large(bytes: &[u8]) -> RefusedRequest {
    if bytes.is_empty() || bytes.contains(&b'\n') {
        RefusedRequest::HEAD_TOO_LARGE
    } else {
        RefusedRequest::TARGET_TOO_LARGE
    }
}
