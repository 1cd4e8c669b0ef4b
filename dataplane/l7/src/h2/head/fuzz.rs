//! What the fuzz target and the property tests run on arbitrary bytes.

mod reference;

use super::{BadRequest, RequestSection, ResponseSection, StreamRequest, TrailerSection, write};
use crate::h1::body::{BodyReader, BodyWriter};
use crate::h1::fuzz::{rewritten_request, rewritten_response};
use crate::h1::request::{Expectation, Host, RequestHead};
use crate::h1::response::ResponseHead;
use crate::h1::write::Gained;
use crate::h1::{Framing, Headers, MAX_HEAD, Marks};
use crate::h2::hpack::Decoder;
use crate::headers::Client;

/// A name and a value.
type Pair = (Vec<u8>, Vec<u8>);

/// Reads bytes as a block of a request, a response or trailers: what is malformed is so by a slow look at RFC 9113, too, and
/// what is not means the same once written anew, by either version.
///
/// # Panics
/// Where something in this module does not keep its contract: that is a bug.
pub fn fuzz(data: &[u8]) {
    let [kind, block @ ..] = data else { return };
    let pairs = decode(block);
    let (ended, to_head) = (kind & 4 != 0, kind & 8 != 0);
    match kind % 3 {
        0 => of_request(&pairs, ended),
        1 => of_response(&pairs, to_head, ended),
        _ => of_trailers(&pairs),
    }
}

/// The fields of a block up to where something is wrong.
fn decode(block: &[u8]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let _ = Decoder::new(4_096).decode(block, |name, value| pairs.push((name.to_vec(), value.to_vec())));
    pairs
}

fn of_request(pairs: &[Pair], ended: bool) {
    let mut section = RequestSection::default();
    pairs.iter().for_each(|(name, value)| section.take(name, value));
    assert!(
        section.memory() <= 4 * MAX_HEAD,
        "{} bytes of memory",
        section.memory()
    );
    match section.finish(ended, || [1, 2]) {
        Ok(StreamRequest { head, tunnel }) => {
            assert!(reference::is_request(pairs, ended), "it is malformed");
            assert!(head.http11 && head.keep && tunnel == head.upgrade.is_some());
            rewritten_request(&head);
            if !tunnel {
                for_pod(&head, ended);
            }
        }
        Err(BadRequest::Malformed(why)) => assert!(!reference::is_request(pairs, ended), "{why:?}"),
        Err(BadRequest::Refused(refused)) => {
            assert!(refused.status.is_client_error() || refused.status == 501);
        }
    }
}

/// What of a head goes on.
fn passed<'b>(headers: Headers<'_, 'b>, left: Marks) -> Vec<(&'b [u8], &'b [u8])> {
    let fields = headers.iter().enumerate();
    fields
        .filter(|(place, _)| !left.has(*place))
        .map(|(_, field)| field)
        .collect()
}

/// A request over HTTP/2 is the same to a pod of HTTP/2.
fn for_pod(head: &RequestHead<'_, '_>, ended: bool) {
    let host = head
        .host
        .filter(|host| Host::of(host).is_ok())
        .unwrap_or(b"web.example");
    let addresses = ["192.0.2.1:5000", "198.51.100.1:443"].map(|text| text.parse().expect("an address"));
    let client = Client::new(addresses[0], addresses[1], true);
    let gained = Gained {
        client: &client,
        host,
        id: b"id",
        body: BodyWriter::Raw,
    };
    let mut block = Vec::new();
    write::request(head, &gained, &mut block);
    let mut section = RequestSection::default();
    decode(&block)
        .iter()
        .for_each(|(name, value)| section.take(name, value));
    let again = match section.finish(ended, || [1, 2]) {
        Ok(again) => again.head,
        // It has gained some fields.
        Err(BadRequest::Refused(refused)) if refused.status == 431 => return,
        Err(bad) => panic!("what is written is no request: {bad:?}"),
    };
    assert_eq!(
        (again.method, again.target, again.framing),
        (head.method, head.target, head.framing)
    );
    assert_eq!((again.host, again.id), (Some(host), Some(&b"id"[..])));
    assert_eq!(
        (again.trailers, again.expects),
        (head.trailers, Expectation::None)
    );
    assert_eq!(passed(again.headers, again.left), passed(head.headers, head.left));
}

fn of_response(pairs: &[Pair], to_head: bool, ended: bool) {
    let mut section = response_of(pairs);
    let Ok(head) = section.finish(to_head, ended, true) else {
        return;
    };
    assert!(head.keep && (head.framing == Framing::Empty || !ended));
    rewritten_response(&head, to_head);
    let mut block = Vec::new();
    if head.status < 200 {
        write::interim(&head, &mut block);
    } else {
        write::response(&head, b"now", &mut block);
    }
    let mut section = response_of(&decode(&block));
    // It may have gained a date.
    if let Ok(again) = section.finish(to_head, ended, true) {
        same_response(&head, &again);
    } else {
        assert!(
            head.headers.iter().count() > 98 || block.len() > MAX_HEAD / 2,
            "what is written is no response"
        );
    }
}

fn response_of(pairs: &[Pair]) -> ResponseSection {
    let mut section = ResponseSection::default();
    pairs.iter().for_each(|(name, value)| section.take(name, value));
    section
}

fn same_response(head: &ResponseHead<'_, '_>, again: &ResponseHead<'_, '_>) {
    assert_eq!((again.status, again.framing), (head.status, head.framing));
    let mut wanted = passed(head.headers, head.left);
    if !head.dated && head.status >= 200 {
        wanted.push((b"date", b"now"));
    }
    assert_eq!(passed(again.headers, again.left), wanted);
}

fn of_trailers(pairs: &[Pair]) {
    let section = trailers_of(pairs);
    let Ok(lines) = section.finish() else { return };
    assert!(reference::are_trailers(pairs), "they are malformed");
    let mut block = Vec::new();
    write::trailers(lines, &mut block);
    assert_eq!(trailers_of(&decode(&block)).finish(), Ok(lines));
    // By chunks they are the same.
    let (mut chunks, mut reader, mut again) = (Vec::new(), BodyReader::new(Framing::Chunked), Vec::new());
    BodyWriter::Chunked.end(lines, &mut chunks);
    let piece = reader
        .next(&chunks, &mut again)
        .expect("what is written are chunks");
    assert_eq!(
        (piece.skip, reader.is_done(), &again[..]),
        (chunks.len(), true, lines)
    );
}

fn trailers_of(pairs: &[Pair]) -> TrailerSection {
    let mut section = TrailerSection::default();
    pairs.iter().for_each(|(name, value)| section.take(name, value));
    section
}
