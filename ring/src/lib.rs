//! The contract between Headgate's planes: the [messages](message) that cross from one process to the other,
//! and the shared-memory ring that carries them.
#![deny(unsafe_code)]

pub mod message;
