//! Any segments for a stack whose connections are in any state: no harm, and nothing remains.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headgate_tcp::fuzz::segments(bytes));
