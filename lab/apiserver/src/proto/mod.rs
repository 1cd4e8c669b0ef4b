//! As much of protocol buffers as old and typed clients insist on: documents that they want in it, and small messages that
//! they send in it.

mod messages;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use messages::decode;
pub(crate) use wire::Message;

/// The media type of Kubernetes' own messages.
pub(crate) const MEDIA: &str = "application/vnd.kubernetes.protobuf";
