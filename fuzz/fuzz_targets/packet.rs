//! Any bytes are a frame: parsed, answered and rewritten, or refused for a reason, and what each step promises is
//! checked.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headgate_net::wire::fuzz(bytes));
