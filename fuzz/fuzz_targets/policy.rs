//! Any bytes are a history of changes of endpoints and policies: after each, the tables decide as the reference does.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headgate_net::policy::fuzz(bytes));
