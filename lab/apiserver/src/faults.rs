//! Faults that a test switches on: answers that are errors, late, slow or none.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::request::Target;

/// Something that goes wrong, for which requests, and for how long.
#[derive(Clone, Debug)]
pub struct Fault {
    effect: Effect,
    verbs: Vec<String>,
    resources: Vec<String>,
    path: Option<String>,
    until: Option<Instant>,
    left: Option<u64>,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Status { code: u16, retry_after: Option<u32> },
    Hang,
    Delay(Duration),
    Trickle { bytes_per_second: u64 },
    Cut { after: usize },
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Fault {
            effect,
            verbs: Vec::new(),
            resources: Vec::new(),
            path: None,
            until: None,
            left: None,
        }
    }

    /// Answers with an error of that HTTP status.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::new(Effect::Status {
            code,
            retry_after: None,
        })
    }

    /// Answers 429 with `Retry-After`, in seconds.
    #[must_use]
    pub fn throttle(retry_after: u32) -> Self {
        Self::new(Effect::Status {
            code: 429,
            retry_after: Some(retry_after),
        })
    }

    /// Takes requests, and never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self::new(Effect::Hang)
    }

    /// Answers later.
    #[must_use]
    pub fn delay(by: Duration) -> Self {
        Self::new(Effect::Delay(by))
    }

    /// Sends bodies slowly.
    #[must_use]
    pub fn trickle(bytes_per_second: u64) -> Self {
        Self::new(Effect::Trickle {
            bytes_per_second: bytes_per_second.max(1),
        })
    }

    /// Breaks bodies off after so many bytes, as a connection does that dies.
    #[must_use]
    pub fn cut(after: usize) -> Self {
        Self::new(Effect::Cut { after })
    }

    /// Only these verbs: get, list, watch, create, update, patch, delete.
    #[must_use]
    pub fn verbs<'a>(mut self, verbs: impl IntoIterator<Item = &'a str>) -> Self {
        self.verbs = verbs.into_iter().map(str::to_owned).collect();
        self
    }

    /// Only these resources, by plural.
    #[must_use]
    pub fn resources<'a>(mut self, resources: impl IntoIterator<Item = &'a str>) -> Self {
        self.resources = resources.into_iter().map(str::to_owned).collect();
        self
    }

    /// Only paths that begin so.
    #[must_use]
    pub fn path(mut self, prefix: &str) -> Self {
        self.path = Some(prefix.to_owned());
        self
    }

    /// Only for a time from now on.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        self.until = Some(Instant::now() + time);
        self
    }

    /// Only for so many requests.
    #[must_use]
    pub fn times(mut self, requests: u64) -> Self {
        self.left = Some(requests);
        self
    }

    fn fits(&self, target: &Target, path: &str) -> bool {
        let one_of = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        self.until.is_none_or(|until| Instant::now() < until)
            && self.left != Some(0)
            && one_of(&self.verbs, target.verb)
            && one_of(&self.resources, &target.resource)
            && self.path.as_ref().is_none_or(|prefix| path.starts_with(prefix))
    }
}

/// All faults that are on.
#[derive(Debug)]
pub struct Faults {
    list: Mutex<Vec<Fault>>,
    /// Rises when hanging requests may go on.
    cleared: watch::Sender<u64>,
    /// Whether watches keep silent.
    silent: watch::Sender<bool>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Faults {
            list: Mutex::default(),
            cleared: watch::channel(0).0,
            silent: watch::channel(false).0,
        }
    }

    /// Switches a fault on, beside those that are on.
    pub fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Switches all faults off. Requests that hang are answered now.
    pub fn clear(&self) {
        self.lock().clear();
        self.silent.send_replace(false);
        self.cleared.send_modify(|n| *n += 1);
    }

    /// Lets watches stay open and send nothing, not even bookmarks (true), or go on and send what was held back (false).
    pub fn silence_watches(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    /// What goes wrong with a request.
    pub(crate) fn of(&self, target: &Target, path: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for fault in self.lock().iter_mut().filter(|fault| fault.fits(target, path)) {
            fault.left = fault.left.map(|left| left - 1);
            effects.push(fault.effect.clone());
        }
        effects
    }

    /// Tells when faults are [cleared](Faults::clear) from now on.
    pub(crate) fn cleared(&self) -> watch::Receiver<u64> {
        self.cleared.subscribe()
    }

    /// Waits while watches keep silent.
    pub(crate) async fn speak(&self) {
        let _ = self.silent.subscribe().wait_for(|silent| !silent).await;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
