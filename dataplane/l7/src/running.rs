//! Requests and tunnels under way, for a change of policies to find.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use slab::Slab;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Shared;
use super::middleware::Client;

/// Every request that goes to a pod now, from the choice of the pod to the end of the response or tunnel.
#[derive(Default)]
pub(super) struct Running(RefCell<Slab<Rc<Run>>>);

/// One of them.
pub(super) struct Run {
    pub(super) client: SocketAddr,
    pub(super) listener: SocketAddr,
    pub(super) endpoint: SocketAddr,
    /// Ends the client's connection.
    bell: Rc<Notify>,
    /// Whether the client has a part of the response: then all that is left to do is to break it off.
    answered: Cell<bool>,
    cut: Cell<bool>,
    /// The connection to the pod, while hyper drives it.
    task: RefCell<Option<AbortHandle>>,
}

/// A place in [`Running`], given up when this is dropped.
pub(super) struct Place {
    shared: Rc<Shared>,
    run: Rc<Run>,
    key: usize,
}

impl Running {
    /// Cuts what `allowed` does not let be; calls `told` for each.
    pub(super) fn cut(&self, allowed: impl Fn(IpAddr, SocketAddr) -> bool, told: impl Fn(&Run)) {
        for (_, run) in &*self.0.borrow() {
            if !run.cut.get() && !allowed(run.client.ip(), run.endpoint) {
                run.cut();
                told(run);
            }
        }
    }
}

impl Run {
    fn cut(&self) {
        self.cut.set(true);
        if let Some(task) = &*self.task.borrow() {
            task.abort();
        }
        if self.answered.get() {
            self.bell.notify_one();
        }
    }
}

impl Place {
    /// Enters a request; `bell` is rung when the client's connection is to be reset.
    pub(super) fn enter(
        shared: &Rc<Shared>,
        client: &Client,
        endpoint: SocketAddr,
        bell: &Rc<Notify>,
    ) -> Self {
        let run = Rc::new(Run {
            client: client.address,
            listener: client.listener,
            endpoint,
            bell: Rc::clone(bell),
            answered: Cell::default(),
            cut: Cell::default(),
            task: RefCell::default(),
        });
        let key = shared.running.0.borrow_mut().insert(Rc::clone(&run));
        let shared = Rc::clone(shared);
        Self { shared, run, key }
    }

    /// Policies no longer allow the request.
    pub(super) fn is_cut(&self) -> bool {
        self.run.cut.get()
    }

    /// The connection to the pod, which ends at once if policies change.
    pub(super) fn over(&self, task: AbortHandle) {
        *self.run.task.borrow_mut() = Some(task);
    }

    /// From here on the client sees it when the request is cut: its connection is reset.
    pub(super) fn answered(&self) {
        self.run.answered.set(true);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.running.0.borrow_mut().remove(self.key);
    }
}
