//! Pods towards which every source port is in use.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use headgate_net::clock::Nanos;

/// The pods towards which somebody waits for a source port.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    pods: RefCell<Vec<SocketAddr>>,
    /// When those that wait are looked at next.
    next: Cell<Nanos>,
}

impl Shortage {
    pub(crate) fn is_of(&self, pod: SocketAddr) -> bool {
        self.pods.borrow().contains(&pod)
    }

    pub(crate) fn add(&self, pod: SocketAddr) {
        let mut pods = self.pods.borrow_mut();
        if !pods.contains(&pod) {
            pods.push(pod);
        }
    }

    /// When to look at those that wait, if there are any.
    pub(crate) fn next(&self) -> Option<Nanos> {
        (!self.pods.borrow().is_empty()).then(|| self.next.get())
    }

    /// They are looked at now, and the next time then. Whoever is still short says so again.
    pub(crate) fn take(&self, next: Nanos) -> Vec<SocketAddr> {
        self.next.set(next);
        self.pods.take()
    }
}
