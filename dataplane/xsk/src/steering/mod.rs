//! Which packets come here: rules, and on Linux the program that follows them.

#[cfg(target_os = "linux")]
mod counters;
mod error;
#[cfg(target_os = "linux")]
mod program;
mod rules;

#[cfg(target_os = "linux")]
pub use counters::SteeringCounters;
#[cfg(target_os = "linux")]
pub use error::AttachError;
pub use error::SteeringError;
#[cfg(target_os = "linux")]
pub use program::Steering;
pub use rules::AddressRule;
