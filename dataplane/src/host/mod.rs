//! What Headgate needs of the machine that it starts on, what it changes there, and how it puts that back.

mod listening;
#[cfg(target_os = "linux")]
mod privileges;
mod run_dir;
mod source_ports;
mod sysctl;

#[cfg(test)]
mod tests;

pub use listening::{Listening, listening};
#[cfg(target_os = "linux")]
pub use privileges::{MissingPrivileges, check_privileges};
pub use run_dir::{RunDir, RunDirError};
pub use source_ports::{ReservedPorts, SourcePortsError};
pub use sysctl::Sysctl;
