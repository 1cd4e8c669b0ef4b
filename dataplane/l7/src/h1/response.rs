//! Heads of responses.

use httparse::{Header, ParserConfig, Status};

use super::fields::{self, ConnectionOptions, Marks, Meaning};
use super::{Fields, Framing};

/// A head that may be passed on.
#[derive(Debug)]
pub(crate) struct ResponseHead<'h, 'b> {
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
    pub(crate) headers: &'h [Header<'b>],
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
    fields: &'h mut Fields<'b>,
    to_head: bool,
) -> Result<Option<(ResponseHead<'h, 'b>, usize)>, BadResponse> {
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, fields);
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(BadResponse("it is no HTTP/1.1")),
    };
    let (status, http11) = (response.code.unwrap_or_default(), response.version == Some(1));
    if status < 100 {
        return Err(BadResponse("its status is none"));
    }
    let mut seen = ResponseFields::of(response.headers)?;
    // A body that may come behind a response that has none would be taken for the next one.
    let announced = seen.coded || seen.length.is_some_and(|length| length > 0);
    if seen.coded || matches!(status, 100..200 | 204) {
        seen.drop_length(response.headers);
    }
    let mut left = seen.left;
    if seen.options.names {
        fields::mark_named(response.headers, &mut left);
    }
    let framing = seen.framing(status, to_head)?;
    let head = ResponseHead {
        status,
        reason: response.reason.unwrap_or_default(),
        headers: response.headers,
        left,
        framing,
        keep: seen.options.keeps(http11) && framing != Framing::UntilClose && !(status == 204 && announced),
        upgrade: seen.upgrade,
        dated: seen.dated,
    };
    Ok(Some((head, length)))
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
    fn of(headers: &[Header<'b>]) -> Result<Self, BadResponse> {
        let mut seen = Self::default();
        for (place, header) in headers.iter().enumerate() {
            match fields::of_response(header.name.as_bytes()) {
                Meaning::Other => continue,
                Meaning::Date => {
                    seen.dated = true;
                    continue;
                }
                Meaning::ContentLength => {
                    let length = fields::content_length(header.value);
                    let length = length.ok_or(BadResponse("its Content-Length is not a number"))?;
                    match seen.length.replace(length) {
                        None => continue,
                        // RFC 9110, section 8.6: the same again says nothing else.
                        Some(before) if before == length => {}
                        Some(_) => return Err(BadResponse("it has two Content-Lengths")),
                    }
                }
                Meaning::TransferEncoding => {
                    if seen.coded || !header.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(BadResponse("its transfer coding is not 'chunked'"));
                    }
                    seen.coded = true;
                }
                Meaning::Connection => seen.options.read(header.value),
                Meaning::Upgrade => seen.upgrade = Some(header.value),
                _ => {}
            }
            seen.left.set(place);
        }
        Ok(seen)
    }

    /// Content-Length does not pass on beside Transfer-Encoding, which overrides it (RFC 9112, section 6.3), nor where nothing
    /// has a length (RFC 9110, section 8.6).
    fn drop_length(&mut self, headers: &[Header<'_>]) {
        self.length = None;
        for (place, header) in headers.iter().enumerate() {
            if fields::of_response(header.name.as_bytes()) == Meaning::ContentLength {
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
