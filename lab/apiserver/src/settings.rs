//! What a server is to be like.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::access::Authorization;
use crate::profile::Age;

/// What a server is to be like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub address: IpAddr,
    /// At which port; 0 for any that is free.
    pub port: u16,
    /// More names and addresses that its certificate holds for.
    pub names: Vec<String>,
    /// Its version.
    pub age: Age,
    /// Who may do what.
    pub authorization: Authorization,
    /// Whether requests without credentials are those of `system:anonymous`, and not refused with 401.
    pub anonymous: bool,
    /// So many changes are kept before the oldest are compacted.
    pub history: usize,
    /// How often watches get bookmarks.
    pub bookmark_interval: Duration,
    /// How long a watch lives that names no time itself.
    pub watch_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            names: Vec::new(),
            age: Age::default(),
            authorization: Authorization::default(),
            anonymous: false,
            history: 200_000,
            bookmark_interval: Duration::from_mins(1),
            watch_timeout: Duration::from_mins(40),
        }
    }
}
