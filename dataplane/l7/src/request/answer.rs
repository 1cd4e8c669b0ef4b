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

/// Who an answer is for.
#[derive(Clone, Debug)]
pub(crate) struct Audience {
    pub(crate) id: RequestId,
    /// Whether it answers a HEAD, which has no body.
    pub(crate) to_head: bool,
    pub(crate) version: HttpVersion,
    /// Whether the client takes another response over its connection.
    pub(crate) keep: bool,
}

impl Audience {
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
        if audience.to_head {
            return 0;
        }
        to.extend_from_slice(text.as_bytes());
        text.len()
    }

    /// Writes its head as a block of HTTP/2. Returns the text that goes behind it, unless none does.
    pub(crate) fn write_section(&self, audience: &Audience, date: &[u8], to: &mut Vec<u8>) -> Option<String> {
        let text = self.text(audience);
        section::status(self.status.as_u16(), to);
        self.fields(audience, &text, date, |name, value| hpack::field(name, value, to));
        (!audience.to_head).then_some(text)
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

impl From<RefusedRequest> for Answer {
    /// Nothing behind a request with such a head can be read.
    fn from(RefusedRequest { status, reason }: RefusedRequest) -> Self {
        Self::new(status, reason).last()
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Audience, HttpVersion, StatusCode};
    use crate::h2::hpack::Decoder;
    use crate::headers::RequestId;

    #[test]
    fn an_answer_over_a_stream_says_what_it_says_otherwise() {
        let answer = Answer::new(StatusCode::FOUND, "it is elsewhere").to("/x".to_owned());
        let mut audience = Audience {
            id: RequestId::Given(b"my-id"[..].into()),
            to_head: false,
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
        audience.to_head = true;
        assert_eq!(answer.write_section(&audience, b"now", &mut block), None);
    }
}
