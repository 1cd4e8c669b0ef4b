//! What all sections have in common (RFC 9113, section 8.2).

use crate::h1::{self, Fields, Headers};

/// A message that is none, for which its stream is reset with PROTOCOL_ERROR (RFC 9113, section 8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedMessage(pub(crate) &'static str);

/// Fields as lines of HTTP/1.1.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// The values of pseudo-header fields, and then lines.
    bytes: Vec<u8>,
    fields: Fields,
    size: usize,
}

/// A value in `bytes` of a section.
pub(super) type KeptValue = std::ops::Range<usize>;

impl Section {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.size = 0;
    }

    /// Counts a field; how large the section is with it (RFC 9113, section 6.5.2).
    pub(super) fn count(&mut self, name: &[u8], value: &[u8]) -> usize {
        self.size = self.size.saturating_add(name.len() + value.len() + 32);
        self.size
    }

    /// Keeps the value of a pseudo-header field.
    pub(super) fn keep(&mut self, value: &[u8]) -> KeptValue {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        start..self.bytes.len()
    }

    /// A value that was kept.
    pub(super) fn kept(&self, at: &KeptValue) -> &[u8] {
        self.bytes.get(at.clone()).unwrap_or_default()
    }

    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        h1::add(&mut self.bytes, &mut self.fields, name, value);
    }

    /// As [`Self::add`], with the value of a pseudo-header field.
    pub(super) fn add_kept(&mut self, name: &[u8], at: &KeptValue) {
        let value = self.kept(at).to_vec();
        self.add(name, &value);
    }

    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(super) fn headers(&self) -> Headers<'_, '_> {
        Headers::added(&self.bytes, &self.fields)
    }

    #[cfg(any(test, feature = "harness"))]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Everything that was added, where nothing was kept.
    pub(super) fn lines(&self) -> &[u8] {
        &self.bytes
    }
}

/// Checks a field that is no pseudo-header field: it must be one of HTTP/1.1, too, and concern no connection.
pub(super) fn check(name: &[u8], value: &[u8]) -> Result<(), MalformedMessage> {
    if name.is_empty() || !name.iter().all(|byte| NAMES[usize::from(*byte)]) {
        return Err(MalformedMessage("the name of a field is none"));
    }
    check_value(value)?;
    // Section 8.2.2.
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Err(MalformedMessage("a field is about a connection"))
        }
        _ => Ok(()),
    }
}

/// Sections 8.2.1 and 10.3.
pub(super) fn check_value(value: &[u8]) -> Result<(), MalformedMessage> {
    if let [b' ' | b'\t', ..] | [.., b' ' | b'\t'] = value {
        return Err(MalformedMessage("there are blanks around a value"));
    }
    let control = |byte: &u8| matches!(byte, 0x00..=0x1f | 0x7f) && *byte != b'\t';
    if h1::has_control(value) && value.iter().any(control) {
        return Err(MalformedMessage("there is a control character in a value"));
    }
    Ok(())
}

/// The bytes of names: a token (RFC 9110, section 5.6.2) without upper case (RFC 9113, section 8.2).
const NAMES: [bool; 256] = {
    let (mut names, mut byte) = ([false; 256], 0);
    while byte < 256 {
        names[byte] = h1::is_token(byte as u8) && !(byte as u8).is_ascii_uppercase();
        byte += 1;
    }
    names
};
