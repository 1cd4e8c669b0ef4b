//! The files below the root, and what has changed in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{EventKind, ModifyKind};
use notify::{RecursiveMode, Watcher};
use zeroize::Zeroizing;

use super::DirectoryError;
use super::events::ScanWork;
use super::manifests::Manifests;
use crate::problem::{Problem, Severity};
use crate::source::decode::{Syntax, Unreadable, decode};
use crate::source::{Batch, Change, Contents};

/// Larger files are no manifests; etcd takes 1.5 MiB for an object.
const FILE_BYTES: u64 = 64 << 20;

/// The files and the watched directories.
pub(super) struct Tree {
    root: PathBuf,
    watcher: Box<dyn Watcher + Send>,
    /// Directories by their real paths, with the inode that is watched.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    manifests: Manifests,
    /// The root's parent and the root in it: watched because the root itself may be swapped.
    gate: Option<(PathBuf, PathBuf)>,
    /// Directories that could not be listed the last time, by their paths below the root.
    unlisted: BTreeSet<Arc<Path>>,
    /// What could not be watched the last time.
    unwatched: Vec<Problem>,
    /// Real paths of files that could not be read: a change of permissions may mend it.
    unread: BTreeSet<PathBuf>,
    /// Set when whoever waits for the end of a visit is no longer interested.
    stop: Arc<AtomicBool>,
}

/// A walk through the tree.
#[derive(Default)]
struct Walk {
    /// Manifests by their paths below the root.
    found: BTreeMap<PathBuf, Found>,
    /// Real directories that were listed.
    listed: BTreeSet<PathBuf>,
    /// Real directories that are watched: those that were listed, those that hold a file that a link leads to, and
    /// the root's parent.
    directories: BTreeSet<PathBuf>,
    /// Those of them that were not watched before, or cannot be.
    fresh: BTreeSet<PathBuf>,
    /// Directories that could not be listed, by their paths below the root, and why: what is not found is not
    /// therefore gone.
    unlisted: BTreeMap<Arc<Path>, String>,
    /// Real directories that cannot be watched, and why.
    unwatched: BTreeMap<PathBuf, String>,
}

/// A manifest on the way.
struct Found {
    /// Where links lead.
    real: PathBuf,
    /// It is itself a link.
    linked: bool,
}

impl Tree {
    pub(super) fn new(
        root: &Path,
        watcher: Box<dyn Watcher + Send>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, DirectoryError> {
        let failed = |source| DirectoryError::Read {
            path: root.to_owned(),
            source,
        };
        let root = std::path::absolute(root).map_err(failed)?;
        fs::read_dir(&root).map_err(failed)?;
        let mut tree = Self {
            root,
            watcher,
            watched: BTreeMap::new(),
            manifests: Manifests::default(),
            gate: None,
            unlisted: BTreeSet::new(),
            unwatched: Vec::new(),
            unread: BTreeSet::new(),
            stop,
        };
        let real = fs::canonicalize(&tree.root).map_err(failed)?;
        match tree.watch_real(&real) {
            Ok(_) => Ok(tree),
            Err(source) => Err(DirectoryError::Watch {
                path: tree.root,
                source,
            }),
        }
    }

    /// Whether this real path is a manifest that has been read.
    pub(super) fn is_file(&self, real: &Path) -> bool {
        self.manifests.is_real(real)
    }

    /// Whether this real path is of a file or directory that could not be read the last time.
    pub(super) fn is_unread(&self, real: &Path) -> bool {
        let below = || real.strip_prefix(&self.root).ok();
        self.unread.contains(real) || below().is_some_and(|at| self.unlisted.contains(at))
    }

    /// Whether this real path may be, or hold, a manifest. The root's parent has other things in it.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        self.gate
            .as_ref()
            .is_none_or(|(parent, root)| path.parent() != Some(parent) || path == root)
    }

    /// A directory that was moved or removed is no longer watched at its path, whatever comes there.
    pub(super) fn note(&mut self, event: &notify::Event) {
        if matches!(
            event.kind,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
        ) {
            event.paths.iter().for_each(|path| self.unwatch_below(path));
        }
    }

    fn unwatch_below(&mut self, path: &Path) {
        let below = self.watched.range(path.to_owned()..).map(|(p, _)| p);
        let below: Vec<_> = below.take_while(|p| p.starts_with(path)).cloned().collect();
        below.iter().for_each(|p| self.unwatch(p));
    }

