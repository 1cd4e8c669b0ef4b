//! Answers that Headgate gives itself.

use http::StatusCode;

use crate::gateway::Gateway;
use crate::h1::RefusedRequest;
use crate::h1::write::{Persistence, persist, status_line};
use crate::h2::head::write as section;
use crate::h2::hpack;
use crate::headers::RequestId;

/// An answer that is not a pod's.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    location: Option<String>,
    /// What happened, in a sentence for people.
    body: &'static str,
    /// Whether the client's connection closes after it.
    pub(crate) last: bool,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    Http10,
    Http11,
    Http2,
}

impl HttpVersion {
    /// Of HTTP/1, by whether it is the newer one.
    pub(crate) fn of(http11: bool) -> Self {
        if http11 { Self::Http11 } else { Self::Http10 }
    }
}

/// What the client can make something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerForm {
    Text,
    /// It has asked by HEAD: a response has no body.
    NoBody,
    /// It speaks gRPC: what went wrong is told by fields alone.
    Grpc,
}

impl AnswerForm {
    /// Of a request by its method, unless it is one of gRPC.
    pub(crate) fn to(method: &str) -> Self {
        Self::to_head(method == "HEAD")
    }

    pub(crate) fn to_head(to_head: bool) -> Self {
        if to_head { Self::NoBody } else { Self::Text }
    }
}

/// Who an answer is for.
#[derive(Clone, Debug)]
pub(crate) struct Audience {
    pub(crate) id: RequestId,
    pub(crate) form: AnswerForm,
    pub(crate) version: HttpVersion,
    /// Whether the client takes another response over its connection.
    pub(crate) keep: bool,
}

impl Audience {
    /// Whether a response has no body, whatever its head says.
    pub(crate) fn asked_by_head(&self) -> bool {
        self.form == AnswerForm::NoBody
    }

    /// How a client is told what becomes of its connection.
    pub(crate) fn persistence(&self, keep: bool) -> Persistence {
        match (keep, self.version) {
            (_, HttpVersion::Http2) | (true, HttpVersion::Http11) => Persistence::Silent,
            (false, _) => Persistence::Close,
            (true, HttpVersion::Http10) => Persistence::KeepAlive,
        }
    }
}

impl Answer {
    pub(crate) fn new(status: StatusCode, body: &'static str) -> Self {
        Self {
            status,
            location: None,
            body,
            last: false,
        }
    }

    /// The client is sent elsewhere.
    pub(super) fn to(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// The client's connection closes after it.
    pub(crate) fn last(self) -> Self {
        Self { last: true, ..self }
    }

    /// Writes it: a short text with the request's ID to find it by. Returns how many bytes the text has.
    pub(crate) fn write(
        &self,
        audience: &Audience,
        keep: bool,
        gateway: &Gateway,
        to: &mut Vec<u8>,
    ) -> usize {
        let text = self.text(audience);
        status_line(self.status.as_u16(), self.title(), to);
        let line = |name: &[u8], value: &[u8]| {
            for part in [name, b": ", value, b"\r\n"] {
                to.extend_from_slice(part);
            }
        };
        gateway.date(|date| self.fields(audience, &text, date, line));
        persist(audience.persistence(keep), to);
        to.extend_from_slice(b"\r\n");
        if audience.asked_by_head() {
            return 0;
        }
        to.extend_from_slice(text.as_bytes());
        text.len()
    }

    /// Writes its head as a block of HTTP/2. Returns the text that goes behind it, unless none does.
    pub(crate) fn write_section(&self, audience: &Audience, date: &[u8], to: &mut Vec<u8>) -> Option<String> {
        if audience.form == AnswerForm::Grpc {
            self.write_grpc(audience, date, to);
            return None;
        }
        let text = self.text(audience);
        section::status(self.status.as_u16(), to);
        self.fields(audience, &text, date, |name, value| hpack::field(name, value, to));
        (audience.form == AnswerForm::Text).then_some(text)
    }

    /// Writes what a client of gRPC reads (its `PROTOCOL-HTTP2.md`, Trailers-Only): the request's ID is in the message.
    fn write_grpc(&self, audience: &Audience, date: &[u8], to: &mut Vec<u8>) {
        section::status(StatusCode::OK.as_u16(), to);
        hpack::field(b"content-type", b"application/grpc", to);
        let status = grpc_status(self.status).to_string();
        hpack::field(b"grpc-status", status.as_bytes(), to);
        let text = self.text(audience);
        let message = text.trim_ascii_end().replace('\n', "; ");
        hpack::field(b"grpc-message", percent_encoded(&message).as_bytes(), to);
        hpack::field(b"server", b"headgate", to);
        hpack::field(b"x-request-id", audience.id.as_bytes(), to);
        hpack::field(b"date", date, to);
    }

    fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }

