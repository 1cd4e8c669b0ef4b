//! Any bytes are the blocks of a connection: what a slow decoder takes them for, in memory of the table's size.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headgate_l7::fuzz_hpack(bytes));
