//! The static table (RFC 7541, appendix A).

/// Entries, the first of which has index 1.
pub(super) const ENTRIES: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Names by [`place_of`], each as the index of its first entry.
const NAMES: [u8; 128] = {
    let (mut names, mut place) = ([0; 128], 0);
    while place < ENTRIES.len() {
        let name = ENTRIES[place].0;
        if place == 0 || !same(ENTRIES[place - 1].0, name) {
            let at = place_of(name.len(), name[0], name[name.len() - 1]);
            assert!(names[at] == 0, "two names have one place");
            names[at] = place as u8 + 1;
        }
        place += 1;
    }
    names
};

/// A place of its own for each name, by its length and its first and last byte, whatever their case. The factors were found
/// by trying.
const fn place_of(length: usize, first: u8, last: u8) -> usize {
    (length + 18 * (first | 0x20) as usize + 105 * (last | 0x20) as usize) % 128
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut place = 0;
    while place < one.len() && place < other.len() && one[place] == other[place] {
        place += 1;
    }
    place == one.len() && place == other.len()
}

/// The first index of a name, whatever its case.
pub(super) fn index_of(name: &[u8]) -> Option<usize> {
    let (first, last) = (name.first()?, name.last()?);
    let index = usize::from(NAMES[place_of(name.len(), *first, *last)]);
    let known = ENTRIES.get(index.checked_sub(1)?)?.0;
    // Most are in lower case, which is compared faster.
    (known == name || known.eq_ignore_ascii_case(name)).then_some(index)
}

/// The index of a whole field, of which `first` is the first with its name.
pub(super) fn index_of_whole(first: usize, value: &[u8]) -> Option<usize> {
    let name = ENTRIES[first - 1].0;
    let named = ENTRIES[first - 1..].iter().take_while(|entry| entry.0 == name);
    let place = named
        .take_while(|entry| !entry.1.is_empty())
        .position(|entry| entry.1 == value);
    place.map(|place| first + place)
}
