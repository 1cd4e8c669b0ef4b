//! Heads of requests.

use http::StatusCode;
use httparse::{Error, Status};

use super::fields::{self, ConnectionOptions, Fields, Headers, Marks, Meaning, items};
pub(crate) use super::target::{BadHost, Host, Target};
use super::{Framing, MAX_HEADERS, RefusedRequest, plain};

/// A head that may be answered.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    pub(crate) method: &'b str,
    pub(crate) target: Target<'b>,
    /// Of the two minor versions that there are.
    pub(crate) http11: bool,
    pub(crate) headers: Headers<'h, 'b>,
    /// Those that do not go to the pod.
    pub(crate) left: Marks,
    pub(crate) host: Option<&'b [u8]>,
    pub(crate) framing: Framing,
    /// Whether the client takes another response over its connection.
    pub(crate) keep: bool,
    /// What the client would change to (RFC 9110, section 7.8), if it may.
    pub(crate) upgrade: Option<&'b [u8]>,
    pub(crate) expects: Expectation,
    /// Whether it takes trailers.
    pub(crate) trailers: bool,
    /// The ID that the client has given it, if that is harmless.
    pub(crate) id: Option<&'b [u8]>,
}

/// What a client waits for before it sends its body (RFC 9110, section 10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expectation {
    #[default]
    None,
    /// `100 Continue`.
    Continue,
    Unknown,
}

/// Reads a head at the start of `bytes`, and how long it is; `None` if it has not ended.
pub(crate) fn parse<'h, 'b>(
    bytes: &'b [u8],
    fields: &'h mut Fields,
) -> Result<Option<(RequestHead<'h, 'b>, usize)>, RefusedRequest> {
    if let Some((line, length)) = plain::request(bytes, fields) {
        let headers = Headers {
            bytes: &bytes[..length],
            fields,
        };
        let head = RequestHead::of(line.method, Ok(line.target), true, headers)?;
        return Ok(Some((head, length)));
    }
    parse_any(bytes, fields)
}

/// As [`parse`], whatever form the head has.
pub(super) fn parse_any<'h, 'b>(
    bytes: &'b [u8],
    fields: &'h mut Fields,
) -> Result<Option<(RequestHead<'h, 'b>, usize)>, RefusedRequest> {
    let mut room = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut room) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(refused(error)),
    };
    let (method, target) = (
        request.method.unwrap_or_default(),
        request.path.unwrap_or_default(),
    );
    let headers = Headers::of(&bytes[..length], request.headers, fields);
    let target = Target::of(method, target);
    let head = RequestHead::of(method, target, request.version == Some(1), headers)?;
    Ok(Some((head, length)))
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// What the fields say, and whether that may be answered.
    pub(crate) fn of(
        method: &'b str,
        target: Result<Target<'b>, RefusedRequest>,
        http11: bool,
        headers: Headers<'h, 'b>,
    ) -> Result<Self, RefusedRequest> {
        let seen = RequestFields::of(headers)?;
        let framing = seen.framing(http11)?;
        if method == "CONNECT" {
            return Err(RefusedRequest::NO_PROXY);
        }
        let target = target?;
        let mut left = seen.left;
        if seen.options.names {
            fields::mark_named(headers, &mut left);
        }
        let upgrade = seen
            .upgrade
            .filter(|_| http11 && seen.options.upgrade && framing == Framing::Empty);
        Ok(Self {
            method,
            target,
            http11,
            headers,
            left,
            host: seen.host,
            framing,
            keep: seen.options.keeps(http11),
            upgrade,
            expects: seen.expects.filter(|_| http11).unwrap_or_default(),
            trailers: seen.trailers,
            id: seen.id,
        })
    }
}

/// What httparse could not read.
const fn refused(error: Error) -> RefusedRequest {
    match error {
        Error::TooManyHeaders => RefusedRequest::TOO_MANY_FIELDS,
        Error::Version => RefusedRequest::bad("only HTTP/1.0 and HTTP/1.1 are spoken here"),
        Error::HeaderName => RefusedRequest::bad("the name of a header field is none"),
        Error::HeaderValue => RefusedRequest::bad("the value of a header field is none"),
        Error::NewLine | Error::Status | Error::Token => RefusedRequest::bad("the request line is none"),
    }
}

/// What Transfer-Encoding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    /// Others before it.
    More,
    /// Where the body ends is not known (RFC 9112, section 6.3).
    Other,
}

impl Coding {
    fn of(value: &[u8]) -> Self {
        let is_chunked = |item: &[u8]| item.eq_ignore_ascii_case(b"chunked");
        let before = items(value).count() - 1;
        if is_chunked(value) {
            Self::Chunked
        } else if items(value).last().is_some_and(is_chunked)
            && items(value).take(before).all(|item| {
                !item.is_empty() && !is_chunked(item) && item.iter().all(|byte| plain::is_token(*byte))
            })
        {
            Self::More
        } else {
            Self::Other
        }
    }
}

