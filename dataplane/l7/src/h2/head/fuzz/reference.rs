//! What is malformed, rule by rule (RFC 9113, section 8), over all fields at once.

use super::Pair;

/// Whether a request is well-formed, `ended` being whether its stream ends with it.
pub(super) fn is_request(pairs: &[Pair], ended: bool) -> bool {
    let is_pseudo = |(name, _): &Pair| name.starts_with(b":");
    let (pseudo, others) = pairs.split_at(pairs.iter().take_while(|pair| is_pseudo(pair)).count());
    // 8.3: known, once, and in front.
    let known: [&[u8]; 5] = [b":method", b":scheme", b":authority", b":path", b":protocol"];
    let count = |name: &[u8]| pseudo.iter().filter(|(is, _)| is == name).count();
    let value = |name: &[u8]| {
        pseudo
            .iter()
            .find(|(is, _)| is == name)
            .map(|(_, value)| &value[..])
    };
    let once = known.iter().all(|name| count(name) <= 1);
    let all_known = pseudo
        .iter()
        .all(|(name, value)| known.contains(&&name[..]) && is_value(value));
    let te = others
        .iter()
        .all(|(name, value)| name != b"te" || value.eq_ignore_ascii_case(b"trailers"));
    if !once || !all_known || !te || !are_trailers(others) {
        return false;
    }
    let method = value(b":method").unwrap_or_default();
    let (scheme, path) = (value(b":scheme"), value(b":path"));
    let (connect, tunnel) = (method == b"CONNECT", value(b":protocol").is_some());
    if !is_token(method) || tunnel && !connect {
        return false;
    }
    // 8.5.
    if connect && !tunnel {
        return scheme.is_none() && path.is_none() && value(b":authority").is_some();
    }
    // 8.1.1, where there is one Content-Length and it is a number.
    let mut lengths = others.iter().filter(|(name, _)| name == b"content-length");
    let length = lengths.next().map(|(_, value)| &value[..]).unwrap_or_default();
    let nothing = length.iter().all(|digit| *digit == b'0') || lengths.next().is_some();
    let length_fits = nothing || !(ended || tunnel);
    length_fits && scheme.is_some_and(is_scheme) && path.is_some_and(|path| is_path(path, method))
}

/// Whether fields are such as trailers may be: without pseudo-header fields and what concerns a connection.
pub(super) fn are_trailers(pairs: &[Pair]) -> bool {
    const CONNECTION: [&str; 5] = [
        "connection",
        "proxy-connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
    ];
    let good = |name: &[u8]| is_token(name) && !name.iter().any(u8::is_ascii_uppercase);
    let of_connection = |name: &[u8]| CONNECTION.iter().any(|known| known.as_bytes() == name);
    pairs
        .iter()
        .all(|(name, value)| good(name) && !of_connection(name) && is_value(value))
}

fn is_token(bytes: &[u8]) -> bool {
    let others = "!#$%&'*+-.^_`|~";
    let byte = |byte: &u8| byte.is_ascii_alphanumeric() || others.contains(char::from(*byte));
    !bytes.is_empty() && bytes.iter().all(byte)
}

fn is_value(value: &[u8]) -> bool {
    let byte = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    value.iter().all(byte) && value.trim_ascii() == value
}

fn is_scheme(scheme: &[u8]) -> bool {
    let text = String::from_utf8_lossy(scheme);
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|byte| byte.is_ascii_alphanumeric() || "+-.".contains(byte))
}

fn is_path(path: &[u8], method: &[u8]) -> bool {
    let text = std::str::from_utf8(path).unwrap_or_default();
    let graphic = !text.chars().any(|byte| byte == ' ' || byte == '\t');
    graphic && text.starts_with('/') || text == "*" && method == b"OPTIONS"
}
