//! Which files have been read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::HashMap;

/// Manifests that have been read, by their paths below the root, and where links lead, which is what events name.
#[derive(Debug, Default)]
pub(super) struct Manifests {
    real: BTreeMap<Arc<Path>, PathBuf>,
    /// The other way round: several links may lead to one file. There may be many files, and each event asks.
    paths: HashMap<PathBuf, BTreeSet<Arc<Path>>>,
}

impl Manifests {
    pub(super) fn insert(&mut self, path: Arc<Path>, real: PathBuf) {
        if self.real.get(&path) == Some(&real) {
            return;
        }
        self.remove(&path);
        self.paths.entry(real.clone()).or_default().insert(path.clone());
        self.real.insert(path, real);
    }

    pub(super) fn remove(&mut self, path: &Path) {
        let Some(real) = self.real.remove(path) else {
            return;
        };
        if let Some(paths) = self.paths.get_mut(&real) {
            paths.remove(path);
            if paths.is_empty() {
                self.paths.remove(&real);
            }
        }
    }

    /// Where the links of a path below the root lead.
    pub(super) fn real(&self, path: &Path) -> Option<&Path> {
        self.real.get(path).map(PathBuf::as_path)
    }

    /// Whether this real path has been read.
    pub(super) fn is_real(&self, real: &Path) -> bool {
        self.paths.contains_key(real)
    }

    /// The paths below the root that lead to a real one.
    pub(super) fn leading_to(&self, real: &Path) -> impl Iterator<Item = &Arc<Path>> {
        self.paths.get(real).into_iter().flatten()
    }

    /// All paths below the root.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Arc<Path>> {
        self.real.keys()
    }
}
