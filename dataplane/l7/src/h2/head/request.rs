//! Requests (RFC 9113, section 8.3.1).

use http::StatusCode;

use super::section::{KeptValue, MalformedMessage, Section, check, check_value};
use super::tunnel;
use crate::h1::request::{RequestHead, Target};
use crate::h1::{self, Framing, MAX_HEAD, MAX_HEADERS, RefusedRequest};

/// The header section of a request.
#[derive(Debug, Default)]
pub(crate) struct RequestSection {
    section: Section,
    pseudo: Pseudo,
    /// Cookies, put together.
    cookie: Vec<u8>,
    /// Whether a field has come that is no pseudo-header field.
    regular: bool,
    /// Whether Content-Length has come.
    sized: bool,
    /// Whether Content-Type is gRPC's.
    grpc: bool,
    fault: Option<BadRequest>,
}

/// What stands in the request line of HTTP/1.1.
#[derive(Debug, Default)]
struct Pseudo {
    method: Option<KeptValue>,
    scheme: Option<KeptValue>,
    authority: Option<KeptValue>,
    path: Option<KeptValue>,
    /// RFC 8441, section 4.
    protocol: Option<KeptValue>,
}

/// A request on a stream.
#[derive(Debug)]
pub(crate) struct StreamRequest<'s> {
    pub(crate) head: RequestHead<'s, 's>,
    /// An extended CONNECT (RFC 8441), which the head asks for as HTTP/1.1 does: with GET and `upgrade`. When the pod has
    /// answered 101, the stream is told 200 (`write::tunnel`), and its data go both ways as they are.
    pub(crate) tunnel: bool,
}

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRequest {
    /// The stream is reset.
    Malformed(MalformedMessage),
    /// It is answered; the connection has more streams, and lives on.
    Refused(RefusedRequest),
}

impl From<MalformedMessage> for BadRequest {
    fn from(malformed: MalformedMessage) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<RefusedRequest> for BadRequest {
    fn from(refused: RefusedRequest) -> Self {
        Self::Refused(refused)
    }
}

impl RequestSection {
    /// Makes ready for another one.
    pub(crate) fn clear(&mut self) {
        self.section.clear();
        self.cookie.clear();
        self.pseudo = Pseudo::default();
        (self.regular, self.sized, self.grpc, self.fault) = (false, false, false, None);
    }

    /// Takes the next field. When it is clear that there is no request, the rest is passed over.
    pub(crate) fn take(&mut self, name: &[u8], value: &[u8]) {
        if self.fault.is_none()
            && let Err(fault) = self.note(name, value)
        {
            self.fault = Some(fault);
        }
    }

    /// Whether its method is HEAD, however good the rest is: then an answer has no body.
    pub(crate) fn is_to_head(&self) -> bool {
        let method = self.pseudo.method.as_ref();
        method.is_some_and(|method| self.section.kept(method) == b"HEAD")
    }

    /// Whether it is one of gRPC, however good the rest is. gRPC-Web is not: its clients read HTTP.
    pub(crate) fn is_grpc(&self) -> bool {
        self.grpc
    }

    /// All fields have come; `ended` is whether the stream ends with them. `random` is for the key of a tunnel.
    pub(crate) fn finish(
        &mut self,
        ended: bool,
        random: impl FnOnce() -> [u64; 2],
    ) -> Result<StreamRequest<'_>, BadRequest> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.begin_fields();
        let tunnel = self.pseudo.check(&self.section)?;
        if tunnel {
            self.section.add(b"sec-websocket-key", &tunnel::key(random()));
        }
        if !self.cookie.is_empty() {
            self.section.add(b"cookie", &self.cookie);
        }
        let Pseudo { method, path, .. } = &self.pseudo;
        let method = if tunnel {
            "GET"
        } else {
            text(&self.section, method)?
        };
        let target = Target::of(method, text(&self.section, path)?);
        let mut head = RequestHead::of(method, target, true, self.section.headers())?;
        match head.framing {
            Framing::Length(_) if ended || tunnel => {
                return Err(MalformedMessage("Content-Length is more than what follows").into());
            }
            Framing::Empty if !ended && !tunnel && !self.sized => head.framing = Framing::UntilClose,
            _ => {}
        }
        head.upgrade = tunnel.then_some(tunnel::PROTOCOL);
        Ok(StreamRequest { head, tunnel })
    }

