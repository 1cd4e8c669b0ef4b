//! A port of the demo's own address, which nothing else uses: where sockets have no abstract names.

use std::{
    io::{self, Read},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    time::Duration,
};

const PORT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 10), 10_443);

/// A place that one process of this machine can have; the kernel takes it back when that process ends, whatever ended it.
pub(super) struct Name {
    _listener: TcpListener,
}

impl Name {
    /// Where the demo's addresses are not there, finding a port says what to do.
    pub(super) fn take() -> io::Result<Self> {
        let listener = match TcpListener::bind(PORT) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            }
            other => other,
        };
        Ok(Self { _listener: listener? })
    }
}

/// Until the other has ended, or for so long: it accepts nobody, and the kernel ends whoever waits for that with it.
pub(super) fn wait(time: Duration) {
    let Ok(mut stream) = TcpStream::connect(PORT) else {
        return;
    };
    if stream.set_read_timeout(Some(time)).is_ok() {
        // Whatever comes of it, the place is tried again.
        let _ = stream.read(&mut [0]);
    }
}
