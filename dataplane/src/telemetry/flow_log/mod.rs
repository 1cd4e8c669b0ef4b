//! The log of decisions: which flows policies let through and which not, with who, why, and by which rule.
//!
//! ```text
//! worker ─ Recorder ─ sample ─ rate ─► Channel ─┐             ┌─► history, for those who ask later
//! worker ─ Recorder ─ sample ─ rate ─► Channel ─┤─► Explainer ├─► File, a thread of its own
//!                                               │    Repeats  └─► Followers on flows.sock
//!                                               └── counts of what was left out ──► lines that say so
//! ```
//!
//! A worker writes down addresses and ports and nothing else; names, labels and rules are looked up on the log's thread.
//! Every step has a bound and drops what does not fit; what was dropped is counted and told.

mod explain;
mod file;
mod filter;
mod followers;
mod line;
mod repeats;
mod service;
mod time;

#[cfg(test)]
mod tests;

pub use file::Target;
pub use filter::{EndFilter, Filter, LabelFilter, ParseFilterError, Query};
pub use headgate_net::record::{Event, FlowLog, FlowLogStatus, Record, Recorded, Recorder, Settings};
pub use line::{End, Flow, Labels, Layer, Line, Loss, Lost, Occasion, Place, Reason, Side, Verdict, Word};
pub use service::{FlowLogError, FlowLogService, Sources};
