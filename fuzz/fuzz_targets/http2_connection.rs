//! Any bytes are what comes of a connection of HTTP/2, of a client or to a pod: what lies here is what its windows say.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headgate_l7::fuzz_connection(bytes));
