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
mod scan;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use events::Pending;
use scan::Tree;

use super::store::Contents;

/// Events come in bursts (truncate, write, close; write, rename): a batch ends when nothing has come for this long,
const QUIET: Duration = Duration::from_millis(2);
/// and at the latest after this long.
const LONGEST_BATCH: Duration = Duration::from_millis(20);

/// What the watcher, or whoever else holds a sender, says to the source.
#[derive(Debug)]
pub enum Event {
    /// Something happened below the directory.
    Changed(notify::Result<notify::Event>),
    /// The source shall end.
    Stop,
}

/// What has changed since the last batch.
pub type Changes = Vec<(Arc<Path>, Contents)>;

/// A directory of manifests.
pub struct Directory {
    tree: Tree,
    events: Receiver<Event>,
    pending: Pending,
}

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
    #[error(
        "cannot watch {path}: {source}; the limits are fs.inotify.max_user_instances and .max_user_watches"
    )]
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
pub fn read(root: &Path) -> Result<Changes, DirectoryError> {
    let mut tree = Tree::new(root, Box::new(notify::NullWatcher))?;
    Ok(tree.visit(&Pending::everything().take(Instant::now())))
}

impl Directory {
    /// Watches `root`. `sender` and `events` are the two ends of one channel.
    ///
    /// # Errors
    ///
    /// The directory is not there, or cannot be read or watched.
    pub fn open(
        root: &Path,
        sender: std::sync::mpsc::Sender<Event>,
        events: Receiver<Event>,
    ) -> Result<Self, DirectoryError> {
        let handler = move |event: notify::Result<notify::Event>| {
            if event.as_ref().is_ok_and(|e| !events::matters(e)) {
                return;
            }
            // Nobody listens any more: the source ends.
            let _ = sender.send(Event::Changed(event));
        };
        let watcher = notify::recommended_watcher(handler).map_err(|source| DirectoryError::Watch {
            path: root.to_owned(),
            source,
        })?;
        let tree = Tree::new(root, Box::new(watcher))?;
        Ok(Self {
            tree,
            events,
            pending: Pending::everything(),
        })
    }

    /// Waits for changes; the first call returns all that is there. `None` when it was told to stop.
    pub fn changes(&mut self) -> Option<Changes> {
        loop {
            let work = self.pending.take(Instant::now());
            if !work.is_empty() {
                let changes = self.tree.visit(&work);
                if !changes.is_empty() || work.first {
                    return Some(changes);
                }
            }
            self.wait()?;
        }
    }

    /// Waits for the first event, or for a file that has been left open too long, then for the end of the burst.
    fn wait(&mut self) -> Option<()> {
        let first = match self.pending.deadline() {
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self
                .events
                .recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match first {
            Ok(event) => self.note(event)?,
            Err(RecvTimeoutError::Timeout) => return Some(()),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        let end = Instant::now() + LONGEST_BATCH;
        while Instant::now() < end {
            match self.events.recv_timeout(QUIET) {
                Ok(event) => self.note(event)?,
                Err(_) => break,
            }
        }
        Some(())
    }

    fn note(&mut self, event: Event) -> Option<()> {
        match event {
            Event::Stop => return None,
            Event::Changed(Ok(mut event)) => {
                event.paths.retain(|path| self.tree.concerns(path));
                self.tree.note(&event);
                self.pending
                    .note(&event, Instant::now(), |path| self.tree.is_file(path));
            }
            Event::Changed(Err(error)) => {
                tracing::warn!("watching the manifests: {error}; reading all of them again");
                self.pending = Pending::everything();
            }
        }
        Some(())
    }
}
