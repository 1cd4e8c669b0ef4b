//! One end of a ring writes what it likes into the shared memory: the other gets messages, nothing, or an error.
#![no_main]

use headgate_ring::harness::{Input, hostile};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    hostile(std::iter::from_fn(|| input.hostile()));
});
