//! Any bytes are a request, a response or chunks: read the same however they are cut, and the same once written anew.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headgate_l7::fuzz(bytes));
