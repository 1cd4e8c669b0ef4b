//! HTTP/2 on bytes (RFC 9113).
//!
//! ```text
//! block ─ hpack::Decoder ─ head::RequestSection ─ h1's RequestHead ─ as HTTP/1.1's
//! as HTTP/1.1's ─ h1's ResponseHead ─ head::write ─ hpack::field ─▶ block
//! ```

pub(crate) mod head;
pub(crate) mod hpack;
