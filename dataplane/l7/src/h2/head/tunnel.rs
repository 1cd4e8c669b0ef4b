//! WebSocket over a stream (RFC 8441) for pods that know it over HTTP/1.1 (RFC 6455).

/// The only protocol.
pub(super) const PROTOCOL: &[u8] = b"websocket";

/// A key for `sec-websocket-key`, which a stream needs none of and a pod asks for (RFC 6455, section 4.1): 16 bytes in base64.
pub(super) fn key(random: [u64; 2]) -> [u8; 24] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (number, mut key) = (u128::from(random[0]) << 64 | u128::from(random[1]), [b'='; 24]);
    for (place, digit) in key[..22].iter_mut().enumerate() {
        // Of the last digit the four lowest bits are none of the number's.
        let bits = match 122 - 6 * place as i32 {
            shift @ 0.. => number >> shift,
            shift => number << -shift,
        };
        *digit = DIGITS[(bits & 63) as usize];
    }
    key
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        // RFC 6455, section 4.2.2: "the sample nonce".
        let bytes = u128::from_be_bytes(*b"the sample nonce");
        assert_eq!(
            &key([(bytes >> 64) as u64, bytes as u64]),
            b"dGhlIHNhbXBsZSBub25jZQ=="
        );
    }
}
