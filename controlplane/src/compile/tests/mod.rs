mod certificates;
mod classes;
mod cluster_policies;
mod default_backend;
pub(crate) mod incremental;
mod limits;
mod mirrored;
mod parts;
mod pods;
mod policies;
mod port_maps;
mod redirects;
mod routes;
mod services;

use super::{Key, Settings};
use crate::testing;

#[test]
fn nothing_gives_listeners() {
    let result = testing::compiled("");
    let keys: Vec<_> = result.state.keys().cloned().collect();
    let at = |text: &str| Key::Listener(text.parse().unwrap());
    assert_eq!(keys, [at("203.0.113.1:80"), at("203.0.113.1:443")]);
}

#[test]
fn a_port_of_zero_is_no_listener() {
    let settings = Settings {
        https_port: 0,
        ..testing::settings()
    };
    let result = testing::compiled_store(&Default::default(), &settings);
    assert_eq!(result.state.len(), 1);
}

#[test]
fn the_order_of_files_does_not_matter() {
    let (a, b) = (services::WEB, routes::SHOP);
    let one = testing::compiled(&format!("{a}\n---\n{b}"));
    let other = testing::compiled(&format!("{b}\n---\n{a}"));
    assert_eq!(one.state, other.state);
    assert_eq!(one.lines, other.lines);
}
