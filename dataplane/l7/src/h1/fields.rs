//! What header fields mean to a gateway, and which of them stay behind.

use httparse::Header;

/// Where a field stands among the bytes of its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(super) start: u32,
    pub(super) colon: u32,
    pub(super) value: u32,
    /// After the value.
    pub(super) end: u32,
    /// Whether its name has one.
    pub(super) underscore: bool,
    /// Whether one space stands behind the colon, and CR and LF behind the value.
    pub(super) plain: bool,
}

/// Room for the fields of a head.
pub(crate) type Fields = Vec<Field>;

impl Field {
    /// Of a header that httparse has found.
    fn of(bytes: &[u8], header: &Header<'_>) -> Self {
        let place = |part: &[u8]| part.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
        let (start, name) = (place(header.name.as_bytes()), header.name.len());
        // An empty value may stand anywhere.
        let value = if header.value.is_empty() {
            start + name
        } else {
            place(header.value)
        };
        // More bytes than a head may have are not parsed.
        let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Self {
            start: place(start),
            colon: place(start + name),
            value: place(value),
            end: place(value + header.value.len()),
            underscore: header.name.as_bytes().contains(&b'_'),
            plain: false,
        }
    }

    pub(super) fn name<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.start as usize..self.colon as usize]
    }

    pub(super) fn value<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.value as usize..self.end as usize]
    }

    /// With what separates it from its neighbours, if it is plain.
    pub(super) fn line(&self) -> Option<std::ops::Range<usize>> {
        self.plain.then_some(self.start as usize..self.end as usize + 2)
    }
}

/// Adds a field to a head that came in another form: `bytes` gain its line, and `fields` what it is. A head has no more bytes than
/// [`MAX_HEAD`](super::MAX_HEAD) and a few.
pub(crate) fn add(bytes: &mut Vec<u8>, fields: &mut Fields, name: &[u8], value: &[u8]) {
    let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    let start = bytes.len();
    for part in [name, b": ", value, b"\r\n"] {
        bytes.extend_from_slice(part);
    }
    let colon = start + name.len();
    let value_at = colon + b": ".len();
    fields.push(Field {
        start: place(start),
        colon: place(colon),
        value: place(value_at),
        end: place(value_at + value.len()),
        underscore: name.contains(&b'_'),
        plain: true,
    });
}

/// The fields of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers<'h, 'b> {
    /// The whole head.
    pub(super) bytes: &'b [u8],
    pub(super) fields: &'h [Field],
}

impl<'h, 'b> Headers<'h, 'b> {
    /// Takes over what httparse has found in `bytes`.
    pub(super) fn of(bytes: &'b [u8], headers: &[Header<'_>], fields: &'h mut Fields) -> Self {
        fields.clear();
        fields.extend(headers.iter().map(|header| Field::of(bytes, header)));
        Self { bytes, fields }
    }

    /// What [`add`] has written.
    pub(crate) fn added(bytes: &'b [u8], fields: &'h Fields) -> Self {
        Self { bytes, fields }
    }

    /// Names and values.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        let named = |field: &Field| (field.name(self.bytes), field.value(self.bytes));
        self.fields.iter().map(named)
    }
}

/// A bit for each field of a head, by its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u128);

impl Marks {
    pub(crate) fn set(&mut self, place: usize) {
        self.0 |= 1 << place;
    }

    pub(crate) fn has(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }
}

/// What a field of a request or response is to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It passes on.
    Other,
    /// It concerns one connection only (RFC 9110, section 7.6.1), or must not be believed.
    Gone,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Te,
    Expect,
    Upgrade,
    RequestId,
    Date,
}

