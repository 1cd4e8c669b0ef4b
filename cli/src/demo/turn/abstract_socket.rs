//! An abstract name of a Unix socket: Linux.

use std::{
    io::{self, Read},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    time::Duration,
};

const NAME: &str = "headgate-demo-on-loopback";

/// A name that one process of this machine can have; the kernel takes it back when that process ends, whatever ended it.
pub(super) struct Name {
    _listener: UnixListener,
}

impl Name {
    pub(super) fn take() -> io::Result<Self> {
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(NAME)?);
        Ok(Self { _listener: listener? })
    }
}

/// Until the other has ended, or for so long: it accepts nobody, and the kernel ends whoever waits for that with it.
pub(super) fn wait(time: Duration) {
    let other = SocketAddr::from_abstract_name(NAME).and_then(|name| UnixStream::connect_addr(&name));
    let Ok(mut stream) = other else {
        return;
    };
    if stream.set_read_timeout(Some(time)).is_ok() {
        // Whatever comes of it, the name is tried again.
        let _ = stream.read(&mut [0]);
    }
}
