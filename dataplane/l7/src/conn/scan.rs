//! A look at the bytes of a client before hyper parses them.
//!
//! hyper repairs what a gateway must refuse: of Content-Length and Transfer-Encoding together it silently drops the
//! first, and by the time that a handler sees the request nothing shows it. The scanner follows the framing of
//! requests (RFC 9112 section 6) and keeps one verdict for each head, in order; the handler takes them in that order.
//! Framing is ambiguous only in requests that are refused, after which the connection closes, so the two never part.

use std::collections::VecDeque;

use http::StatusCode;
use httparse::{EMPTY_HEADER, Header, Request, Status};

/// Heads larger than this are refused by hyper, which has the same limit.
pub(super) const MAX_HEAD: usize = 32 << 10;
/// As hyper's default.
pub(super) const MAX_HEADERS: usize = 100;
/// A chunk's size and extensions.
const MAX_CHUNK_LINE: usize = 4 << 10;

/// Why a request is answered before anything else is looked at; the connection closes after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RefusedRequest {
    pub(super) status: StatusCode,
    pub(super) reason: &'static str,
}

/// Follows one client's bytes.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    state: ScanState,
    /// Of a head or of a chunk's line that has not ended.
    partial: Vec<u8>,
    verdicts: VecDeque<Result<(), RefusedRequest>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ScanState {
    #[default]
    Head,
    /// Bytes of content left.
    Content(u64),
    ChunkLine,
    /// Bytes of data left in the chunk, and the line end after them.
    Chunk(u64),
    Trailers,
    /// Nothing is followed any more: refused, malformed, or another protocol.
    Ended,
}

impl Scanner {
    /// Takes note of bytes that go to hyper.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match self.state {
                ScanState::Head => self.head(bytes),
                ScanState::Content(left) => {
                    let used = take(left, bytes);
                    self.state = if used == left {
                        ScanState::Head
                    } else {
                        ScanState::Content(left - used)
                    };
                    used as usize
                }
                ScanState::Chunk(left) => {
                    let used = take(left, bytes);
                    self.state = if used == left {
                        ScanState::ChunkLine
                    } else {
                        ScanState::Chunk(left - used)
                    };
                    used as usize
                }
                ScanState::ChunkLine => self.line(bytes, Self::chunk_size),
                ScanState::Trailers => self.line(bytes, Self::trailer),
                ScanState::Ended => return,
            };
            bytes = &bytes[used..];
        }
    }

    /// The verdict on the next head that hyper has parsed.
    pub(super) fn verdict(&mut self) -> Result<(), RefusedRequest> {
        self.verdicts
            .pop_front()
            .unwrap_or_else(|| bad("the request could not be read"))
    }

    /// What follows is no HTTP.
    pub(super) fn end(&mut self) {
        self.state = ScanState::Ended;
        self.partial = Vec::new();
    }

    fn head(&mut self, bytes: &[u8]) -> usize {
        if self.partial.is_empty() {
            if let Some(used) = self.parse(bytes) {
                return used;
            }
            self.keep(bytes, MAX_HEAD);
            return bytes.len();
        }
        // A head ends with an empty line: byte by byte, only line ends are worth another look.
        let before = self.partial.len();
        self.keep(bytes, MAX_HEAD + bytes.len());
        if !bytes.contains(&b'\n') || self.state == ScanState::Ended {
            return bytes.len();
        }
        let head = std::mem::take(&mut self.partial);
        match self.parse(&head) {
            Some(used) => used.saturating_sub(before),
            None => {
                self.partial = head;
                if self.partial.len() > MAX_HEAD {
                    self.end();
                }
                bytes.len()
            }
        }
    }

    fn keep(&mut self, bytes: &[u8], limit: usize) {
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > limit {
            self.end();
        }
    }

    /// Parses a head; `None` if it is not complete. What httparse refuses, hyper refuses too.
    fn parse(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut request = Request::new(&mut headers);
        let used = match request.parse(bytes) {
            Ok(Status::Complete(used)) => used,
            Ok(Status::Partial) => return None,
            Err(_) => {
                self.end();
                return Some(bytes.len());
            }
        };
        let verdict = framing(request.version == Some(1), request.headers);
        self.state = *verdict.as_ref().unwrap_or(&ScanState::Ended);
        if request.method == Some("CONNECT") {
            self.state = ScanState::Ended;
        }
        self.verdicts.push_back(verdict.map(drop));
        Some(used)
    }

    /// Collects a line and hands it, without its end, to `then`.
    fn line(&mut self, bytes: &[u8], then: fn(&mut Self, &[u8])) -> usize {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
            self.keep(bytes, MAX_CHUNK_LINE);
            return bytes.len();
        };
        self.keep(&bytes[..end], MAX_CHUNK_LINE);
        if self.state != ScanState::Ended {
            let line = std::mem::take(&mut self.partial);
            then(self, line.strip_suffix(b"\r").unwrap_or(&line));
        }
        end + 1
    }

    fn chunk_size(&mut self, line: &[u8]) {
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&line[..digits])
            .ok()
            .and_then(|d| u64::from_str_radix(d, 16).ok());
        self.state = match size {
            Some(0) => ScanState::Trailers,
            // The line end after the data, two bytes, is counted with it.
            Some(size) => size.checked_add(2).map_or(ScanState::Ended, ScanState::Chunk),
            None => ScanState::Ended,
        };
    }

    fn trailer(&mut self, line: &[u8]) {
        if line.is_empty() {
            self.state = ScanState::Head;
        }
    }
}

fn take(left: u64, bytes: &[u8]) -> u64 {
    left.min(bytes.len() as u64)
}

fn bad<T>(reason: &'static str) -> Result<T, RefusedRequest> {
    Err(RefusedRequest {
        status: StatusCode::BAD_REQUEST,
        reason,
    })
}

/// What follows a head, or why the request is refused.
fn framing(http11: bool, headers: &[Header<'_>]) -> Result<ScanState, RefusedRequest> {
    let (mut hosts, mut lengths, mut codings) = (0, 0, 0);
    let (mut length, mut chunked) = (Some(0), false);
    for header in headers {
        if header.name.eq_ignore_ascii_case("host") {
            hosts += 1;
        } else if header.name.eq_ignore_ascii_case("content-length") {
            lengths += 1;
            length = content_length(header.value);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            codings += 1;
            chunked = header.value.eq_ignore_ascii_case(b"chunked");
        }
    }
    match (hosts, lengths, codings) {
        // RFC 9112 section 3.2.
        (0, ..) if http11 => bad("the Host header is missing"),
        (2.., ..) => bad("there is more than one Host header"),
        // RFC 9112 section 6.1: this is how requests are smuggled.
        (_, 1.., 1..) => bad("there are both Content-Length and Transfer-Encoding"),
        (_, 2.., _) => bad("there is more than one Content-Length header"),
        (_, _, 2..) => bad("there is more than one Transfer-Encoding header"),
        (_, _, 1) if !http11 => bad("HTTP/1.0 has no Transfer-Encoding"),
        (_, _, 1) if !chunked => Err(RefusedRequest {
            status: StatusCode::NOT_IMPLEMENTED,
            reason: "the only transfer coding that is understood is 'chunked'",
        }),
        (_, _, 1) => Ok(ScanState::ChunkLine),
        _ => match length {
            Some(0) => Ok(ScanState::Head),
            Some(length) => Ok(ScanState::Content(length)),
            None => bad("Content-Length is not a number"),
        },
    }
}

/// Digits and nothing else (RFC 9110 section 8.6).
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}
