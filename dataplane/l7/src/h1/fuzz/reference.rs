//! Chunks as RFC 9112, section 7.1, has them, line by line and all at once.

/// How much of a text makes sense.
enum Read<'b> {
    Whole(&'b [u8], &'b [u8]),
    /// Nothing is wrong so far.
    Part(&'b [u8]),
    Wrong,
}

/// A line, which ends with CR and LF, and what follows it.
fn line(bytes: &[u8]) -> Read<'_> {
    match bytes.iter().position(|byte| *byte == b'\r') {
        None => Read::Part(bytes),
        Some(at) if at + 1 == bytes.len() => Read::Part(&bytes[..at]),
        Some(at) if bytes[at + 1] == b'\n' => Read::Whole(&bytes[..at], &bytes[at + 2..]),
        Some(_) => Read::Wrong,
    }
}

fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = u64::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
    let blanks = line[digits..]
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let rest = &line[digits + blanks..];
    let extension = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    let good = rest.is_empty() || rest[0] == b';' && rest.iter().all(extension);
    // Longer ones the reader may refuse.
    (good && size < i64::MAX as u64).then_some(size)
}

/// Compares what the reader has made of chunks: data, bytes that are theirs, and whether they have ended; `None` where it has
/// refused them.
pub(super) fn compare(bytes: &[u8], is: Option<(&[u8], usize, bool)>) {
    // Beyond these the reader has limits of its own.
    if bytes.len() > 4_000 {
        return;
    }
    let (mut rest, mut data) = (bytes, Vec::new());
    let wanted = loop {
        match line(rest) {
            Read::Whole(text, after) => match size(text) {
                None => break None,
                Some(0) => {
                    break trailers(after).map(|left| {
                        (
                            left.map_or(bytes.len(), |left| bytes.len() - left),
                            left.is_some(),
                        )
                    });
                }
                Some(length) => {
                    let here = usize::try_from(length).unwrap_or(usize::MAX).min(after.len());
                    data.extend_from_slice(&after[..here]);
                    match &after[here..] {
                        [] | [b'\r'] => break Some((bytes.len(), false)),
                        [b'\r', b'\n', next @ ..] => rest = next,
                        _ => break None,
                    }
                }
            },
            Read::Part(text) => {
                break (text.is_empty() && !rest.starts_with(b"\r") || size(text).is_some())
                    .then_some((bytes.len(), false));
            }
            Read::Wrong => break None,
        }
    };
    let wanted = wanted.map(|(used, done)| (&data[..], used, done));
    assert_eq!(is, wanted, "{:?}", String::from_utf8_lossy(bytes));
}

/// What is left behind the trailers; `None` within where they have not ended.
fn trailers(mut bytes: &[u8]) -> Option<Option<usize>> {
    let mut lines: Vec<&[u8]> = Vec::new();
    loop {
        match line(bytes) {
            Read::Whole([], after) => {
                let good = lines.len() <= crate::h1::MAX_HEADERS && lines.iter().all(|line| is_field(line));
                return good.then_some(Some(after.len()));
            }
            Read::Whole(text, after) if is_text(text) => {
                lines.push(text);
                bytes = after;
            }
            Read::Part(text) if is_text(text) => return Some(None),
            Read::Whole(..) | Read::Part(_) | Read::Wrong => return None,
        }
    }
}

fn is_text(line: &[u8]) -> bool {
    !line.iter().any(|byte| matches!(byte, 0 | b'\n'))
}

/// A field (RFC 9110, section 5), as the library has it.
fn is_field(line: &[u8]) -> bool {
    let mut field = [httparse::EMPTY_HEADER; 1];
    let text = [line, b"\r\n\r\n"].concat();
    matches!(
        httparse::parse_headers(&text, &mut field),
        Ok(httparse::Status::Complete(_))
    )
}