    fn text(&self, audience: &Audience) -> String {
        let id = String::from_utf8_lossy(audience.id.as_bytes());
        format!(
            "{} {}: {}\nrequest {id}\n",
            self.status.as_u16(),
            self.title(),
            self.body
        )
    }

    /// Gives the fields of its head but for those about the connection.
    fn fields(&self, audience: &Audience, text: &str, date: &[u8], mut field: impl FnMut(&[u8], &[u8])) {
        field(b"content-type", b"text/plain; charset=utf-8");
        field(b"content-length", text.len().to_string().as_bytes());
        field(b"server", b"headgate");
        field(b"x-request-id", audience.id.as_bytes());
        field(b"date", date);
        if let Some(location) = &self.location {
            field(b"location", location.as_bytes());
        }
    }
}

/// What a status of HTTP is in gRPC (its `http-grpc-status-mapping.md`).
fn grpc_status(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// As `grpc-message` is written: what is not visible ASCII, and `%`, as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

impl From<RefusedRequest> for Answer {
    /// Nothing behind a request with such a head can be read.
    fn from(RefusedRequest { status, reason }: RefusedRequest) -> Self {
        Self::new(status, reason).last()
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, AnswerForm, Audience, HttpVersion, StatusCode};
    use crate::h2::hpack::Decoder;
    use crate::headers::RequestId;

    #[test]
    fn an_answer_over_a_stream_says_what_it_says_otherwise() {
        let answer = Answer::new(StatusCode::FOUND, "it is elsewhere").to("/x".to_owned());
        let mut audience = Audience {
            id: RequestId::Given(b"my-id"[..].into()),
            form: AnswerForm::Text,
            version: HttpVersion::Http2,
            keep: true,
        };
        let (mut block, mut fields) = (Vec::new(), Vec::new());
        let text = answer.write_section(&audience, b"now", &mut block);
        assert_eq!(
            text.as_deref(),
            Some("302 Found: it is elsewhere\nrequest my-id\n")
        );
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let read = Decoder::new(0).decode(&block, |name, value| {
            fields.push(text(name) + ": " + &text(value));
        });
        assert_eq!(read, Ok(()));
        let wanted = [
            ":status: 302",
            "content-type: text/plain; charset=utf-8",
            "content-length: 41",
            "server: headgate",
            "x-request-id: my-id",
            "date: now",
            "location: /x",
        ];
        assert_eq!(fields, wanted);
        audience.form = AnswerForm::NoBody;
        assert_eq!(answer.write_section(&audience, b"now", &mut block), None);
    }

    #[test]
    fn a_client_of_grpc_is_told_by_fields() {
        let answer = Answer::new(StatusCode::SERVICE_UNAVAILABLE, "100% of it is gone");
        let audience = Audience {
            id: RequestId::Given("\u{e4}".as_bytes().into()),
            form: AnswerForm::Grpc,
            version: HttpVersion::Http2,
            keep: true,
        };
        let (mut block, mut fields) = (Vec::new(), Vec::new());
        assert_eq!(answer.write_section(&audience, b"now", &mut block), None);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let read = Decoder::new(0).decode(&block, |name, value| {
            fields.push(text(name) + ": " + &text(value));
        });
        assert_eq!(read, Ok(()));
        let wanted = [
            ":status: 200",
            "content-type: application/grpc",
            "grpc-status: 14",
            "grpc-message: 503 Service Unavailable: 100%25 of it is gone; request %C3%A4",
            "server: headgate",
            "x-request-id: \u{e4}",
            "date: now",
        ];
        assert_eq!(fields, wanted);
    }
}
