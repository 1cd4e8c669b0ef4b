//! What the fuzz target and the property tests run on arbitrary bytes.

mod reference;

use super::body::{BodyReader, BodyWriter};
use super::request::{Host, RequestHead};
use super::response::{self, ResponseHead};
use super::write::{self, Gained, Persistence};
use super::{Fields, Framing, MAX_HEADERS, request};
use crate::headers::Client;

/// Reads bytes as a request, a response or chunks, and writes them anew: however they are cut they mean the same, and so does
/// what is written.
///
/// # Panics
/// Where something in this module does not keep its contract: that is a bug.
pub fn fuzz(data: &[u8]) {
    let [kind, cuts, bytes @ ..] = data else { return };
    match kind % 4 {
        0 => of_request(bytes, *cuts),
        1 => of_response(bytes, *cuts, false),
        2 => of_response(bytes, *cuts, true),
        _ => drop(body(Framing::Chunked, bytes, *cuts)),
    }
}

/// Lengths of pieces that follow from a number.
fn pieces(cuts: u8, length: usize) -> Vec<usize> {
    let mut state = u32::from(cuts) * 2 + 1;
    let (mut pieces, mut left) = (Vec::new(), length);
    while left > 0 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let most = if cuts.is_multiple_of(3) {
            1
        } else {
            1 + (state >> 24) as usize % 40
        };
        pieces.push(most.min(left));
        left -= most.min(left);
    }
    pieces
}

/// A few places within bytes.
fn places(cuts: u8, length: usize) -> impl Iterator<Item = usize> {
    let step = 1 + length / 16;
    (usize::from(cuts) % step..length)
        .step_by(step)
        .chain(length.checked_sub(1))
}

fn of_request(bytes: &[u8], cuts: u8) {
    let mut fields = Fields::new();
    let whole = request::parse(bytes, &mut fields);
    let length = whole
        .as_ref()
        .ok()
        .map(|parsed| parsed.as_ref().map(|(_, length)| *length));
    for place in places(cuts, bytes.len()) {
        let mut fields = Fields::new();
        let part = request::parse(&bytes[..place], &mut fields);
        agree(
            part.ok().map(|parsed| parsed.map(|(_, length)| length)),
            length,
            place,
        );
    }
    let mut others = Fields::new();
    let other = request::parse_any(bytes, &mut others);
    assert_eq!(
        whole.as_ref().map(|parsed| parsed.as_ref().map(told)),
        other.as_ref().map(|parsed| parsed.as_ref().map(told)),
        "a plain head is none"
    );
    if let Ok(Some((head, length))) = whole {
        rewritten_request(&head);
        let rest = &bytes[length..];
        let _ = body(head.framing, rest, cuts);
    }
}

/// What a head says, whichever way it was read.
fn told((head, length): &(RequestHead<'_, '_>, usize)) -> (usize, String) {
    let headers: Vec<_> = head.headers.iter().collect();
    let line = (head.method, head.target, head.http11, headers, head.left);
    let said = (head.host, head.framing, head.keep, head.upgrade, head.expects);
    (
        *length,
        format!("{line:?} {said:?} {} {:?}", head.trailers, head.id),
    )
}

/// As [`told`].
fn told_by_pod((head, length): &(ResponseHead<'_, '_>, usize)) -> (usize, String) {
    let headers: Vec<_> = head.headers.iter().collect();
    let line = (head.status, head.reason, headers, head.left);
    let said = (head.framing, head.keep, head.upgrade, head.dated);
    (*length, format!("{line:?} {said:?}"))
}

/// A part is refused only if all is, and has ended only where all has.
fn agree(part: Option<Option<usize>>, all: Option<Option<usize>>, place: usize) {
    match part {
        None => assert_eq!(all, None, "{place} bytes are refused"),
        Some(Some(length)) => assert_eq!(all, Some(Some(length)), "{place} bytes are enough"),
        Some(None) => assert!(
            all.is_none_or(|all| all.is_none_or(|length| length > place)),
            "{place} bytes are not enough"
        ),
    }
}

/// A request is the same once written anew.
pub(crate) fn rewritten_request(head: &RequestHead<'_, '_>) {
    if head.headers.iter().count() > MAX_HEADERS - 12 {
        return;
    }
    let host = head
        .host
        .filter(|host| Host::of(host).is_ok())
        .unwrap_or(b"web.example");
    let addresses = ["192.0.2.1:5000", "198.51.100.1:443"].map(|text| text.parse().expect("an address"));
    let client = Client::new(addresses[0], addresses[1], true);
    // What ends with a stream goes to the pod in chunks.
    let (writer, framing) = match head.framing {
        Framing::Chunked | Framing::UntilClose => (BodyWriter::Chunked, Framing::Chunked),
        framing => (BodyWriter::Raw, framing),
    };
    let mut text = Vec::new();
    let gained = Gained {
        client: &client,
        host,
        id: b"id",
        body: writer,
    };
    write::request(head, &gained, &mut text);
    let mut fields = Fields::new();
    let parsed = request::parse(&text, &mut fields).expect("what is written is a request");
    let (again, length) = parsed.expect("what is written is whole");
    assert_eq!(length, text.len());
    assert_eq!((again.method, again.framing), (head.method, framing));
    assert_eq!(
        (again.target.path, again.target.query, again.target.authority),
        (head.target.path, head.target.query, None)
    );
    assert_eq!((again.host, again.id), (Some(host), Some(&b"id"[..])));
    assert_eq!((again.upgrade, again.trailers), (head.upgrade, head.trailers));
    assert!(again.keep && again.http11);
    let passed = |head: &RequestHead<'_, '_>| {
        let passed = head
            .headers
            .iter()
            .enumerate()
            .filter(|(place, _)| !head.left.has(*place));
        passed
            .map(|(_, (name, value))| (name.to_owned(), value.to_vec()))
            .collect::<Vec<_>>()
    };
    assert_eq!(passed(&again), passed(head));
}

