//! The file by which a control plane finds its dataplane.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, bind, listen};

use crate::handshake::{HandshakeError, failed};
use crate::sockets;

/// Control planes that may knock while one is in its handshake.
const BACKLOG: i32 = 8;

/// A listening socket and its file, which goes with it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the file, to tell it from one that replaced it.
    identity: (u64, u64),
}

impl SocketFile {
    pub(crate) fn bind(path: &Path) -> Result<Self, HandshakeError> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("create the run directory"))?;
        // Two dataplanes that start at once must not both take the file for stale.
        let lock = File::open(directory).map_err(failed("open the run directory"))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(failed("lock the run directory"))?;
        remove_stale(path).map_err(failed("take over the control socket"))?;
        let socket = sockets::new().map_err(failed("create a socket"))?;
        let address = SocketAddrUnix::new(path).map_err(failed("name the control socket"))?;
        bind(&socket, &address).map_err(failed("bind the control socket"))?;
        // Before it listens, so that at no time anyone else can connect.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(failed("set the mode of the control socket"))?;
        listen(&socket, BACKLOG).map_err(failed("listen on the control socket"))?;
        let metadata = fs::symlink_metadata(path).map_err(failed("look at the control socket"))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// A connection that waits to be accepted.
    pub(crate) fn try_accept(&self) -> Result<Option<OwnedFd>, HandshakeError> {
        match sockets::accept(&self.socket) {
            Ok(socket) => Ok(Some(socket)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(failed("accept a control plane")(error)),
        }
    }
}

impl AsFd for SocketFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| ours(&metadata)) {
            // Left behind it would be found stale by the next dataplane.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket of a dataplane that is gone.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            let text = format!(
                "{} is not a socket: remove it or choose another run directory",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        // It answers, or its backlog is full.
        Ok(_) | Err(_) => {
            let text = format!(
                "another dataplane listens on {}: stop it or choose another run directory",
                path.display()
            );
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}

/// A connection to whoever listens at `path`, without waiting.
pub(crate) fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = sockets::new()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}
