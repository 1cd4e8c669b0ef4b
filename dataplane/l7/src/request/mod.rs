//! What becomes of a request before it goes anywhere, and what is known of it when it has ended.
//!
//! Each step asks the request's [`Route`](headgate_net::routes::Route) what it has to do besides, which for most routes is one
//! look at a pointer that is not there. The route stays with the request until the last byte of the response.

mod admit;
mod answer;
mod choose;
mod record;
mod redirect;

pub(crate) use admit::admit;
pub(crate) use answer::{Answer, AnswerForm, Audience, HttpVersion};
pub(crate) use choose::Candidates;
pub(crate) use record::RequestRecord;
