//! Answers that Headgate gives itself.

use std::io::Write as _;

use http::StatusCode;

use crate::gateway::Gateway;
use crate::h1::RefusedRequest;
use crate::h1::write::{Persistence, persist, status_line};
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

/// Who an answer is for.
#[derive(Clone, Debug)]
pub(crate) struct Audience {
    pub(crate) id: RequestId,
    /// Whether it answers a HEAD, which has no body.
    pub(crate) to_head: bool,
    pub(crate) http11: bool,
    /// Whether the client takes another response over its connection.
    pub(crate) keep: bool,
}

impl Audience {
    /// How a client is told what becomes of its connection.
    pub(crate) fn persistence(&self, keep: bool) -> Persistence {
        match (keep, self.http11) {
            (false, _) => Persistence::Close,
            (true, true) => Persistence::Silent,
            (true, false) => Persistence::KeepAlive,
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
        let title = self.status.canonical_reason().unwrap_or("Error");
        let status = self.status.as_u16();
        let id = String::from_utf8_lossy(audience.id.as_bytes());
        let text = format!("{status} {title}: {}\nrequest {id}\n", self.body);
        status_line(status, title, to);
        // Into memory, which takes everything.
        let _ = write!(
            to,
            "content-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nserver: headgate\r\n\
             x-request-id: {id}\r\n",
            text.len()
        );
        gateway.date(|date| {
            for part in [b"date: ", date, b"\r\n"] {
                to.extend_from_slice(part);
            }
        });
        if let Some(location) = &self.location {
            let _ = write!(to, "location: {location}\r\n");
        }
        persist(audience.persistence(keep), to);
        to.extend_from_slice(b"\r\n");
        if audience.to_head {
            return 0;
        }
        to.extend_from_slice(text.as_bytes());
        text.len()
    }
}

impl From<RefusedRequest> for Answer {
    /// Nothing behind a request with such a head can be read.
    fn from(RefusedRequest { status, reason }: RefusedRequest) -> Self {
        Self::new(status, reason).last()
    }
}
