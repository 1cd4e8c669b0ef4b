//! Frames (RFC 9113, sections 4 and 6): their heads, what is fixed about each kind, and how they are written.

/// What a client says first (section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub(super) const FRAME_HEAD: usize = 9;
/// Bytes of a frame's payload that everybody takes (section 4.2), and all that we take.
pub(super) const MAX_PAYLOAD: usize = 16_384;
/// Flow control before anybody has said anything (section 6.9.2), in bytes.
pub(super) const DEFAULT_WINDOW: u32 = 65_535;
/// The largest window, in bytes (section 6.9.1).
pub(super) const MAX_WINDOW: u32 = (1 << 31) - 1;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// The kinds that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// Passed over (section 4.1).
    Unknown,
}

impl FrameKind {
    const KNOWN: [Self; 10] = [
        Self::Data,
        Self::Headers,
        Self::Priority,
        Self::RstStream,
        Self::Settings,
        Self::PushPromise,
        Self::Ping,
        Self::GoAway,
        Self::WindowUpdate,
        Self::Continuation,
    ];

    fn of(byte: u8) -> Self {
        let known = Self::KNOWN.get(usize::from(byte));
        known.copied().unwrap_or(Self::Unknown)
    }
}

/// What stands before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Bytes of the payload; 24 bits.
    pub(super) length: usize,
    pub(super) kind: FrameKind,
    pub(super) flags: u8,
    /// 0 means the connection; 31 bits.
    pub(super) stream: u32,
}

impl FrameHead {
    /// Reads one at the start of `bytes`, if it is whole.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk::<FRAME_HEAD>()?;
        Some(Self {
            length: usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2),
            kind: FrameKind::of(kind),
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Writes it; `kind` is none that is unknown.
    pub(super) fn write(self, to: &mut Vec<u8>) {
        let [_, l0, l1, l2] = (self.length as u32).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        to.extend_from_slice(&[l0, l1, l2, self.kind as u8, self.flags, s0, s1, s2, s3]);
    }
}

/// Why a stream or a connection ends (section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorCode(pub(super) u32);

impl ErrorCode {
    pub(crate) const NO_ERROR: Self = Self(0x0);
    pub(crate) const PROTOCOL_ERROR: Self = Self(0x1);
    pub(crate) const INTERNAL_ERROR: Self = Self(0x2);
    pub(crate) const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub(crate) const STREAM_CLOSED: Self = Self(0x5);
    pub(crate) const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub(crate) const REFUSED_STREAM: Self = Self(0x7);
    pub(crate) const CANCEL: Self = Self(0x8);
    pub(crate) const COMPRESSION_ERROR: Self = Self(0x9);
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(0xb);
}

/// Parameters of a connection (section 6.5.2).
pub(super) mod settings {
    pub(in crate::h2) const HEADER_TABLE_SIZE: u16 = 0x1;
    pub(in crate::h2) const ENABLE_PUSH: u16 = 0x2;
    pub(in crate::h2) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub(in crate::h2) const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub(in crate::h2) const MAX_FRAME_SIZE: u16 = 0x5;
    pub(in crate::h2) const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    /// RFC 8441, section 3.
    pub(in crate::h2) const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    /// RFC 9218, section 2.1.
    pub(in crate::h2) const NO_RFC7540_PRIORITIES: u16 = 0x9;
}

/// The number in the four bytes at the start of a payload, without the bit that is reserved.
pub(super) fn number(payload: &[u8]) -> u32 {
    payload
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes) & MAX_WINDOW)
}

/// The same with all of its bits.
pub(super) fn number_of(payload: &[u8]) -> u32 {
    payload
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The pairs of a SETTINGS payload, whose length is a multiple of six.
pub(super) fn pairs(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.chunks_exact(6).map(|pair| {
        let value = u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]);
        (u16::from_be_bytes([pair[0], pair[1]]), value)
    })
}

/// Writes a SETTINGS frame.
pub(super) fn write_settings(pairs: &[(u16, u32)], to: &mut Vec<u8>) {
    let head = FrameHead {
        length: pairs.len() * 6,
        kind: FrameKind::Settings,
        flags: 0,
        stream: 0,
    };
    head.write(to);
    for (name, value) in pairs {
        to.extend_from_slice(&name.to_be_bytes());
        to.extend_from_slice(&value.to_be_bytes());
    }
}

/// Writes a frame whose payload is at hand.
pub(super) fn write(kind: FrameKind, flags: u8, stream: u32, payload: &[u8], to: &mut Vec<u8>) {
    let head = FrameHead {
        length: payload.len(),
        kind,
        flags,
        stream,
    };
    head.write(to);
    to.extend_from_slice(payload);
}

/// Writes a header block, in as many frames as it takes (section 6.10).
pub(super) fn write_block(stream: u32, block: &[u8], ends: bool, max_payload: usize, to: &mut Vec<u8>) {
    let mut kind = FrameKind::Headers;
    let mut rest = block;
    let mut flags = if ends { END_STREAM } else { 0 };
    loop {
        let (piece, after) = rest.split_at(rest.len().min(max_payload));
        if after.is_empty() {
            flags |= END_HEADERS;
        }
        write(kind, flags, stream, piece, to);
        if after.is_empty() {
            return;
        }
        (kind, flags, rest) = (FrameKind::Continuation, 0, after);
    }
}

/// Takes padding and priority off the payload of DATA or HEADERS; the error is the connection's (sections 6.1 and 6.2).
pub(super) fn stripped(head: FrameHead, payload: &[u8]) -> Result<&[u8], ErrorCode> {
    let mut rest = payload;
    let mut padding = 0;
    if head.has(PADDED) {
        let (length, after) = rest.split_first().ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
        (padding, rest) = (usize::from(*length), after);
    }
    if head.kind == FrameKind::Headers && head.has(PRIORITY) {
        // A stream cannot depend on itself (RFC 7540, section 5.3.1), which nobody looks at any more.
        rest = rest.get(5..).ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
    }
    let length = rest.len().checked_sub(padding).ok_or(ErrorCode::PROTOCOL_ERROR)?;
    Ok(&rest[..length])
}
