//! A directory of manifests, watched.
//!
//! Every directory below the root is watched before it is listed, so that nothing that happens in between is missed.
//! Files whose names begin with a dot are left out, and so is what is neither `.yaml`, `.yml` nor `.json`. Symbolic
//! links are followed, in the way in which Kubernetes mounts a ConfigMap: `a.yaml -> ..data/a.yaml`, `..data ->
//! ..2026_01_01`, the latter swapped by a rename.
//!
//! A file that is being written is read when its writer closes it: half a file that happens to parse would take
//! objects away.

mod events;
mod manifests;
mod refusals;
mod scan;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::{Batch, Change, Source, Stopper};
use crate::feedback::{Feedback, Mailbox, mailbox};
use events::Pending;
use refusals::Refusals;
use scan::Tree;

/// Events come in bursts (truncate, write, close; write, rename): a batch ends when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(2);
/// A batch ends at the latest after this long, however many events come.
const LONGEST_BATCH: Duration = Duration::from_millis(20);

/// Why the source looks up.
#[derive(Debug)]
enum Event {
    /// Something happened below the directory.
    Changed(notify::Result<notify::Event>),
    /// The dataplane has answered.
    Feedback,
    /// The source shall end.
    Stop,
}

/// A directory of manifests.
pub struct Directory {
    tree: Tree,
    sender: Sender<Event>,
    events: Receiver<Event>,
    pending: Pending,
    stop: Arc<AtomicBool>,
    feedback: Feedback,
    mailbox: Mailbox,
    refusals: Refusals,
}

/// What watching takes of the system.
const LIMITS: &str = if cfg!(target_os = "linux") {
    "the limits are fs.inotify.max_user_instances and .max_user_watches"
} else {
    "each directory, and with kqueue each file, takes a descriptor (ulimit -n)"
};

/// The directory cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is not there, or not to be read.
    #[error("cannot read the directory of manifests {path}: {source}")]
    Read {
        /// As it was given.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The kernel refuses to watch it.
    #[error("cannot watch {path}: {source}; {LIMITS}")]
    Watch {
        /// As it was given.
        path: PathBuf,
        /// What notify said.
        source: notify::Error,
    },
}

/// Reads what is there now, once: nothing is watched, and the kernel's limits of watches do not matter.
///
/// # Errors
///
/// The directory is not there, or cannot be read.
pub fn read(root: &Path) -> Result<Batch, DirectoryError> {
    let mut tree = Tree::new(root, Box::new(notify::NullWatcher), Arc::default())?;
    Ok(tree.visit(&Pending::everything().take(Instant::now())))
}

impl Directory {
    /// Watches `root`.
    ///
    /// # Errors
    ///
    /// The directory is not there, or cannot be read or watched.
    pub fn open(root: &Path) -> Result<Self, DirectoryError> {
        let (sender, events) = channel();
        let (watching, answered) = (sender.clone(), sender.clone());
        let handler = move |event: notify::Result<notify::Event>| {
            if event.as_ref().is_ok_and(|e| !events::matters(e)) {
                return;
            }
            // Nobody listens any more: the source ends.
            let _ = watching.send(Event::Changed(event));
        };
        let watcher = notify::recommended_watcher(handler).map_err(|source| DirectoryError::Watch {
            path: root.to_owned(),
            source,
        })?;
        let (feedback, mailbox) = mailbox(move || {
            let _ = answered.send(Event::Feedback);
        });
        let stop = Arc::<AtomicBool>::default();
        Ok(Self {
            tree: Tree::new(root, Box::new(watcher), stop.clone())?,
            sender,
            events,
            pending: Pending::everything(),
            stop,
            feedback,
            mailbox,
            refusals: Refusals::default(),
        })
    }

    /// Waits for the first event, or for a file that has been left open too long, then for the end of the burst.
    fn wait(&mut self) {
        let first = match self.pending.deadline() {
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self
                .events
                .recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        // That nobody is left to say something cannot be: a sender is here.
        let Ok(event) = first else { return };
        self.note(event);
        let end = Instant::now() + LONGEST_BATCH;
        while !self.is_stopped() && Instant::now() < end {
            match self.events.recv_timeout(QUIET) {
                Ok(event) => self.note(event),
                Err(_) => break,
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            // The flag says it.
            Event::Stop => {}
            Event::Feedback => {
                if let Some(report) = self.mailbox.take() {
                    self.refusals.update(report).log();
                }
            }
            Event::Changed(Ok(mut event)) => {
                let of_metadata = events::is_of_metadata(&event);
                event
                    .paths
                    .retain(|path| self.tree.concerns(path) && (!of_metadata || self.tree.is_unread(path)));
                self.tree.note(&event);
                self.pending
                    .note(&event, Instant::now(), |path| self.tree.is_file(path));
            }
            Event::Changed(Err(error)) => {
                tracing::warn!("watching the manifests: {error}; reading all of them again");
                self.pending = Pending::everything();
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Source for Directory {
    /// The first call gives all that is there.
    fn next(&mut self) -> Option<Batch> {
        while !self.is_stopped() {
            let work = self.pending.take(Instant::now());
            if !work.is_empty() {
                let mut batch = self.tree.visit(&work);
                if self.is_stopped() {
                    break;
                }
                if work.first {
                    batch.push(Change::Complete);
                }
                if !batch.is_empty() {
                    return Some(batch);
                }
            }
            self.wait();
        }
        None
    }

    fn stopper(&self) -> Stopper {
        let (stop, sender) = (self.stop.clone(), self.sender.clone());
        Box::new(move || {
            stop.store(true, Ordering::Relaxed);
            // Where the source has ended already there is nobody left to wake.
            let _ = sender.send(Event::Stop);
        })
    }

    fn feedback(&self) -> Option<Feedback> {
        Some(self.feedback.clone())
    }
}
