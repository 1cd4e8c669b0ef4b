//! Which connections are worth a look: by the key of the client that they serve, or of the endpoint that they are kept for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use tokio::sync::Notify;

/// Connections for which something has happened since they were looked at. All of it is on one thread; locks and atomics are
/// here because wakers may be sent to another one, and are never waited for.
#[derive(Debug)]
pub(crate) struct Ready {
    list: Mutex<Vec<usize>>,
    /// Whoever looks at the list is at it already, or will be soon.
    awake: AtomicBool,
    notify: Arc<Notify>,
}

/// Puts one connection on the list.
#[derive(Debug)]
pub(crate) struct Bell {
    ready: Arc<Ready>,
    key: usize,
    listed: AtomicBool,
}

/// Keys of endpoints have this bit.
const OF_ENDPOINT: usize = 1 << (usize::BITS - 1);

/// The endpoint that a key means; `None` where it is a client's.
pub(crate) fn endpoint_of(key: usize) -> Option<usize> {
    (key & OF_ENDPOINT != 0).then_some(key & !OF_ENDPOINT)
}

impl Ready {
    /// `notify` is told when the list fills while nobody is awake.
    pub(crate) fn new(notify: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            list: Mutex::default(),
            awake: AtomicBool::default(),
            notify,
        })
    }

    fn list(&self) -> MutexGuard<'_, Vec<usize>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the list will be looked at without being asked to.
    pub(crate) fn stay_awake(&self, awake: bool) {
        self.awake.store(awake, Ordering::Relaxed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// Swaps the list for an empty one.
    pub(crate) fn take(&self, empty: &mut Vec<usize>) {
        std::mem::swap(&mut *self.list(), empty);
    }
}

impl Bell {
    pub(crate) fn new(ready: &Arc<Ready>, key: usize) -> Arc<Self> {
        Arc::new(Self {
            ready: Arc::clone(ready),
            key,
            listed: AtomicBool::default(),
        })
    }

    /// For the kept connections of an endpoint.
    pub(crate) fn of_endpoint(ready: &Arc<Ready>, place: usize) -> Arc<Self> {
        Self::new(ready, place | OF_ENDPOINT)
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// The connection is looked at now: what happens from here on puts it on the list again.
    pub(crate) fn answered(&self) {
        self.listed.store(false, Ordering::Relaxed);
    }

    pub(crate) fn ring(&self) {
        if self.listed.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut list = self.ready.list();
        list.push(self.key);
        if list.len() == 1 && !self.ready.awake.load(Ordering::Relaxed) {
            self.ready.notify.notify_one();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
