//! What tests of other crates need of this one.

pub mod manifests;

use crate::compile::Settings;
use crate::source::store::Store;

/// 2026-11-22T00:00:00Z.
pub const NOW: i64 = 1_795_305_600;

/// Those of a gateway at 203.0.113.1.
#[must_use]
pub fn settings() -> Settings {
    Settings {
        addresses: vec![std::net::Ipv4Addr::new(203, 0, 113, 1).into()],
        ..Settings::default()
    }
}

/// The store's problems, as lines.
#[must_use]
pub fn lines(store: &Store) -> Vec<String> {
    store.problems().iter().map(ToString::to_string).collect()
}
