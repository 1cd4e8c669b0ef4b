//! From a file's bytes to its text.

use zeroize::Zeroizing;

use super::Unreadable;

/// What may stand in front of a text to tell its encoding (Unicode 23.8, byte order mark).
pub(super) const MARK: char = '\u{feff}';

/// A file's text, wiped when it is dropped where it had to be copied: it may hold a private key.
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Copied(Zeroizing<String>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Copied(text) => text,
        }
    }
}

/// UTF-8, with or without a byte order mark, or UTF-16 with one, as kubectl's reader of YAML takes them. JSON is read
/// with the same leniency (RFC 8259 section 8.1).
pub(super) fn text(bytes: &[u8]) -> Result<Text<'_>, Unreadable> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => {
            let text = str::from_utf8(bytes).map_err(|e| Unreadable {
                line: Some(lines(&String::from_utf8_lossy(&bytes[..e.valid_up_to()]))),
                reason: reason(bytes).to_owned(),
            })?;
            Ok(without_marks(text.strip_prefix(MARK).unwrap_or(text)))
        }
    }
}

fn utf16<'a>(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Text<'a>, Unreadable> {
    // Growing would leave copies behind: no unit of UTF-16 is more than three bytes of UTF-8.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() / 2 * 3));
    let (pairs, odd) = bytes.as_chunks::<2>();
    for c in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let c = c.map_err(|_| broken(&text))?;
        text.push(c);
    }
    if !odd.is_empty() {
        return Err(broken(&text));
    }
    Ok(match without_marks(&text) {
        Text::Borrowed(_) => Text::Copied(text),
        Text::Copied(text) => Text::Copied(text),
    })
}

fn broken(before: &str) -> Unreadable {
    Unreadable {
        line: Some(lines(before)),
        reason: "is not UTF-16 text, as its byte order mark says".to_owned(),
    }
}

/// Documents of YAML may begin with a mark (YAML 1.2.2 section 5.2), which files that were put together have at the
/// beginning of lines.
fn without_marks(text: &str) -> Text<'_> {
    let marked = ["\n\u{feff}", "\r\u{feff}"];
    if !marked.iter().any(|mark| text.contains(mark)) {
        return Text::Borrowed(text);
    }
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    for line in text.split_inclusive(['\n', '\r']) {
        plain.push_str(line.strip_prefix(MARK).unwrap_or(line));
    }
    Text::Copied(plain)
}

/// What it probably is, if it is not UTF-8.
fn reason(bytes: &[u8]) -> &'static str {
    match bytes {
        [0, 0, 0xfe, 0xff, ..] => "is UTF-32 text, which is not read",
        _ => "is not UTF-8 text",
    }
}

fn lines(before: &str) -> u64 {
    before.bytes().filter(|b| *b == b'\n').count() as u64 + 1
}
