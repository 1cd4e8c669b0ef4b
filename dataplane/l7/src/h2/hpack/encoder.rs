//! Blocks of fields that need no table but the static one (RFC 7541, section 6), as nginx and haproxy write them: nothing that
//! was written before changes what is written now, so the blocks of a connection may be made in any order.
//!
//! Strings are plain. Coding the values of a page's head of twelve fields makes 254 bytes of its 322 and takes another 4,500
//! instructions beside 3,200, some 66 for each byte that is saved, where TLS and TCP take one or two; reading them takes
//! 3,500 of the peer, beside 1,400.

use super::static_table;

/// Indices of names whose values no table should hold, whoever passes them on (section 7.1.3): authorization, cookie,
/// proxy-authorization, set-cookie.
const SECRET: [usize; 4] = [23, 32, 49, 55];

/// Adds a field, the name in lower case whatever it is here.
pub(crate) fn field(name: &[u8], value: &[u8], to: &mut Vec<u8>) {
    let Some(index) = static_table::index_of(name) else {
        to.push(0x00);
        integer(0x00, 7, name.len(), to);
        let start = to.len();
        to.extend_from_slice(name);
        to[start..].make_ascii_lowercase();
        string(value, to);
        return;
    };
    if let Some(whole) = static_table::index_of_whole(index, value) {
        integer(0x80, 7, whole, to);
        return;
    }
    let kind = if SECRET.contains(&index) { 0x10 } else { 0x00 };
    integer(kind, 4, index, to);
    string(value, to);
}

/// What says, at the begin of a block, that the table has no size (section 4.2). Needed once where the peer's
/// SETTINGS_HEADER_TABLE_SIZE is below the 4,096 that it is without a word: the table has nothing in it, but that is not
/// known to the peer.
pub(crate) const NO_TABLE: u8 = 0x20;

/// A plain string (section 5.2).
fn string(text: &[u8], to: &mut Vec<u8>) {
    integer(0x00, 7, text.len(), to);
    to.extend_from_slice(text);
}

/// An integer of which the first byte has `prefix` bits beside those of `kind` (section 5.1).
pub(super) fn integer(kind: u8, prefix: u32, number: usize, to: &mut Vec<u8>) {
    let most = (1_usize << prefix) - 1;
    if number < most {
        to.push(kind | number as u8);
        return;
    }
    to.push(kind | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}