    fn unwatch(&mut self, path: &Path) {
        self.watched.remove(path);
        // The watcher may have noticed by itself that the directory is no more.
        let _ = self.watcher.unwatch(path);
    }

    /// Does the work and says what has changed: not all of it when it is told to stop.
    pub(super) fn visit(&mut self, work: &ScanWork) -> Batch {
        let mut changes = Batch::new();
        if work.rescan {
            self.rescan(work, &mut changes);
            return changes;
        }
        let mut wanted = BTreeMap::new();
        for real in work.files.difference(&work.writing) {
            let paths = self.manifests.leading_to(real);
            wanted.extend(paths.map(|path| (path.clone(), real.clone())));
        }
        for (path, real) in wanted {
            if self.is_stopped() {
                break;
            }
            self.read(path, real, &mut changes);
        }
        changes
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn rescan(&mut self, work: &ScanWork, changes: &mut Batch) {
        let walk = self.walk();
        if self.is_stopped() {
            return;
        }
        self.note_refusals(&walk, changes);
        if walk.unlisted.is_empty() {
            let gone: Vec<_> = self
                .manifests
                .paths()
                .filter(|p| !walk.found.contains_key(&***p))
                .cloned()
                .collect();
            for path in gone {
                self.manifests.remove(&path);
                changes.push(Change::File(path, Contents::Gone));
            }
            self.unwatch_others(&walk.directories);
        }
        let fresh = |real: &Path| real.parent().is_some_and(|parent| walk.fresh.contains(parent));
        for (path, Found { real, linked }) in walk.found {
            let asked = work.everything || work.files.contains(&real);
            let news = match self.manifests.real(&path) {
                Some(before) => before != real,
                None => linked || self.manifests.is_real(&real),
            };
            // Of all else an event tells that is still on its way. To read at once would be to read what somebody
            // has just truncated; so would it be with files that are being written: what was read of them before
            // is their last good state.
            if self.is_stopped() {
                return;
            }
            if (asked || news || fresh(&real)) && !work.writing.contains(&real) {
                self.read(path.into(), real, changes);
            }
        }
    }

    /// Says which directories cannot be listed or watched, where that has changed.
    fn note_refusals(&mut self, walk: &Walk, changes: &mut Batch) {
        let before = std::mem::replace(&mut self.unlisted, walk.unlisted.keys().cloned().collect());
        for path in before.difference(&self.unlisted) {
            changes.push(Change::File(path.clone(), Contents::Gone));
        }
        for path in self.unlisted.difference(&before) {
            let unreadable = Unreadable {
                line: None,
                reason: walk.unlisted[path].clone(),
            };
            changes.push(Change::File(path.clone(), Contents::Unreadable(unreadable)));
        }
        let unwatched: Vec<_> = walk.unwatched.iter().map(unwatched).collect();
        if unwatched != self.unwatched {
            self.unwatched.clone_from(&unwatched);
            changes.push(Change::Troubles(unwatched));
        }
    }

    fn read(&mut self, path: Arc<Path>, real: PathBuf, changes: &mut Batch) {
        let contents = match read_file(&real) {
            Ok(bytes) => {
                self.unread.remove(&real);
                self.manifests.insert(path.clone(), real);
                match decode(&bytes, Syntax::of(&path).unwrap_or(Syntax::Yaml)) {
                    Ok(documents) => Contents::Documents(documents),
                    Err(unreadable) => Contents::Unreadable(unreadable),
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.unread.remove(&real);
                self.manifests.remove(&path);
                Contents::Gone
            }
            Err(e) => {
                self.unread.insert(real.clone());
                self.manifests.insert(path.clone(), real);
                Contents::Unreadable(Unreadable {
                    line: None,
                    reason: e.to_string(),
                })
            }
        };
        changes.push(Change::File(path, contents));
    }

    fn walk(&mut self) -> Walk {
        let mut walk = Walk::default();
        // The root may itself be swapped.
        let parent = self.root.parent().and_then(|p| fs::canonicalize(p).ok());
        self.gate = parent
            .zip(self.root.file_name())
            .map(|(parent, name)| (parent.clone(), parent.join(name)));
        if let Some((parent, _)) = self.gate.clone() {
            self.watch(&parent, &mut walk);
        }
        self.list(&self.root.clone(), Path::new(""), &mut walk);
        // A link may lead into the parent: then what happens there matters.
        self.gate = self
            .gate
            .take()
            .filter(|(parent, _)| walk.found.values().all(|f| f.real.parent() != Some(parent)));
        walk
    }

    /// Watches and lists a directory. `at` is its path below the root.
    fn list(&mut self, directory: &Path, at: &Path, walk: &mut Walk) {
        if self.is_stopped() {
            return;
        }
        let real = match fs::canonicalize(directory) {
            Ok(real) => real,
            Err(e) => return refuse(at, &e, walk),
        };
        // A link that leads back up is no new directory.
        if !walk.listed.insert(real.clone()) {
            return;
        }
        self.watch(&real, walk);
        let entries = match fs::read_dir(&real).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(e) => {
                walk.unwatched.remove(&real);
                return refuse(at, &e, walk);
            }
        };
        let mut entries: Vec<_> = entries.into_iter().filter(|e| !is_dotted(e)).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self.entry(&entry, &real, &at.join(entry.file_name()), walk);
        }
    }

