//! HTTP/2 on bytes (RFC 9113).
//!
//! ```text
//! frames ─ Connection ─ block ─ hpack::Decoder ─ head::RequestSection ─ h1's RequestHead ─ as HTTP/1.1's
//!           └ StreamEnd: bodies, both ways
//! as HTTP/1.1's ─ h1's ResponseHead ─ head::write ─ hpack::field ─▶ block ─ StreamEnd ─ Connection ─▶ frames
//! ```

mod connection;
mod frame;
#[allow(dead_code, unused_imports, reason = "pods are not spoken to in HTTP/2 yet")]
pub(crate) mod head;
#[allow(dead_code, unused_imports, reason = "pods are not spoken to in HTTP/2 yet")]
pub(crate) mod hpack;

pub(crate) use connection::{H2Connection, Lost, Received, Sections, SharedConnection, StreamEnd};
pub(crate) use frame::PREFACE;
