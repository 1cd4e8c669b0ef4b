//! The bytes of a message from the other plane are decoded, or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headgate_ring::harness::message(bytes));
