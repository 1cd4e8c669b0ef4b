//! Heads of responses.

use httparse::{ParserConfig, Status};

use super::fields::{self, ConnectionOptions, Fields, Headers, Marks, Meaning};
use super::{Framing, MAX_HEADERS, plain};

/// A head that may be passed on.
#[derive(Debug)]
pub(crate) struct ResponseHead<'h, 'b> {
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
    pub(crate) headers: Headers<'h, 'b>,
    /// Those that do not go to the client.
    pub(crate) left: Marks,
    pub(crate) framing: Framing,
    /// Whether the pod takes another request over its connection.
    pub(crate) keep: bool,
    /// What the connection becomes, of 101.
    pub(crate) upgrade: Option<&'b [u8]>,
    pub(crate) dated: bool,
}

/// What came is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadResponse(pub(crate) &'static str);

/// Reads a head at the start of `bytes`, and how long it is; `None` if it has not ended. `to_head` is whether it answers a
/// HEAD.
pub(crate) fn parse<'h, 'b>(
    bytes: &'b [u8],
    fields: &'h mut Fields,
    to_head: bool,
) -> Result<Option<(ResponseHead<'h, 'b>, usize)>, BadResponse> {
    if let Some((line, length)) = plain::response(bytes, fields) {
        let headers = Headers {
            bytes: &bytes[..length],
            fields,
        };
        let head = ResponseHead::of((line.status, line.reason), true, headers, to_head)?;
        return Ok(Some((head, length)));
    }
    parse_any(bytes, fields, to_head)
}

/// As [`parse`], whatever form the head has.
pub(super) fn parse_any<'h, 'b>(
    bytes: &'b [u8],
    fields: &'h mut Fields,
    to_head: bool,
) -> Result<Option<(ResponseHead<'h, 'b>, usize)>, BadResponse> {
    let mut room = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut room) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(BadResponse("it is no HTTP/1.1")),
    };
    let line = (
        response.code.unwrap_or_default(),
        response.reason.unwrap_or_default(),
    );
    if line.0 < 100 {
        return Err(BadResponse("its status is none"));
    }
    let headers = Headers::of(&bytes[..length], response.headers, fields);
    let head = ResponseHead::of(line, response.version == Some(1), headers, to_head)?;
    Ok(Some((head, length)))
}

impl<'h, 'b> ResponseHead<'h, 'b> {
    /// What the fields say, and whether that may be passed on.
    pub(crate) fn of(
        (status, reason): (u16, &'b str),
        http11: bool,
        headers: Headers<'h, 'b>,
        to_head: bool,
    ) -> Result<Self, BadResponse> {
        let mut seen = ResponseFields::of(headers)?;
        // A body that may come behind a response that has none would be taken for the next one.
        let announced = seen.coded || seen.length.is_some_and(|length| length > 0);
        if seen.coded || matches!(status, 100..200 | 204) {
            seen.drop_length(headers);
        }
        let mut left = seen.left;
        if seen.options.names {
            fields::mark_named(headers, &mut left);
        }
        let framing = seen.framing(status, to_head)?;
        Ok(Self {
            status,
            reason,
            headers,
            left,
            framing,
            keep: seen.options.keeps(http11)
                && framing != Framing::UntilClose
                && !(status == 204 && announced),
            upgrade: seen.upgrade,
            dated: seen.dated,
        })
    }
}

/// What the fields of a head say.
#[derive(Default)]
struct ResponseFields<'b> {
    length: Option<u64>,
    coded: bool,
    options: ConnectionOptions,
    upgrade: Option<&'b [u8]>,
    dated: bool,
    left: Marks,
}

impl<'b> ResponseFields<'b> {
    fn of(headers: Headers<'_, 'b>) -> Result<Self, BadResponse> {
        let mut seen = Self::default();
        for (place, (name, value)) in headers.iter().enumerate() {
            match fields::of_response(name) {
                Meaning::Other => continue,
                Meaning::Date => {
                    seen.dated = true;
                    continue;
                }
                Meaning::ContentLength => {
                    let length = fields::content_length(value);
                    let length = length.ok_or(BadResponse("its Content-Length is not a number"))?;
                    match seen.length.replace(length) {
                        None => continue,
                        // RFC 9110, section 8.6: the same again says nothing else.
                        Some(before) if before == length => {}
                        Some(_) => return Err(BadResponse("it has two Content-Lengths")),
                    }
                }
                Meaning::TransferEncoding => {
                    if seen.coded || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(BadResponse("its transfer coding is not 'chunked'"));
                    }
                    seen.coded = true;
                }
                Meaning::Connection => seen.options.read(value),
                Meaning::Upgrade => seen.upgrade = Some(value),
                _ => {}
            }
            seen.left.set(place);
        }
        Ok(seen)
    }

    /// Content-Length does not pass on beside Transfer-Encoding, which overrides it (RFC 9112, section 6.3), nor where nothing
    /// has a length (RFC 9110, section 8.6).
    fn drop_length(&mut self, headers: Headers<'_, '_>) {
        self.length = None;
        for (place, (name, _)) in headers.iter().enumerate() {
            if fields::of_response(name) == Meaning::ContentLength {
                self.left.set(place);
            }
        }
    }

    /// What follows the head (RFC 9112, section 6.3).
    fn framing(&self, status: u16, to_head: bool) -> Result<Framing, BadResponse> {
        if to_head || matches!(status, 100..200 | 204 | 304) {
            return Ok(Framing::Empty);
        }
        Ok(match (self.coded, self.length) {
            (true, _) => Framing::Chunked,
            (false, Some(0)) => Framing::Empty,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        })
    }
}
