//! HTTP/2 on bytes (RFC 9113).
//!
//! ```text
//! frames ─ Connection ─ block ─ hpack::Decoder ─ head::RequestSection ─ h1's RequestHead ─ as HTTP/1.1's
//!           └ StreamEnd: bodies, both ways
//! as HTTP/1.1's ─ h1's ResponseHead ─ head::write ─ hpack::field ─▶ block ─ StreamEnd ─ Connection ─▶ frames
//! ```

pub(crate) mod connection;
mod frame;
pub(crate) mod head;
pub(crate) mod hpack;

pub(crate) use connection::{
    AnswerHead, H2Connection, Lost, Received, Sections, SharedConnection, StreamEnd,
};
pub(crate) use frame::PREFACE;
