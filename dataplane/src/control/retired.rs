//! What is no longer in force and may still be in use by a request.

use std::sync::Arc;

use headgate_net::config::{Change, Stored};
use headgate_ring::message::VirtualHost;

/// Hosts that were changed or taken away. A request holds its route, and that its host, until it ends: were it the last
/// to do so, a host of thousands of paths would be freed on a worker, between packets.
#[derive(Debug, Default)]
pub(super) struct Retired(Vec<Arc<VirtualHost>>);

impl Retired {
    /// Keeps what these changes take out of force.
    pub(super) fn keep(&mut self, changes: &[Change<'_>]) {
        self.0
            .extend(changes.iter().filter_map(|change| match change.before {
                Some(Stored::VirtualHost(host)) => Some(Arc::clone(host)),
                _ => None,
            }));
    }

    /// Frees what nobody else holds any more.
    pub(super) fn free(&mut self) {
        self.0.retain(|host| Arc::strong_count(host) > 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Retired;
    use crate::config::State;
    use headgate_ring::message::{Key, Object, VirtualHost};
    use headgate_ring::{Operation, Transaction};

    fn transaction(generation: u64, operation: Operation) -> Transaction {
        Transaction {
            generation,
            full: false,
            operations: vec![operation],
        }
    }

    #[test]
    fn a_host_that_a_request_holds_is_freed_by_control_and_not_by_the_request() {
        let host = VirtualHost {
            host: "a.example".into(),
            routes: Vec::new(),
        };
        let (mut state, mut retired) = (State::default(), Retired::default());
        let key = Key::VirtualHost(host.host.clone());
        state
            .apply(transaction(1, Operation::Put(Object::VirtualHost(host))))
            .unwrap();
        let undo = state.apply(transaction(2, Operation::Delete(key))).unwrap();
        retired.keep(&state.changes(&undo));
        drop(undo);
        let request = Arc::clone(&retired.0[0]);
        retired.free();
        let seen = Arc::downgrade(&request);
        drop(request);
        assert!(seen.upgrade().is_some(), "the request has freed it");
        retired.free();
        assert!(seen.upgrade().is_none());
    }
}