fn of_response(bytes: &[u8], cuts: u8, to_head: bool) {
    let mut fields = Fields::new();
    let whole = response::parse(bytes, &mut fields, to_head);
    let length = whole
        .as_ref()
        .ok()
        .map(|parsed| parsed.as_ref().map(|(_, length)| *length));
    for place in places(cuts, bytes.len()) {
        let mut fields = Fields::new();
        let part = response::parse(&bytes[..place], &mut fields, to_head);
        agree(
            part.ok().map(|parsed| parsed.map(|(_, length)| length)),
            length,
            place,
        );
    }
    let mut others = Fields::new();
    let other = response::parse_any(bytes, &mut others, to_head);
    assert_eq!(
        whole.as_ref().map(|parsed| parsed.as_ref().map(told_by_pod)),
        other.as_ref().map(|parsed| parsed.as_ref().map(told_by_pod)),
        "a plain head is none"
    );
    if let Ok(Some((head, length))) = whole {
        rewritten_response(&head, to_head);
        let _ = body(head.framing, &bytes[length..], cuts);
    }
}

/// As [`rewritten_request`].
pub(crate) fn rewritten_response(head: &ResponseHead<'_, '_>, to_head: bool) {
    if head.headers.iter().count() > MAX_HEADERS - 12 {
        return;
    }
    let open = matches!(head.framing, Framing::Chunked | Framing::UntilClose);
    let writer = if open {
        BodyWriter::Chunked
    } else {
        BodyWriter::Raw
    };
    let mut text = Vec::new();
    write::response(head, Persistence::Silent, writer, b"now", &mut text);
    let mut fields = Fields::new();
    let parsed = response::parse(&text, &mut fields, to_head).expect("what is written is a response");
    let (again, length) = parsed.expect("what is written is whole");
    assert_eq!((length, again.status), (text.len(), head.status));
    let framing = if open { Framing::Chunked } else { head.framing };
    assert_eq!(again.framing, framing);
    assert!(again.keep, "nothing is said of the pod's connection");
}

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    data: Vec<u8>,
    trailers: Vec<u8>,
    /// Bytes that are the body's.
    used: usize,
    done: bool,
}

/// Reads a body in pieces, as it would come.
fn take(framing: Framing, bytes: &[u8], pieces: &[usize]) -> Option<Taken> {
    let mut reader = BodyReader::new(framing);
    let (mut data, mut trailers, mut used, mut here) = (Vec::new(), Vec::new(), 0, 0);
    for piece in pieces {
        here += piece;
        while used < here && !reader.is_done() {
            let piece = reader.next(&bytes[used..here], &mut trailers).ok()?;
            assert!(piece.skip + piece.length > 0, "nothing is read of something");
            data.extend_from_slice(&bytes[used + piece.skip..used + piece.skip + piece.length]);
            used += piece.skip + piece.length;
        }
    }
    let done = reader.is_done();
    Some(Taken {
        data,
        trailers,
        used,
        done,
    })
}

/// However a body is cut it is the same, and so is what is written of it.
fn body(framing: Framing, bytes: &[u8], cuts: u8) -> Option<Taken> {
    let whole = take(framing, bytes, &[bytes.len()]);
    assert_eq!(take(framing, bytes, &pieces(cuts, bytes.len())), whole);
    if framing == Framing::Chunked {
        reference::compare(
            bytes,
            whole
                .as_ref()
                .map(|taken| (&taken.data[..], taken.used, taken.done)),
        );
    }
    let taken = whole?;
    let mut text = Vec::new();
    let mut rest = &taken.data[..];
    for piece in pieces(cuts, rest.len()) {
        BodyWriter::Chunked.piece(&rest[..piece], &mut text);
        rest = &rest[piece..];
    }
    BodyWriter::Chunked.end(&taken.trailers, &mut text);
    let again = take(Framing::Chunked, &text, &[text.len()]).expect("what is written are chunks");
    assert_eq!(
        (&again.data, again.used, again.done),
        (&taken.data, text.len(), true)
    );
    assert_eq!(again.trailers, taken.trailers);
    Some(taken)
}
