//! Heads in the plain form that nearly all have: one space where one is needed, CR and LF at the end of each line, nothing around
//! values, no bytes that are rare. What has another form, is wrong or has not ended is left to httparse, which says what it
//! is; so this only has to be right about what it takes.

use super::MAX_HEADERS;
use super::fields::{Field, Fields};
use super::target::Target;

/// A request's first line.
pub(super) struct RequestLine<'b> {
    pub(super) method: &'b str,
    pub(super) target: Target<'b>,
}

/// A response's.
pub(super) struct StatusLine<'b> {
    pub(super) status: u16,
    pub(super) reason: &'b str,
}

/// Bits of what a byte may be part of.
mod class {
    /// Of a field's name (RFC 9110, section 5.6.2).
    pub(super) const TOKEN: u8 = 1;
    /// Is no underscore.
    pub(super) const NO_UNDERSCORE: u8 = 2;
    /// Of a target with a path (RFC 3986, section 3.3 and 3.4).
    pub(super) const TARGET: u8 = 4;
}

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = class_of(byte as u8);
        byte += 1;
    }
    classes
};

/// Whether a byte may be part of a token (RFC 9110, section 5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || is_in(byte, b"!#$%&'*+-.^_`|~")
}

/// Whether there is a control character, DEL and the tab among them.
pub(crate) fn has_control(bytes: &[u8]) -> bool {
    first(bytes, controls_of).is_some()
}

const fn class_of(byte: u8) -> u8 {
    let token = is_token(byte);
    let target = byte.is_ascii_alphanumeric() || is_in(byte, b"-._~!$&'()*+,;=:@/?%");
    let no_underscore = byte != b'_';
    (token as u8 * class::TOKEN)
        | (no_underscore as u8 * class::NO_UNDERSCORE)
        | (target as u8 * class::TARGET)
}

const fn is_in(byte: u8, bytes: &[u8]) -> bool {
    let mut place = 0;
    while place < bytes.len() {
        if bytes[place] == byte {
            return true;
        }
        place += 1;
    }
    false
}

/// Reads the head of a request at the start of `bytes`, and how long it is.
pub(super) fn request<'b>(bytes: &'b [u8], fields: &mut Fields) -> Option<(RequestLine<'b>, usize)> {
    let space = bytes.iter().position(|byte| !byte.is_ascii_uppercase())?;
    let rest = bytes.get(space..)?.strip_prefix(b" ")?;
    let length = rest
        .iter()
        .position(|byte| CLASSES[usize::from(*byte)] & class::TARGET == 0)?;
    if space == 0 || rest[0] != b'/' || !rest[length..].starts_with(b" HTTP/1.1\r\n") {
        return None;
    }
    let text = std::str::from_utf8(&bytes[..space + 1 + length]).ok()?;
    let (method, target) = (&text[..space], &text[space + 1..]);
    let (path, query) = match target.as_bytes().iter().position(|byte| *byte == b'?') {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    };
    let target = Target {
        path,
        query,
        authority: None,
    };
    let head = read_fields(bytes, text.len() + b" HTTP/1.1\r\n".len(), fields)?;
    Some((RequestLine { method, target }, head))
}

