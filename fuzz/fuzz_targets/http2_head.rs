//! Any bytes are a header section of HTTP/2: malformed or not as RFC 9113 has it, and the same once written anew.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headgate_l7::fuzz_head(bytes));
