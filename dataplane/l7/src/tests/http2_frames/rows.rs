//! Frames behind the preface and SETTINGS, and what they come to.

use super::Outcome::{Alive, Answer, Lost, Reset};
use super::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PADDED, PING, PRIORITIZED,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get, literal, post,
};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

pub(super) struct Row {
    /// Of RFC 9113, or of RFC 7541.
    pub(super) section: &'static str,
    pub(super) what: &'static str,
    pub(super) frames: Vec<Vec<u8>>,
    pub(super) comes_to: Outcome,
}

fn row(section: &'static str, what: &'static str, frames: Vec<Vec<u8>>, comes_to: Outcome) -> Row {
    Row {
        section,
        what,
        frames,
        comes_to,
    }
}

/// A whole request by one frame.
fn whole(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// One whose body follows.
fn begun(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, post())
}

fn with(block: Vec<u8>, more: &[(&str, &str)]) -> Vec<u8> {
    more.iter().fold(block, |mut block, (name, value)| {
        block.extend(literal(name, value));
        block
    })
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

pub(super) fn rows() -> Vec<Row> {
    [
        frames(),
        states(),
        settings(),
        windows(),
        messages(),
        compression(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Sections 4 and 6, but for those below.
#[rustfmt::skip]
fn frames() -> Vec<Row> {
    let priority = [0, 0, 0, 0, 1];
    vec![
        row("4.1", "a kind that nobody knows", vec![frame(0xfe, 0xff, 7, b"x")], Alive),
        row("4.1", "reserved bit of the stream", vec![frame(HEADERS, 5, 1 | 1 << 31, get())], Answer(1, 200)),
        row("4.1", "flags that mean nothing", vec![frame(PING, 0xfe, 0, [0; 8])], Alive),
        row("4.2", "DATA of the largest size", vec![begun(1), frame(DATA, 1, 1, vec![b'x'; 16_384])], Answer(1, 200)),
        row("4.2", "DATA beyond it", vec![begun(1), frame(DATA, 1, 1, vec![0; 16_385])], Lost(FRAME_SIZE_ERROR)),
        row("4.2", "HEADERS beyond it", vec![frame(HEADERS, 5, 1, vec![0; 16_385])], Lost(FRAME_SIZE_ERROR)),
        row("4.3", "a block that cannot be read", vec![whole(1, &[0x80])], Lost(COMPRESSION_ERROR)),
        row(
            "4.3",
            "PRIORITY within a block",
            vec![frame(HEADERS, 1, 1, get()), frame(PRIORITY, 0, 1, priority)],
            Lost(PROTOCOL_ERROR),
        ),
        row("4.3", "the end within a block", vec![frame(HEADERS, 1, 1, get()), whole(3, &get())], Lost(PROTOCOL_ERROR)),
        row("6.1", "DATA of no stream", vec![frame(DATA, 0, 0, b"x")], Lost(PROTOCOL_ERROR)),
        row("6.1", "padded DATA", vec![begun(1), frame(DATA, PADDED | 1, 1, b"\x02hi\0\0")], Answer(1, 200)),
        row("6.1", "more padding than payload", vec![begun(1), frame(DATA, PADDED | 1, 1, b"\x05hi")], Lost(PROTOCOL_ERROR)),
        row("6.1", "padding without its length", vec![begun(1), frame(DATA, PADDED | 1, 1, b"")], Lost(PROTOCOL_ERROR)),
        row("6.2", "HEADERS of no stream", vec![whole(0, &get())], Lost(PROTOCOL_ERROR)),
        row(
            "6.2",
            "padded HEADERS with priority",
            vec![frame(HEADERS, 5 | PADDED | PRIORITIZED, 1, [&[1, 0, 0, 0, 0, 1][..], &get(), &[0]].concat())],
            Answer(1, 200),
        ),
        row("6.2", "more padding than HEADERS", vec![frame(HEADERS, 5 | PADDED, 1, [0xff])], Lost(PROTOCOL_ERROR)),
        row("6.2", "priority that is cut off", vec![frame(HEADERS, 5 | PRIORITIZED, 1, [0; 4])], Lost(FRAME_SIZE_ERROR)),
        row("6.3", "PRIORITY of no stream", vec![frame(PRIORITY, 0, 0, priority)], Lost(PROTOCOL_ERROR)),
        row("6.3", "PRIORITY of a stream that never began", vec![frame(PRIORITY, 0, 5, priority)], Alive),
        row("6.3", "PRIORITY of four bytes", vec![begun(1), frame(PRIORITY, 0, 1, [0; 4])], Reset(1, FRAME_SIZE_ERROR)),
        row("6.4", "RST_STREAM of no stream", vec![frame(RST_STREAM, 0, 0, [0; 4])], Lost(PROTOCOL_ERROR)),
        row("6.4", "RST_STREAM of one that never began", vec![frame(RST_STREAM, 0, 1, [0; 4])], Lost(PROTOCOL_ERROR)),
        row("6.4", "RST_STREAM of three bytes", vec![begun(1), frame(RST_STREAM, 0, 1, [0; 3])], Lost(FRAME_SIZE_ERROR)),
        row("6.6", "PUSH_PROMISE", vec![frame(PUSH_PROMISE, 4, 1, [0, 0, 0, 2])], Lost(PROTOCOL_ERROR)),
        row("6.7", "PING of a stream", vec![frame(PING, 0, 1, [0; 8])], Lost(PROTOCOL_ERROR)),
        row("6.7", "PING of seven bytes", vec![frame(PING, 0, 0, [0; 7])], Lost(FRAME_SIZE_ERROR)),
        row("6.7", "an answer to no PING", vec![frame(PING, ACK, 0, [0; 8])], Alive),
        row("6.8", "GOAWAY of a stream", vec![frame(GOAWAY, 0, 1, [0; 8])], Lost(PROTOCOL_ERROR)),
        row("6.8", "GOAWAY, and what was asked for", vec![begun(1), frame(GOAWAY, 0, 0, [0; 8]), frame(DATA, 1, 1, b"")], Answer(1, 200)),
        row("6.10", "CONTINUATION of nothing", vec![frame(CONTINUATION, 4, 1, get())], Lost(PROTOCOL_ERROR)),
        row("6.10", "CONTINUATION of a whole block", vec![begun(1), frame(CONTINUATION, 4, 1, [])], Lost(PROTOCOL_ERROR)),
        row("6.10", "of another stream", vec![frame(HEADERS, 1, 1, get()), frame(CONTINUATION, 4, 3, [])], Lost(PROTOCOL_ERROR)),
        row("6.10", "of no stream", vec![frame(HEADERS, 1, 1, get()), frame(CONTINUATION, 4, 0, [])], Lost(PROTOCOL_ERROR)),
        row(
            "6.10",
            "a block in three frames",
            vec![frame(HEADERS, 1, 1, &get()[..2]), frame(CONTINUATION, 0, 1, &get()[2..5]), frame(CONTINUATION, 4, 1, &get()[5..])],
            Answer(1, 200),
        ),
    ]
}

/// Section 5.1.
#[rustfmt::skip]
fn states() -> Vec<Row> {
    let cancel = |stream| frame(RST_STREAM, 0, stream, [0, 0, 0, 8]);
    vec![
        row("5.1", "DATA of a stream that never began", vec![frame(DATA, 1, 1, b"x")], Lost(PROTOCOL_ERROR)),
        row("5.1", "WINDOW_UPDATE of one that never began", vec![frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])], Lost(PROTOCOL_ERROR)),
        row("5.1", "DATA behind the end", vec![begun(1), frame(DATA, 1, 1, b"x"), frame(DATA, 1, 1, b"x")], Reset(1, STREAM_CLOSED)),
        row("5.1", "HEADERS behind the end", vec![begun(1), frame(DATA, 1, 1, b""), whole(1, &get())], Reset(1, STREAM_CLOSED)),
        row("5.1", "DATA behind a reset", vec![begun(1), cancel(1), frame(DATA, 1, 1, b"x")], Reset(1, STREAM_CLOSED)),
        row("5.1", "HEADERS behind a reset", vec![begun(1), cancel(1), whole(1, &get())], Lost(STREAM_CLOSED)),
        row("5.1", "WINDOW_UPDATE behind a reset", vec![begun(1), cancel(1), frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])], Alive),
        row("5.1", "a reset behind a reset", vec![begun(1), cancel(1), cancel(1)], Alive),
        row("5.1.1", "an even stream", vec![whole(2, &get())], Lost(PROTOCOL_ERROR)),
        row("5.1.1", "DATA of an even stream", vec![begun(5), frame(DATA, 0, 2, b"x")], Lost(PROTOCOL_ERROR)),
        row("5.1.1", "a reset of an even stream", vec![begun(5), cancel(2)], Lost(PROTOCOL_ERROR)),
        row("5.1.1", "a lower number", vec![begun(5), cancel(5), whole(3, &get())], Lost(STREAM_CLOSED)),
        row("5.1.1", "numbers left out", vec![whole(4_001, &get())], Answer(4_001, 200)),
        row("5.1.2", "more streams than are taken", (0..129).map(|n| begun(2 * n + 1)).collect(), Reset(257, 7)),
    ]
}