    fn entry(&mut self, entry: &fs::DirEntry, parent: &Path, at: &Path, walk: &mut Walk) {
        let path = parent.join(entry.file_name());
        let Ok(mut kind) = entry.file_type() else { return };
        let mut real = path.clone();
        let linked = kind.is_symlink();
        if linked {
            // A link that leads nowhere is a file that is not there.
            let Ok(target) = fs::canonicalize(&path) else {
                return;
            };
            let Ok(metadata) = fs::metadata(&target) else {
                return;
            };
            kind = metadata.file_type();
            real = target;
            if let (true, Some(directory)) = (kind.is_file(), real.parent().map(Path::to_owned)) {
                self.watch(&directory, walk);
            }
        }
        if kind.is_dir() {
            self.list(&path, at, walk);
        } else if kind.is_file() && Syntax::of(at).is_some() {
            walk.found.insert(at.to_owned(), Found { real, linked });
        }
    }

    fn watch(&mut self, real: &Path, walk: &mut Walk) {
        walk.directories.insert(real.to_owned());
        let fresh = self.watch_real(real).unwrap_or_else(|error| {
            walk.unwatched.insert(real.to_owned(), error.to_string());
            true
        });
        if fresh {
            walk.fresh.insert(real.to_owned());
        }
    }

    /// Whether it was not watched before. The kernel has one watch for an inode, whatever its paths: the one of a
    /// path that a directory has left must go first, or it would take the new one with it.
    fn watch_real(&mut self, real: &Path) -> notify::Result<bool> {
        let metadata = fs::metadata(real).map_err(notify::Error::io)?;
        let inode = (metadata.dev(), metadata.ino());
        if self.watched.get(real) == Some(&inode) {
            return Ok(false);
        }
        let stale = self
            .watched
            .iter()
            .filter(|(path, i)| **i == inode || *path == real);
        let stale: Vec<_> = stale.map(|(path, _)| path.clone()).collect();
        stale.iter().for_each(|path| self.unwatch(path));
        self.watcher.watch(real, RecursiveMode::NonRecursive)?;
        self.watched.insert(real.to_owned(), inode);
        Ok(true)
    }

    fn unwatch_others(&mut self, directories: &BTreeSet<PathBuf>) {
        let others: Vec<_> = self
            .watched
            .keys()
            .filter(|d| !directories.contains(*d))
            .cloned()
            .collect();
        others.iter().for_each(|directory| self.unwatch(directory));
    }
}

fn unwatched((real, error): (&PathBuf, &String)) -> Problem {
    Problem {
        severity: Severity::Error,
        origin: None,
        object: None,
        text: format!(
            "{}: cannot be watched: {error}; changes in it go unnoticed",
            real.display()
        ),
    }
}

/// Notes that the directory at this path below the root cannot be listed.
fn refuse(at: &Path, error: &io::Error, walk: &mut Walk) {
    // A directory below the root that vanished meanwhile is gone; the event that says so is on its way.
    if error.kind() != io::ErrorKind::NotFound || at.as_os_str().is_empty() {
        walk.unlisted.insert(at.into(), error.to_string());
    }
}

fn is_dotted(entry: &fs::DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// The file's bytes, which may hold a private key.
fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    if length > FILE_BYTES {
        return Err(io::Error::other(format!(
            "is larger than {} MiB",
            FILE_BYTES >> 20
        )));
    }
    // Growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    io::Read::read_to_end(&mut io::Read::take(&mut file, FILE_BYTES), &mut bytes)?;
    Ok(bytes)
}
