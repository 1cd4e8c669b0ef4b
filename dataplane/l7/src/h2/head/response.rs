//! Responses of pods (RFC 9113, section 8.3.2).

use http::StatusCode;

use super::section::{MalformedMessage, Section, check};
use crate::h1::response::{BadResponse, ResponseHead};
use crate::h1::{Framing, MAX_HEAD, MAX_HEADERS};

/// The header section of a response.
#[derive(Debug, Default)]
pub(crate) struct ResponseSection {
    section: Section,
    status: Option<u16>,
    /// Whether Content-Length has come.
    sized: bool,
    fault: Option<BadResponse>,
}

impl From<MalformedMessage> for BadResponse {
    fn from(MalformedMessage(reason): MalformedMessage) -> Self {
        Self(reason)
    }
}

impl ResponseSection {
    /// Makes ready for another one.
    pub(crate) fn clear(&mut self) {
        self.section.clear();
        (self.status, self.sized, self.fault) = (None, false, None);
    }

    /// Takes the next field. When it is clear that there is no response, the rest is passed over.
    pub(crate) fn take(&mut self, name: &[u8], value: &[u8]) {
        if self.fault.is_none()
            && let Err(fault) = self.note(name, value)
        {
            self.fault = Some(fault);
        }
    }

    /// Whether it stands before the response (RFC 9110, section 15.2), as far as it is one at all.
    pub(crate) fn is_interim(&self) -> bool {
        self.fault.is_none() && self.status.is_some_and(|status| status < 200)
    }

    /// All fields have come; `to_head` is whether it answers a HEAD, `ended` whether the stream ends with them, `tells` whether that
    /// is told by a length.
    pub(crate) fn finish(
        &mut self,
        to_head: bool,
        ended: bool,
        tells: bool,
    ) -> Result<ResponseHead<'_, '_>, BadResponse> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let status = self.status.ok_or(BadResponse("it has no status"))?;
        if status == 101 || ended && status < 200 {
            return Err(BadResponse("it is none of a stream's"));
        }
        // To a client of HTTP/1.1 the end of the stream says nothing.
        if ended && tells && !self.sized && !to_head && !matches!(status, 204 | 304) {
            self.section.add(b"content-length", b"0");
        }
        let reason = StatusCode::from_u16(status).ok();
        let reason = reason.and_then(|status| status.canonical_reason());
        let line = (status, reason.unwrap_or_default());
        let mut head = ResponseHead::of(line, true, self.section.headers(), to_head)?;
        if ended && matches!(head.framing, Framing::Length(_)) {
            return Err(BadResponse("its Content-Length is more than what follows"));
        }
        // What follows is another stream's.
        head.keep = true;
        Ok(head)
    }

    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadResponse> {
        if self.section.count(name, value) > MAX_HEAD {
            return Err(BadResponse("its head has more than 32 KiB"));
        }
        if name.starts_with(b":") {
            if name != b":status" || self.status.is_some() || self.section.len() > 0 {
                return Err(BadResponse("its pseudo-header fields are not its status alone"));
            }
            let [hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = value else {
                return Err(BadResponse("its status is none"));
            };
            let digit = |byte: &u8| u16::from(byte - b'0');
            self.status = Some(100 * digit(hundreds) + 10 * digit(tens) + digit(ones));
            return Ok(());
        }
        check(name, value)?;
        self.sized |= name == b"content-length";
        if self.section.len() >= MAX_HEADERS {
            return Err(BadResponse("it has more than 100 header fields"));
        }
        self.section.add(name, value);
        Ok(())
    }
}
