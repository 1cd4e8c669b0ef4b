//! What TLS puts on the wire: records, how long they are, and what has come of the next one.

use rustls::ProtocolVersion;

/// The plain text of a record at most (RFC 8446, section 5.1).
pub(super) const RECORD: usize = 1 << 14;
/// What a record that we make has besides, at most: header, type, tag; an explicit nonce with TLS 1.2.
pub(super) const OVERHEAD: usize = 64;
/// A record's type, version and length.
pub(super) const HEADER: usize = 5;
/// Ciphertext that is read ahead: a whole record, as large as it may be (RFC 8446, section 5.2).
pub(super) const AHEAD: usize = HEADER + RECORD + 256;
/// What a record may have besides its plain text in TLS 1.2 (RFC 5246, section 6.2.3).
const MOST: usize = RECORD + 2048;
/// Records that are read with whatever comes behind them: exactly one of them at a time would be many reads.
const SMALL: usize = 4096;
/// Of what may be under way, the part that a record has at most.
const PART: usize = 8;

/// What is missing of the record that `bytes` begin with; `None` where it is whole, or no record at all, which the library is to say.
pub(super) fn missing(bytes: &[u8]) -> Option<usize> {
    let [kind, major, _, high, low, ..] = bytes else {
        return Some(AHEAD - bytes.len());
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let sound = (20..=24).contains(kind) && *major == 3 && length <= MOST;
    let missing = (HEADER + length).checked_sub(bytes.len())?;
    (sound && missing > 0).then_some(if length < SMALL {
        AHEAD - bytes.len()
    } else {
        missing
    })
}

/// Whether a record is an alert: by its type in clear and in TLS 1.2, by its length where only the keys tell the type (two bytes, the
/// type and a tag: RFC 8446, section 5.2).
pub(super) fn is_alert(record: &[u8]) -> bool {
    match record {
        [21, ..] => true,
        [23, ..] => record.len() == HEADER + 2 + 1 + 16,
        _ => false,
    }
}

/// Plain text of a record, at most, where segments have so many bytes and so many may be under way. A record is of use once all of it
/// has arrived. So the first ones of a connection, or after a pause, fill a segment each, and what the first of them holds does
/// not wait for the last; where more may be under way, so may more be in a record, which costs less.
pub(super) fn most((segment, window): (usize, usize), version: Option<ProtocolVersion>) -> usize {
    // The header, a type or a nonce, and the tag: with AES-GCM, which nearly all use.
    let besides = match version {
        Some(ProtocolVersion::TLSv1_3) => HEADER + 1 + 16,
        _ => HEADER + 8 + 16,
    };
    if segment <= 2 * besides || window >= PART * (RECORD + segment) {
        return RECORD;
    }
    let segments = (window / PART / segment).max(1);
    (segments * segment - besides).min(RECORD)
}

#[cfg(test)]
mod tests;
