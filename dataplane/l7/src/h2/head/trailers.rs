//! Trailers (RFC 9113, section 8.1), either way.

use super::section::{MalformedMessage, Section, check};
use crate::h1::body::{BadFraming, MAX_TRAILERS};
use crate::h1::{MAX_HEADERS, is_no_trailer};

/// The trailer section of a message.
#[derive(Debug, Default)]
pub(crate) struct TrailerSection {
    section: Section,
    /// Fields, those that do not pass on among them.
    count: usize,
    fault: Option<BadFraming>,
}

impl From<MalformedMessage> for BadFraming {
    fn from(MalformedMessage(reason): MalformedMessage) -> Self {
        Self(reason)
    }
}

impl TrailerSection {
    /// Makes ready for another one.
    pub(crate) fn clear(&mut self) {
        self.section.clear();
        (self.count, self.fault) = (0, None);
    }

    /// Takes the next field. When it is clear that these are no trailers, the rest is passed over.
    pub(crate) fn take(&mut self, name: &[u8], value: &[u8]) {
        if self.fault.is_none()
            && let Err(fault) = self.note(name, value)
        {
            self.fault = Some(fault);
        }
    }

    /// All fields have come: the lines of those that may be passed on, as [`BodyReader`](crate::h1::body::BodyReader) gives those
    /// behind chunks. Where there are none, the message is malformed.
    pub(crate) fn finish(&self) -> Result<&[u8], BadFraming> {
        self.fault.map_or(Ok(self.section.lines()), Err)
    }

    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadFraming> {
        self.count += 1;
        if self.section.count(name, value) > MAX_TRAILERS || self.count > MAX_HEADERS {
            return Err(BadFraming("the trailers are too long"));
        }
        // A pseudo-header field has no name of a field, either.
        check(name, value)?;
        if !is_no_trailer(name) {
            self.section.add(name, value);
        }
        Ok(())
    }
}
