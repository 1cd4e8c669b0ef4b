//! Both ends of a ring keep to the rules: it does what the model says.
#![no_main]

use headgate_ring::harness::{Input, honest};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    honest(std::iter::from_fn(|| input.honest()));
});