/// What the fields of a head say.
#[derive(Default)]
struct RequestFields<'b> {
    host: Option<&'b [u8]>,
    length: Option<u64>,
    coding: Option<Coding>,
    options: ConnectionOptions,
    upgrade: Option<&'b [u8]>,
    expects: Option<Expectation>,
    trailers: bool,
    id: Option<&'b [u8]>,
    left: Marks,
    hosts: usize,
    upgrades: usize,
}

impl<'b> RequestFields<'b> {
    fn of(headers: Headers<'_, 'b>) -> Result<Self, RefusedRequest> {
        let mut seen = Self::default();
        let bytes = headers.bytes;
        for (place, field) in headers.fields.iter().enumerate() {
            let meaning = fields::of_request(field.name(bytes), field.underscore);
            if meaning != Meaning::Other {
                seen.note(meaning, field.value(bytes))?;
                if meaning != Meaning::ContentLength {
                    seen.left.set(place);
                }
            }
        }
        Ok(seen)
    }

    fn note(&mut self, meaning: Meaning, value: &'b [u8]) -> Result<(), RefusedRequest> {
        match meaning {
            Meaning::Host => {
                self.hosts += 1;
                self.host = Some(value);
            }
            Meaning::ContentLength => {
                if self.length.is_some() {
                    return Err(RefusedRequest::bad(
                        "there is more than one Content-Length header",
                    ));
                }
                let length = fields::content_length(value);
                self.length = Some(length.ok_or(RefusedRequest::bad("Content-Length is not a number"))?);
            }
            Meaning::TransferEncoding => {
                if self.coding.is_some() {
                    return Err(RefusedRequest::bad(
                        "there is more than one Transfer-Encoding header",
                    ));
                }
                self.coding = Some(Coding::of(value));
            }
            Meaning::Connection => self.options.read(value),
            Meaning::Te => self.trailers |= items(value).any(|item| item.eq_ignore_ascii_case(b"trailers")),
            Meaning::Expect => {
                let known = value.eq_ignore_ascii_case(b"100-continue");
                self.expects = match self.expects {
                    None | Some(Expectation::Continue) if known => Some(Expectation::Continue),
                    _ => Some(Expectation::Unknown),
                };
            }
            Meaning::Upgrade => {
                self.upgrades += 1;
                self.upgrade = Some(value).filter(|_| self.upgrades == 1 && may_become(value));
            }
            Meaning::RequestId if self.id.is_none() => self.id = Some(value).filter(|id| is_harmless(id)),
            Meaning::RequestId | Meaning::Gone | Meaning::Date | Meaning::Other => {}
        }
        Ok(())
    }

    /// What follows the head (RFC 9112, section 6).
    fn framing(&self, http11: bool) -> Result<Framing, RefusedRequest> {
        match (self.hosts, self.length, self.coding) {
            // RFC 9112, section 3.2.
            (0, ..) if http11 => Err(RefusedRequest::bad("the Host header is missing")),
            (2.., ..) => Err(RefusedRequest::bad("there is more than one Host header")),
            // RFC 9112, section 6.1: this is how requests are smuggled.
            (_, Some(_), Some(_)) => Err(RefusedRequest::bad(
                "there are both Content-Length and Transfer-Encoding",
            )),
            (_, _, Some(_)) if !http11 => Err(RefusedRequest::bad(
                "Transfer-Encoding came with the version that has none",
            )),
            (_, _, Some(Coding::More)) => Err(RefusedRequest {
                status: StatusCode::NOT_IMPLEMENTED,
                reason: "the only transfer coding that is understood is 'chunked'",
            }),
            (_, _, Some(Coding::Other)) => {
                Err(RefusedRequest::bad("the last transfer coding is not 'chunked'"))
            }
            (_, _, Some(Coding::Chunked)) => Ok(Framing::Chunked),
            (_, None | Some(0), None) => Ok(Framing::Empty),
            (_, Some(length), None) => Ok(Framing::Length(length)),
        }
    }
}

/// HTTP/2 in a tunnel would carry requests that no rule has seen, with headers of the client's own making; RFC 9113, section
/// 3.1 has done away with it.
fn may_become(protocols: &[u8]) -> bool {
    let http2 = |protocol: &[u8]| protocol.eq_ignore_ascii_case(b"h2c");
    !items(protocols).any(http2)
}

/// Whether an ID may be logged and passed on as it is.
fn is_harmless(id: &[u8]) -> bool {
    let byte =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'+' | b'/' | b'=');
    (1..=128).contains(&id.len()) && id.iter().all(byte)
}

impl headgate_net::routes::Head for RequestHead<'_, '_> {
    fn method(&self) -> &str {
        self.method
    }

    fn any_header(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let headers = self.headers.iter();
        let mut named = headers.filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        named.any(|(_, value)| is(value))
    }

    fn query(&self) -> Option<&str> {
        self.target.query
    }
}
