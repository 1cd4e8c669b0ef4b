//! What events of the watcher ask for. No I/O in here but a look at files that were just made.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};

use crate::source::decode::Syntax;

/// A file that nobody has written to for this long is read although a writer still has it open.
const LEFT_OPEN: Duration = Duration::from_millis(500);

/// What is to be looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ScanWork {
    /// The whole tree: list it, read what is new.
    pub(super) rescan: bool,
    /// Read all files.
    pub(super) everything: bool,
    /// Read these files.
    pub(super) files: BTreeSet<PathBuf>,
    /// Leave these alone: they are being written.
    pub(super) writing: BTreeSet<PathBuf>,
    /// The first look.
    pub(super) first: bool,
}

impl ScanWork {
    pub(super) fn is_empty(&self) -> bool {
        !self.rescan && self.files.is_empty()
    }
}

/// Collects events until somebody looks.
#[derive(Debug, Default)]
pub(super) struct Pending {
    work: ScanWork,
    /// Files that are being written, and when they are read at the latest.
    writing: BTreeMap<PathBuf, Instant>,
}

/// Whether an event says no more than that permissions, times or the number of links have changed.
pub(super) fn is_of_metadata(event: &notify::Event) -> bool {
    matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)))
}

/// Whether an event may mean that a manifest changed: reading a file is an event, too.
pub(super) fn matters(event: &notify::Event) -> bool {
    event.need_rescan()
        || match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        }
}

impl Pending {
    /// Nothing is known yet.
    pub(super) fn everything() -> Self {
        let work = ScanWork {
            rescan: true,
            everything: true,
            first: true,
            ..ScanWork::default()
        };
        Self {
            work,
            writing: BTreeMap::new(),
        }
    }

    /// What is to be looked at now.
    pub(super) fn take(&mut self, now: Instant) -> ScanWork {
        let left_open: Vec<_> = self
            .writing
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(p, _)| p.clone())
            .collect();
        for path in left_open {
            self.writing.remove(&path);
            self.work.files.insert(path);
            self.work.rescan = true;
        }
        let mut work = std::mem::take(&mut self.work);
        work.writing = self.writing.keys().cloned().collect();
        work
    }

    /// When there is work although no event comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.writing.values().min().copied()
    }

    /// Takes in an event. `known` says which paths are manifests that have been read.
    pub(super) fn note(&mut self, event: &notify::Event, now: Instant, known: impl Fn(&Path) -> bool) {
        if event.need_rescan() {
            *self = Self {
                writing: std::mem::take(&mut self.writing),
                ..Self::everything()
            };
            self.work.first = false;
            return;
        }
        for path in event.paths.iter().filter(|path| !is_hidden(path)) {
            match event.kind {
                EventKind::Create(CreateKind::File) if is_half_written(path) => {
                    self.writing.insert(path.clone(), now + LEFT_OPEN);
                }
                EventKind::Modify(ModifyKind::Data(_)) => {
                    self.writing.insert(path.clone(), now + LEFT_OPEN);
                }
                // Told by the two ends already.
                EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {}
                EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                    self.writing.remove(path);
                    // What comes in its place has an event of its own.
                    self.work.files.remove(path);
                    self.work.rescan = true;
                }
                _ => {
                    self.writing.remove(path);
                    self.read(path, known(path));
                }
            }
        }
    }

    fn read(&mut self, path: &Path, known: bool) {
        self.work.files.insert(path.to_owned());
        // A file that was not there before, or perhaps a directory.
        self.work.rescan |= !known;
    }
}

/// Hidden files are no manifests; `..data` and its like are what a mounted ConfigMap is swapped by.
pub(super) fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().map_or(&[][..], |n| n.as_encoded_bytes());
    name.starts_with(b".") && !name.starts_with(b"..")
}

/// Whether a file that was just made will get a close event: one that was made by a link or a rename will not.
fn is_half_written(path: &Path) -> bool {
    Syntax::of(path).is_some()
        && path
            .symlink_metadata()
            .is_ok_and(|m| m.is_file() && m.nlink() == 1)
}
