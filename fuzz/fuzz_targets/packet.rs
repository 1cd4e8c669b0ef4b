//! Any bytes are a frame: parsed, answered and rewritten, or refused for a reason, and what each step promises is
//! checked. The module is built by itself, since the rest of its crate takes minutes and has no part in it.
#![no_main]

#[allow(dead_code)]
#[path = "../../dataplane/src/packet/mod.rs"]
mod packet;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packet::fuzz(bytes));
