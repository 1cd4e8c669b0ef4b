//! Two stacks, an ill-meaning channel between them: every byte once and in order, and nothing remains.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headgate_tcp::fuzz::history(bytes));