/// Of a request: as ingress-nginx has it by default (`use-forwarded-headers: false`), what a client says about itself is
/// dropped, and so are names with an underscore (`enable-underscores-in-headers: false`), since many servers take `X_Real_IP`
/// for `X-Real-IP`. `underscore` is whether it has one.
pub(super) fn of_request(name: &[u8], underscore: bool) -> Meaning {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is(b"te") => Meaning::Te,
        4 if is(b"host") => Meaning::Host,
        // Becomes HTTP_PROXY in CGI programs.
        5 if is(b"proxy") => Meaning::Gone,
        6 if is(b"expect") => Meaning::Expect,
        7 if is(b"upgrade") => Meaning::Upgrade,
        8 if is(b"x-scheme") => Meaning::Gone,
        9 if is(b"forwarded") || is(b"x-real-ip") => Meaning::Gone,
        10 if is(b"connection") => Meaning::Connection,
        10 if is(b"keep-alive") => Meaning::Gone,
        12 if is(b"x-request-id") => Meaning::RequestId,
        14 if is(b"content-length") => Meaning::ContentLength,
        14 if is(b"http2-settings") => Meaning::Gone,
        15 if is(b"x-forwarded-for") => Meaning::Gone,
        16 if is(b"proxy-connection") || is(b"x-forwarded-host") || is(b"x-forwarded-port") => Meaning::Gone,
        17 if is(b"transfer-encoding") => Meaning::TransferEncoding,
        17 if is(b"x-forwarded-proto") => Meaning::Gone,
        18 if is(b"x-forwarded-scheme") => Meaning::Gone,
        _ if underscore => Meaning::Gone,
        _ => Meaning::Other,
    }
}

/// Of a response.
pub(super) fn of_response(name: &[u8]) -> Meaning {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is(b"te") => Meaning::Gone,
        4 if is(b"date") => Meaning::Date,
        7 if is(b"upgrade") => Meaning::Upgrade,
        10 if is(b"connection") => Meaning::Connection,
        10 if is(b"keep-alive") => Meaning::Gone,
        14 if is(b"content-length") => Meaning::ContentLength,
        14 if is(b"http2-settings") => Meaning::Gone,
        16 if is(b"proxy-connection") => Meaning::Gone,
        17 if is(b"transfer-encoding") => Meaning::TransferEncoding,
        _ => Meaning::Other,
    }
}

/// Whether a field may not stand among trailers: there it would say something about a message that is under way already
/// (RFC 9110, section 6.5.1).
pub(crate) fn is_no_trailer(name: &[u8]) -> bool {
    const NONE: [&[u8]; 12] = [
        b"trailer",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"set-cookie",
        b"cache-control",
        b"max-forwards",
        b"x-forwarded-for",
        b"x-real-ip",
    ];
    of_request(name, name.contains(&b'_')) != Meaning::Other
        || of_response(name) != Meaning::Other
        || NONE.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What Connection says (RFC 9110, section 7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConnectionOptions {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// It names fields, which stay behind.
    pub(super) names: bool,
}

impl ConnectionOptions {
    pub(super) fn read(&mut self, value: &[u8]) {
        for option in items(value) {
            let is = |known: &[u8]| option.eq_ignore_ascii_case(known);
            match option.len() {
                0 => {}
                5 if is(b"close") => self.close = true,
                10 if is(b"keep-alive") => self.keep_alive = true,
                7 if is(b"upgrade") => self.upgrade = true,
                _ => self.names = true,
            }
        }
    }

    /// Whether the connection outlives the message (RFC 9112, section 9.3).
    pub(super) fn keeps(self, http11: bool) -> bool {
        !self.close && (http11 || self.keep_alive)
    }
}

/// The items of a list (RFC 9110, section 5.6.1).
pub(super) fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Marks the fields that Connection names. Framing and routing are ours: nobody talks us out of Host and Content-Length.
pub(super) fn mark_named(headers: Headers<'_, '_>, marks: &mut Marks) {
    let is = |name: &[u8], known: &[u8]| name.eq_ignore_ascii_case(known);
    let connections = || headers.iter().filter(|(name, _)| is(name, b"connection"));
    for (place, (name, _)) in headers.iter().enumerate() {
        let named = connections().any(|(_, options)| items(options).any(|item| is(item, name)));
        if named && !is(name, b"host") && !is(name, b"content-length") {
            marks.set(place);
        }
    }
}

/// A Content-Length: digits and nothing else (RFC 9110, section 8.6), and no more than fits into an `i64`, which is what
/// many servers read it into.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = value.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    number.filter(|number| i64::try_from(*number).is_ok())
}
