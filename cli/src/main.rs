//! headgate
#![forbid(unsafe_code)]
fn main() {}
