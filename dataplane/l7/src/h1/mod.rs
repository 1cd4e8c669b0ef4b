//! HTTP/1.1 on bytes: heads, where bodies end, and how both are written anew for the next hop (RFC 9112).
//!
//! Nothing here waits, keeps a connection or knows a route. A head is parsed where it lies, a plain one here and any other by
//! httparse; what follows it is decided here alone, and strictly: a request that some server may read differently from another is refused.
//!
//! ```text
//! bytes ─ request::parse ─ RequestHead ─ write::request ─▶ bytes for the pod
//!         └ Framing ─ body::BodyReader ─ pieces ─ body::BodyWriter ─▶
//! bytes ─ response::parse ─ ResponseHead ─ write::response ─▶ bytes for the client
//! ```

pub(crate) mod body;
mod chunked;
mod fields;
#[cfg(any(test, feature = "harness"))]
pub(crate) mod fuzz;
mod partial;
mod plain;
pub(crate) mod request;
pub(crate) mod response;
mod target;
pub(crate) mod write;

#[cfg(any(test, feature = "harness"))]
pub(crate) use fields::Marks;
pub(crate) use fields::{Fields, Headers, add, is_no_trailer};
use http::StatusCode;
pub(crate) use partial::PartialHead;
pub(crate) use plain::{has_control, is_token};

/// Larger heads are refused: with 431 or 414 those of clients, with 502 those of pods.
pub(crate) const MAX_HEAD: usize = 32 << 10;
/// Header fields of a head at most.
pub(crate) const MAX_HEADERS: usize = 100;

/// Why a request is answered before anything else is looked at; the connection closes after the answer, since nothing behind
/// such a head can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedRequest {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
}

impl RefusedRequest {
    /// CONNECT (RFC 9110, section 9.3.6).
    pub(crate) const NO_PROXY: Self = Self {
        status: StatusCode::METHOD_NOT_ALLOWED,
        reason: "this is no forward proxy",
    };
    pub(crate) const TOO_MANY_FIELDS: Self = Self {
        status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        reason: "there are more than 100 header fields",
    };
    pub(crate) const HEAD_TOO_LARGE: Self = Self {
        status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        reason: "the head of the request has more than 32 KiB",
    };
    pub(crate) const TARGET_TOO_LARGE: Self = Self {
        status: StatusCode::URI_TOO_LONG,
        reason: "the request target has more than 32 KiB",
    };

    /// With 400.
    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            reason,
        }
    }
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Nothing.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything until the connection ends, of responses; of messages on a stream, everything until that ends.
    UntilClose,
}

impl Framing {
    /// Bytes that follow, where that is known.
    pub(crate) fn length(self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Length(length) => Some(length),
            Self::Chunked | Self::UntilClose => None,
        }
    }
}

#[cfg(test)]
mod tests;