/// Section 6.5.
#[rustfmt::skip]
fn settings() -> Vec<Row> {
    vec![
        row("6.5", "SETTINGS of a stream", vec![frame(SETTINGS, 0, 1, [])], Lost(PROTOCOL_ERROR)),
        row("6.5", "SETTINGS of five bytes", vec![frame(SETTINGS, 0, 0, [0; 5])], Lost(FRAME_SIZE_ERROR)),
        row("6.5", "an answer that says something", vec![frame(SETTINGS, ACK, 0, setting(1, 1))], Lost(FRAME_SIZE_ERROR)),
        row("6.5.2", "ENABLE_PUSH of 2", vec![frame(SETTINGS, 0, 0, setting(2, 2))], Lost(PROTOCOL_ERROR)),
        row("6.5.2", "a window of 2^31", vec![frame(SETTINGS, 0, 0, setting(4, 1 << 31))], Lost(FLOW_CONTROL_ERROR)),
        row("6.5.2", "frames of 16,383 bytes", vec![frame(SETTINGS, 0, 0, setting(5, 16_383))], Lost(PROTOCOL_ERROR)),
        row("6.5.2", "frames of 2^24 bytes", vec![frame(SETTINGS, 0, 0, setting(5, 1 << 24))], Lost(PROTOCOL_ERROR)),
        row("6.5.2", "one that nobody knows", vec![frame(SETTINGS, 0, 0, setting(0xff, 0xff))], Alive),
        row("6.5.3", "the last of two counts", vec![frame(SETTINGS, 0, 0, [setting(4, 0), setting(4, 100)].concat()), whole(1, &get())], Answer(1, 200)),
    ]
}

