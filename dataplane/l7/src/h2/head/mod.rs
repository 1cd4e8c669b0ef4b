//! Header sections of messages (RFC 9113, section 8), as the heads and lines that HTTP/1.1 has: what routes requests and passes
//! messages on does not know by which version they came.
//!
//! A section takes the fields of a block as they are decoded, and is asked in the end what they are together. Nothing of it
//! outlives the next one, for which its memory is used again.

#[cfg(any(test, feature = "harness"))]
pub(crate) mod fuzz;
mod request;
mod response;
mod section;
mod trailers;
mod tunnel;
pub(crate) mod write;

#[cfg(any(test, feature = "harness"))]
pub(crate) use request::StreamRequest;
pub(crate) use request::{BadRequest, RequestSection};
pub(crate) use response::ResponseSection;
pub(crate) use section::MalformedMessage;
pub(crate) use trailers::TrailerSection;

#[cfg(test)]
mod tests;