/// Reads the head of a response at the start of `bytes`, and how long it is.
pub(super) fn response<'b>(bytes: &'b [u8], fields: &mut Fields) -> Option<(StatusLine<'b>, usize)> {
    let rest = bytes.strip_prefix(b"HTTP/1.1 ")?;
    let [
        hundreds @ b'1'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
        b' ',
        reason @ ..,
    ] = rest
    else {
        return None;
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    let status = 100 * digit(hundreds) + 10 * digit(tens) + digit(ones);
    let (reason, behind) = reason.split_at_checked(first(reason, controls_of)?)?;
    if !behind.starts_with(b"\r\n") || !reason.is_ascii() {
        return None;
    }
    let reason = std::str::from_utf8(reason).ok()?;
    let head = read_fields(bytes, bytes.len() - behind.len() + 2, fields)?;
    Some((StatusLine { status, reason }, head))
}

/// Reads fields from `at` on to the empty line; where that ends.
fn read_fields(bytes: &[u8], mut at: usize, fields: &mut Fields) -> Option<usize> {
    fields.clear();
    while bytes.get(at)? != &b'\r' {
        if fields.len() == MAX_HEADERS {
            return None;
        }
        let (field, next) = read_field(bytes, at)?;
        fields.push(field);
        at = next;
    }
    (bytes.get(at + 1)? == &b'\n').then_some(at + 2)
}

/// Reads the line at `start`; where the next one is.
fn read_field(bytes: &[u8], start: usize) -> Option<(Field, usize)> {
    let line = bytes.get(start..)?;
    let (name, rest) = line.split_at_checked(first(line, colons_of)?)?;
    let class = name
        .iter()
        .fold(u8::MAX, |class, byte| class & CLASSES[usize::from(*byte)]);
    let rest = rest.strip_prefix(b": ")?;
    let (text, rest) = rest.split_at_checked(first(rest, controls_of)?)?;
    let bare = !matches!(text, [] | [b' ', ..] | [.., b' ']);
    if name.is_empty() || class & class::TOKEN == 0 || !bare || !rest.starts_with(b"\r\n") {
        return None;
    }
    let colon = start + name.len();
    let value = colon + b": ".len();
    let end = value + text.len();
    let field = Field {
        start: u32::try_from(start).ok()?,
        colon: u32::try_from(colon).ok()?,
        value: u32::try_from(value).ok()?,
        end: u32::try_from(end).ok()?,
        underscore: class & class::NO_UNDERSCORE == 0,
        plain: true,
    };
    Some((field, end + b"\r\n".len()))
}

/// Where the first byte stands for which `bits` of eight bytes, the first one lowest, has a bit at the top of its own; it
/// may have others above that one.
fn first(bytes: &[u8], bits: impl Fn(u64) -> u64) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let found = bits(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(8 * place + found.trailing_zeros() as usize / 8);
        }
    }
    let mut last = [b'a'; 8];
    last[..rest.len()].copy_from_slice(rest);
    let found = bits(u64::from_le_bytes(last));
    (found != 0).then(|| bytes.len() - rest.len() + found.trailing_zeros() as usize / 8)
}

const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Colons, and what may look like one behind one.
const fn colons_of(word: u64) -> u64 {
    let others = word ^ each(b':');
    others.wrapping_sub(each(1)) & !others & each(0x80)
}

/// What is below a space, and DEL, and what may look like them behind one.
const fn controls_of(word: u64) -> u64 {
    let below = word.wrapping_sub(each(b' ')) & !word;
    let others = word ^ each(0x7f);
    let deletes = others.wrapping_sub(each(1)) & !others;
    (below | deletes) & each(0x80)
}

#[cfg(test)]
mod tests {
    use super::{class_of, colons_of, controls_of, first};

    #[test]
    fn the_first_byte_of_a_kind_is_found_wherever_it_stands() {
        let control = |byte: u8| byte < b' ' || byte == 0x7f;
        for length in 0..30 {
            for place in 0..length {
                for (byte, behind) in (0..=255).flat_map(|byte| {
                    [
                        (byte, b'a'),
                        (byte, b'\r'),
                        (byte, b'!'),
                        (byte, b':'),
                        (byte, 0x80),
                    ]
                }) {
                    let mut text = vec![b'z'; place];
                    text.push(byte);
                    text.resize(length, behind);
                    assert_eq!(
                        first(&text, controls_of),
                        text.iter().position(|byte| control(*byte))
                    );
                    assert_eq!(
                        first(&text, colons_of),
                        text.iter().position(|byte| *byte == b':')
                    );
                }
            }
        }
        assert_eq!(first(&[], colons_of), None);
    }

    #[test]
    fn nothing_is_a_token_or_a_target_that_httparse_would_not_take() {
        for byte in 0..=255_u8 {
            let mut fields = [httparse::EMPTY_HEADER; 1];
            let line = [b"a", &[byte][..], b": b\r\n\r\n"].concat();
            let token = httparse::parse_headers(&line, &mut fields)
                .is_ok_and(|parsed| parsed.is_complete() && byte != b':');
            assert_eq!(class_of(byte) & 1 != 0, token, "{byte:#x}");
            if class_of(byte) & 4 != 0 {
                let line = [b"GET /", &[byte][..], b" HTTP/1.1\r\n\r\n"].concat();
                let mut request = httparse::Request::new(&mut fields);
                assert!(request.parse(&line).is_ok_and(|parsed| parsed.is_complete()));
            }
        }
    }
}
