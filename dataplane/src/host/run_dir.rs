//! The directory of sockets, and the lock that keeps two instances apart.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why the run directory is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// It cannot be made or written.
    #[error("run directory {}: {error}; choose another with --run-dir", path.display())]
    Unusable {
        /// The directory or the file in it.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The lock is held.
    #[error("another headgate{} runs with run directory {}; stop it, or choose another with --run-dir", pid(.owner), path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
        /// The process that holds the lock, if it says.
        owner: Option<u32>,
    },
}

fn pid(owner: &Option<u32>) -> String {
    owner.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// The locked run directory. The kernel gives the lock up when the process ends, however it ends.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Makes the directory if needed (mode 0750) and takes the lock.
    ///
    /// # Errors
    /// See [`RunDirError`].
    pub fn take(path: &Path) -> Result<Self, RunDirError> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |error| RunDirError::Unusable { path, error }
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(path)
            .map_err(unusable(path))?;
        let file = path.join("dataplane.lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&file)
            .map_err(unusable(&file))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut text = String::new();
            let owner = lock
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            return Err(RunDirError::Taken {
                path: path.to_owned(),
                owner,
            });
        }
        let told = lock
            .set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        told.map_err(unusable(&file))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// A file of this directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Removes the socket of an instance that died without doing so; the lock says that none is alive.
    ///
    /// # Errors
    /// When something that is there cannot be removed.
    pub fn clear(&self, name: &str) -> Result<PathBuf, RunDirError> {
        let path = self.file(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RunDirError::Unusable { path, error })
            }
            _ => Ok(path),
        }
    }
}