/// Section 6.9.
#[rustfmt::skip]
fn windows() -> Vec<Row> {
    let update = |stream, more: u32| frame(WINDOW_UPDATE, 0, stream, more.to_be_bytes());
    vec![
        row("6.9", "a window that grows by nothing", vec![update(0, 0)], Lost(PROTOCOL_ERROR)),
        row("6.9", "a stream's that does", vec![begun(1), update(1, 0)], Reset(1, PROTOCOL_ERROR)),
        row("6.9", "WINDOW_UPDATE of three bytes", vec![frame(WINDOW_UPDATE, 0, 0, [0; 3])], Lost(FRAME_SIZE_ERROR)),
        row("6.9.1", "a window above 2^31 - 1", vec![update(0, (1 << 31) - 1)], Lost(FLOW_CONTROL_ERROR)),
        row("6.9.1", "a stream's above it", vec![begun(1), update(1, (1 << 31) - 1)], Reset(1, FLOW_CONTROL_ERROR)),
        row(
            "6.9.2",
            "one that SETTINGS takes above it",
            vec![begun(1), update(1, 0x7fff_0000), frame(SETTINGS, 0, 0, setting(4, 0x7fff_ffff))],
            Lost(FLOW_CONTROL_ERROR),
        ),
        row("6.9.2", "no window at all, but for heads", vec![frame(SETTINGS, 0, 0, setting(4, 0)), whole(1, &get())], Answer(1, 200)),
    ]
}

