//! What a worker writes down for others to read: nothing here allocates, locks or calls the system.

mod channel;
mod event;
mod recorder;

pub use channel::{FlowLog, FlowLogStatus, Recorded, Settings};
pub use event::{Event, Record};
pub use recorder::Recorder;
