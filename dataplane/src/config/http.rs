//! What the L7 stage works by.

use std::sync::Arc;

use headgate_l7 as l7;
use headgate_net::config::{Change, ConfigError, Stored};
use headgate_ring::message::Key;

/// The configuration after `changes`, which is `previous` itself where none of them concerns it.
pub(super) fn follow(
    previous: Option<&Arc<l7::Config>>,
    changes: &[Change<'_>],
) -> Result<Arc<l7::Config>, ConfigError> {
    let sorted = sort(changes);
    match previous {
        Some(previous) if sorted.is_empty() => Ok(Arc::clone(previous)),
        Some(previous) => Ok(Arc::new(previous.with(&sorted)?)),
        None => Ok(Arc::new(l7::Config::empty()?.with(&sorted)?)),
    }
}

/// The changes by kind, those of other parts left out.
fn sort<'a>(changes: &[Change<'a>]) -> l7::Changes<'a> {
    let mut sorted = l7::Changes::default();
    for Change { key, now, .. } in changes {
        match (key, now) {
            (Key::VirtualHost(host), Some(Stored::VirtualHost(now))) => sorted.hosts.push((host, Some(now))),
            (Key::VirtualHost(host), _) => sorted.hosts.push((host, None)),
            (Key::Upstream(name), Some(Stored::Upstream(now))) => sorted.upstreams.push((name, Some(now))),
            (Key::Upstream(name), _) => sorted.upstreams.push((name, None)),
            (Key::Certificate(name), Some(Stored::Certificate(now))) => {
                sorted.certificates.push((name, Some(now)));
            }
            (Key::Certificate(name), _) => sorted.certificates.push((name, None)),
            (Key::Listener(address), Some(Stored::Listener(now))) => {
                sorted.listeners.push((*address, Some(now)));
            }
            (Key::Listener(address), _) => sorted.listeners.push((*address, None)),
            (Key::Service(_) | Key::Endpoint(_) | Key::Group(_) | Key::Policy(..), _) => {}
        }
    }
    sorted
}
