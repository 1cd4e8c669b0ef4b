//! Requests and tunnels under way, for a change of policies to find.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use slab::Slab;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::headers::Client;

/// Every request that goes to a pod now, from the choice of the pod to the end of the response or tunnel.
#[derive(Default)]
pub(crate) struct Running(RefCell<Slab<Rc<Run>>>);

/// One of them.
pub(crate) struct Run {
    pub(crate) client: SocketAddr,
    pub(crate) listener: SocketAddr,
    pub(crate) endpoint: SocketAddr,
    cut: Cut,
    /// Whether the client has a part of the response: then all that is left to do is to break it off.
    answered: Cell<bool>,
    is_cut: Cell<bool>,
    /// The connection to the pod, while hyper drives it.
    task: RefCell<Option<AbortHandle>>,
}

/// Breaks one request off on its client's side, once a part of the response is there. How depends on what the client
/// speaks: over HTTP/1 nothing but a reset of the connection shows that something is missing.
#[derive(Clone, Debug)]
pub(crate) struct Cut(Rc<Bell>);

/// What the task that serves a client waits for, beside the client.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    notify: Notify,
    cut: Cell<bool>,
}

/// Why a [`Bell`] rang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    /// What is under way must be broken off.
    Cut,
    /// The connection is to end once nothing is under way.
    Part,
}

impl Bell {
    fn cut(&self) {
        self.cut.set(true);
        self.notify.notify_one();
    }

    pub(crate) fn part(&self) {
        self.notify.notify_one();
    }

    pub(crate) async fn rung(&self) -> Rung {
        self.notify.notified().await;
        if self.cut.get() { Rung::Cut } else { Rung::Part }
    }

    /// Waits until what is under way must be broken off.
    pub(crate) async fn to_be_cut(&self) {
        while self.rung().await != Rung::Cut {}
    }
}

/// A request among the [`Running`] ones, until this is dropped.
pub(crate) struct RunningRequest {
    running: Rc<Running>,
    run: Rc<Run>,
    key: usize,
}

impl Cut {
    /// Tells the task that serves the client, which waits for `bell`.
    pub(crate) fn new(bell: &Rc<Bell>) -> Self {
        Self(Rc::clone(bell))
    }
}

impl Running {
    /// Cuts what `allowed` does not let pass; calls `told` for each.
    pub(crate) fn cut(&self, allowed: impl Fn(IpAddr, SocketAddr) -> bool, told: impl Fn(&Run)) {
        for (_, run) in &*self.0.borrow() {
            if !run.is_cut.get() && !allowed(run.client.ip(), run.endpoint) {
                run.cut();
                told(run);
            }
        }
    }
}

impl Run {
    fn cut(&self) {
        self.is_cut.set(true);
        if let Some(task) = &*self.task.borrow() {
            task.abort();
        }
        if self.answered.get() {
            self.cut.0.cut();
        }
    }
}

impl RunningRequest {
    /// Enters a request to an endpoint.
    pub(crate) fn enter(running: &Rc<Running>, client: &Client, endpoint: SocketAddr, cut: &Cut) -> Self {
        let run = Rc::new(Run {
            client: client.address,
            listener: client.listener,
            endpoint,
            cut: cut.clone(),
            answered: Cell::default(),
            is_cut: Cell::default(),
            task: RefCell::default(),
        });
        let key = running.0.borrow_mut().insert(Rc::clone(&run));
        Self {
            running: Rc::clone(running),
            run,
            key,
        }
    }

    /// Policies no longer allow the request.
    pub(crate) fn is_cut(&self) -> bool {
        self.run.is_cut.get()
    }

    /// The task that drives its exchange with the pod, which ends at once if policies change.
    pub(crate) fn drives(&self, task: AbortHandle) {
        *self.run.task.borrow_mut() = Some(task);
    }

    /// From here on the client sees it when the request is cut.
    pub(crate) fn answered(&self) {
        self.run.answered.set(true);
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.running.0.borrow_mut().remove(self.key);
    }
}
