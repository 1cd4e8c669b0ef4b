//! Any bytes are a history of changes of endpoints and policies: after each, the tables decide as the reference does. The
//! modules are built by themselves, since the rest of their crate takes minutes and has no part in it.
#![no_main]

#[allow(dead_code)]
#[path = "../../dataplane/src/hash.rs"]
mod hash;
#[allow(dead_code)]
#[path = "../../dataplane/src/lpm/mod.rs"]
mod lpm;
#[allow(dead_code, unused_imports)]
#[path = "../../dataplane/src/policy/mod.rs"]
mod policy;
#[allow(dead_code)]
#[path = "../../dataplane/src/tracked.rs"]
mod tracked;

// Of that crate, the tables need a hint to the kernel alone.
extern crate self as headgate_xsk;

/// Ordinary pages will do.
pub fn prefer_huge_pages<T>(_: &mut Vec<T>) {}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| policy::fuzz(bytes));
