//! The stand-in, as clients see it.

mod access;
mod client;
mod faults;
mod hostile;
mod kubectl;
mod list;
mod patch;
mod property;
mod versions;
mod watch;
mod webhook;
mod write;
