//! The source without a server, and with one.

mod intake;
