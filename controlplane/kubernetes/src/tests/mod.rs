//! The source without a server, and with one.

mod admission;
mod bed;
mod cluster;
mod credentials;
mod faults;
mod intake;
mod writing;