    /// Bytes of memory that it holds for names and values.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn memory(&self) -> usize {
        self.section.memory() + self.cookie.capacity()
    }

    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadRequest> {
        if self.section.count(name, value) > MAX_HEAD {
            let target = name == b":path" && value.len() >= MAX_HEAD - 64;
            return Err(if target {
                RefusedRequest::TARGET_TOO_LARGE
            } else {
                RefusedRequest::HEAD_TOO_LARGE
            }
            .into());
        }
        if let [b':', pseudo @ ..] = name {
            return Ok(self.note_pseudo(pseudo, value)?);
        }
        check(name, value)?;
        self.begin_fields();
        match name {
            b"te" if !value.eq_ignore_ascii_case(b"trailers") => {
                return Err(MalformedMessage("TE is not 'trailers'").into());
            }
            // Section 8.2.3; of an empty one nothing would be left but blanks around a value.
            b"cookie" if value.is_empty() => return Ok(()),
            b"cookie" => {
                if !self.cookie.is_empty() {
                    self.cookie.extend_from_slice(b"; ");
                }
                self.cookie.extend_from_slice(value);
                return Ok(());
            }
            b"host" if let Some(authority) = &self.pseudo.authority => {
                let same = self.section.kept(authority).eq_ignore_ascii_case(value);
                return if same { Ok(()) } else { Err(TWO_HOSTS.into()) };
            }
            b"content-length" => self.sized = true,
            b"content-type" => self.grpc |= is_grpc(value),
            // A client of HTTP/2 has none that is checked (RFC 8441, section 5).
            b"sec-websocket-key" if self.pseudo.protocol.is_some() => return Ok(()),
            _ => {}
        }
        if self.section.len() >= MAX_HEADERS {
            return Err(RefusedRequest::TOO_MANY_FIELDS.into());
        }
        self.section.add(name, value);
        Ok(())
    }

    fn note_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), MalformedMessage> {
        let kept = match name {
            b"method" => &mut self.pseudo.method,
            b"scheme" => &mut self.pseudo.scheme,
            b"authority" => &mut self.pseudo.authority,
            b"path" => &mut self.pseudo.path,
            b"protocol" => &mut self.pseudo.protocol,
            _ => return Err(MalformedMessage("there is an unknown pseudo-header field")),
        };
        if self.regular {
            return Err(MalformedMessage("a pseudo-header field stands behind others"));
        }
        if kept.is_some() {
            return Err(MalformedMessage("there are two pseudo-header fields of one name"));
        }
        check_value(value)?;
        *kept = Some(self.section.keep(value));
        Ok(())
    }

    /// The pseudo-header fields are over: what is left of them is a field as others.
    fn begin_fields(&mut self) {
        if !std::mem::replace(&mut self.regular, true)
            && let Some(authority) = &self.pseudo.authority
        {
            self.section.add_kept(b"host", authority);
        }
    }
}

/// Section 8.3.1: a server that went by the other one would answer for another host.
const TWO_HOSTS: RefusedRequest = RefusedRequest::bad("Host is not the authority of the request");

/// Whether a media type is gRPC's (its `PROTOCOL-HTTP2.md`), with or without a message format or parameters.
fn is_grpc(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

/// A value that was checked to be text.
fn text<'s>(section: &'s Section, kept: &Option<KeptValue>) -> Result<&'s str, MalformedMessage> {
    let value = kept.as_ref().map(|kept| section.kept(kept));
    std::str::from_utf8(value.unwrap_or_default())
        .map_err(|_| MalformedMessage("a pseudo-header field is no text"))
}

impl Pseudo {
    /// Checks all of it; whether it asks for a tunnel.
    fn check(&self, section: &Section) -> Result<bool, BadRequest> {
        let of = |kept: &Option<KeptValue>| kept.clone().map(|kept| section.kept(&kept));
        let method = of(&self.method).unwrap_or_default();
        if method.is_empty() || !method.iter().all(|byte| h1::is_token(*byte)) {
            return Err(MalformedMessage("the method is none").into());
        }
        let tunnel = self.protocol.is_some();
        if method == b"CONNECT" && !tunnel {
            // Section 8.5.
            let is = self.scheme.is_none() && self.path.is_none() && self.authority.is_some();
            return Err(if is {
                RefusedRequest::NO_PROXY.into()
            } else {
                MalformedMessage("CONNECT names more or less than an authority").into()
            });
        }
        if tunnel && method != b"CONNECT" {
            return Err(MalformedMessage("there is a protocol without CONNECT").into());
        }
        if !is_scheme(of(&self.scheme).unwrap_or_default()) {
            return Err(MalformedMessage("the scheme is none").into());
        }
        let path = of(&self.path).unwrap_or_default();
        let known = path.starts_with(b"/") || path == b"*" && method == b"OPTIONS";
        if !known || !path.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..)) {
            return Err(MalformedMessage("the path is none").into());
        }
        if of(&self.authority).is_some_and(|authority| authority.contains(&b'@')) {
            return Err(RefusedRequest::bad("the authority names a user").into());
        }
        if of(&self.protocol).is_some_and(|protocol| !protocol.eq_ignore_ascii_case(tunnel::PROTOCOL)) {
            return Err(RefusedRequest {
                status: StatusCode::NOT_IMPLEMENTED,
                reason: "the only protocol of a tunnel that is understood is 'websocket'",
            }
            .into());
        }
        Ok(tunnel)
    }
}

/// RFC 3986, section 3.1. Whichever it is, the listener's counts.
fn is_scheme(scheme: &[u8]) -> bool {
    let byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(byte)
}