/// Section 8.
#[rustfmt::skip]
fn messages() -> Vec<Row> {
    let of = |fields: &[(&str, &str)]| whole(1, &with(Vec::new(), fields));
    let plus = |more: &[(&str, &str)]| vec![whole(1, &with(get(), more))];
    let malformed = Reset(1, PROTOCOL_ERROR);
    let trailers = |flags, fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS | flags, 1, with(Vec::new(), fields));
    let usual = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "web.example")];
    let without = |name: &str| {
        let fields: Vec<_> = usual.iter().filter(|(known, _)| *known != name).copied().collect();
        vec![of(&fields)]
    };
    vec![
        row("8.1", "trailers without the end", vec![begun(1), trailers(0, &[("x", "y")])], malformed),
        row("8.1", "trailers", vec![begun(1), trailers(END_STREAM, &[("x", "y")])], Answer(1, 200)),
        row("8.1", "pseudo-fields in trailers", vec![begun(1), trailers(END_STREAM, &[(":method", "GET")])], malformed),
        row("8.1.1", "less than Content-Length", vec![frame(HEADERS, 4, 1, with(post(), &[("content-length", "5")])), frame(DATA, 1, 1, b"four")], malformed),
        row("8.1.1", "more than it", vec![frame(HEADERS, 4, 1, with(post(), &[("content-length", "3")])), frame(DATA, 1, 1, b"four")], malformed),
        row("8.1.1", "less than it in two frames", vec![frame(HEADERS, 4, 1, with(post(), &[("content-length", "9")])), frame(DATA, 0, 1, b"four"), frame(DATA, 1, 1, b"four")], malformed),
        row("8.1.1", "less than it before trailers", vec![frame(HEADERS, 4, 1, with(post(), &[("content-length", "9")])), frame(DATA, 0, 1, b"four"), trailers(1, &[("x", "y")])], malformed),
        row("8.1.1", "Content-Length without a body", plus(&[("content-length", "3")]), malformed),
        row("8.2.1", "upper case in a name", plus(&[("X-Upper", "y")]), malformed),
        row("8.2.1", "a colon in a name", plus(&[("x:y", "z")]), malformed),
        row("8.2.1", "a blank in a name", plus(&[("x y", "z")]), malformed),
        row("8.2.1", "no name", plus(&[("", "z")]), malformed),
        row("8.2.1", "NUL in a value", plus(&[("x", "a\0b")]), malformed),
        row("8.2.1", "CR in a value", plus(&[("x", "a\rb")]), malformed),
        row("8.2.1", "a line in a value", plus(&[("x", "a\r\nhost: other")]), malformed),
        row("8.2.1", "a value that begins with a blank", plus(&[("x", " a")]), malformed),
        row("8.2.2", "Connection", plus(&[("connection", "keep-alive")]), malformed),
        row("8.2.2", "Keep-Alive", plus(&[("keep-alive", "5")]), malformed),
        row("8.2.2", "Proxy-Connection", plus(&[("proxy-connection", "close")]), malformed),
        row("8.2.2", "Transfer-Encoding", plus(&[("transfer-encoding", "chunked")]), malformed),
        row("8.2.2", "Upgrade", plus(&[("upgrade", "h2c")]), malformed),
        row("8.2.2", "TE other than trailers", plus(&[("te", "trailers, deflate")]), malformed),
        row("8.3", "an unknown pseudo-field", plus(&[(":unknown", "y")]), malformed),
        row("8.3", "one of responses", plus(&[(":status", "200")]), malformed),
        row("8.3", "one behind others", vec![of(&[usual[0], usual[1], usual[3], ("x", "y"), usual[2]])], malformed),
        row("8.3.1", "no method", without(":method"), malformed),
        row("8.3.1", "no scheme", without(":scheme"), malformed),
        row("8.3.1", "no path", without(":path"), malformed),
        row("8.3.1", "no authority", without(":authority"), Answer(1, 400)),
        row("8.3.1", "an empty path", vec![of(&[usual[0], usual[1], (":path", ""), usual[3]])], malformed),
        row("8.3.1", "two methods", plus(&[(":method", "GET")]), malformed),
        row("8.3.1", "two paths", plus(&[(":path", "/")]), malformed),
        row("8.3.1", "a path that is none", vec![of(&[usual[0], usual[1], (":path", "other"), usual[3]])], malformed),
        row("8.3.1", "Host that is another", plus(&[("host", "other.example")]), Answer(1, 400)),
        row("8.3.1", "Host that is the same", plus(&[("host", "web.example")]), Answer(1, 200)),
        row("8.5", "CONNECT", vec![of(&[(":method", "CONNECT"), (":authority", "web.example:443")])], Answer(1, 405)),
        row("8.5", "CONNECT with a path", vec![of(&[(":method", "CONNECT"), (":path", "/"), usual[3]])], malformed),
    ]
}

/// RFC 7541.
#[rustfmt::skip]
fn compression() -> Vec<Row> {
    let lost = Lost(COMPRESSION_ERROR);
    let then = |bytes: &[u8]| vec![whole(1, &[&get(), bytes].concat())];
    vec![
        row("2.3.3", "an index beyond the table", then(&[0xff, 0x80, 0x01]), lost),
        row("6.1", "index 0", then(&[0x80]), lost),
        row("5.1", "a number without end", then(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), lost),
        row("5.2", "a string longer than the block", then(&[0, 5, b'x']), lost),
        row("5.2", "padding of eight bits", then(&[0, 1, b'x', 0x82, 0xff, 0xff]), lost),
        row("5.2", "padding of zeros", then(&[0, 1, b'x', 0x81, 0b0001_1000]), lost),
        row("5.2", "EOS in a string", then(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]), lost),
        row("4.2", "a table larger than allowed", vec![whole(1, &[&[0x3f, 0xe2, 0x1f][..], &get()].concat())], lost),
        row("4.2", "a table of nothing", vec![whole(1, &[&[0x20][..], &get()].concat())], Answer(1, 200)),
        row("4.2", "a size behind a field", then(&[0x20]), lost),
    ]
}
