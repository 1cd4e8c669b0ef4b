//! How two processes come to share a mapping: each says who it is in 32 bytes, the dataplane adds the descriptors.
//!
//! ```text
//! byte   0        8         10     11         12         16           20        24        32
//!       +--------+---------+------+----------+----------+------------+---------+---------+
//!       | MAGIC  | version | role | reserved | to_data  | to_control | message | session |
//!       +--------+---------+------+----------+----------+------------+---------+---------+
//! ```
//!
//! Integers are little-endian, sizes are bytes. Magic, version and role keep their place in every version, so that
//! peers of different versions can tell each other so. The control plane speaks first and names the largest rings
//! that it will map; the dataplane answers with the rings that it has made and passes, with that answer alone
//! and by `SCM_RIGHTS`, the shared memory and the control plane's end of the bell for room in a ring. A dataplane that
//! refuses answers without descriptors and hangs up.

mod error;
mod hello;

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, recv,
    recvmsg, sendmsg,
};

pub use self::error::HandshakeError;
pub(crate) use self::error::failed;
use self::hello::{Hello, Role};
use crate::bell::{Bell, Deadline};
use crate::limits::{MESSAGE_BYTES, RING_BYTES_MAX};
use crate::ring::Layout;
use crate::shm::{Mapping, peer_credentials};
use crate::sizes::Sizes;
use crate::sockets;

/// Bytes of a hello.
const HELLO: usize = 32;

/// How long a peer may take for its part: the dataplane does nothing else meanwhile.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The process at the other end, as it was when it connected or listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProcess {
    /// Its number, 0 when it is in a PID namespace that is not visible from here, or the system does not tell it.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
}

impl PeerProcess {
    /// Who is at the other end of `socket`, if it may be there.
    pub(crate) fn admit(socket: BorrowedFd<'_>) -> Result<Self, HandshakeError> {
        let (pid, uid) = peer_credentials(socket).map_err(failed("ask for the peer's credentials"))?;
        let peer = Self { pid, uid };
        peer.check(rustix::process::geteuid().as_raw())
    }

    fn check(self, ours: u32) -> Result<Self, HandshakeError> {
        if self.uid == ours || self.uid == 0 {
            Ok(self)
        } else {
            Err(HandshakeError::Credentials { peer: self, ours })
        }
    }
}

/// Everything that a session is made of.
#[derive(Debug)]
pub(crate) struct SessionParts {
    pub(crate) peer: PeerProcess,
    /// The bell for records, and the connection whose end is the end of the session.
    pub(crate) socket: Bell,
    /// The bell for room.
    pub(crate) room: Bell,
    pub(crate) memory: Arc<Mapping>,
    pub(crate) layout: Layout,
    /// A random number that goes into each checksum.
    pub(crate) session: u64,
}

/// Memory and bell.
const DESCRIPTORS: usize = 2;

/// The dataplane's part, on a connection just accepted.
pub(crate) fn answer(socket: OwnedFd, sizes: Sizes) -> Result<SessionParts, HandshakeError> {
    let ours = own_hello(sizes)?;
    let checked = PeerProcess::admit(socket.as_fd()).and_then(|peer| {
        let mut bytes = [0; HELLO];
        receive_rest(socket.as_fd(), &mut bytes, 0, Deadline::after(Some(TIMEOUT)))?;
        let theirs = Hello::decode(&bytes, Role::Control)?;
        if theirs.to_data < ours.to_data || theirs.to_control < ours.to_control {
            return Err(theirs.impossible_sizes());
        }
        Ok(peer)
    });
    let peer = match checked {
        Ok(peer) => peer,
        Err(error) => {
            // So that the peer can tell its user what is here; if it is gone, nobody asks.
            let _ = send_hello(socket.as_fd(), &ours, &[]);
            return Err(error);
        }
    };
    let (link, memfd, their_room) = create(socket, peer, sizes, ours.session)?;
    send_hello(link.socket.as_fd(), &ours, &[memfd.as_fd(), their_room.as_fd()])?;
    Ok(link)
}

fn own_hello(sizes: Sizes) -> Result<Hello, HandshakeError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| HandshakeError::Io {
        what: "ask for random bytes",
        source: io::Error::other(error),
    })?;
    Ok(Hello {
        role: Role::Data,
        to_data: sizes.to_data,
        to_control: sizes.to_control,
        message: MESSAGE_BYTES as u32,
        session: u64::from_le_bytes(random),
    })
}

/// Makes the mapping and the bell; gives this side's link and what the other side gets.
fn create(
    socket: OwnedFd,
    peer: PeerProcess,
    sizes: Sizes,
    session: u64,
) -> Result<(SessionParts, OwnedFd, OwnedFd), HandshakeError> {
    let layout = sizes.layout().map_err(failed("lay out the rings"))?;
    let (memory, memfd) = Mapping::create(layout.words()).map_err(failed("create the shared memory"))?;
    let (room, their_room) = Bell::pair().map_err(failed("create a socket pair"))?;
    let (socket, room) = (Bell::new(socket), Bell::new(room));
    Ok((
        SessionParts {
            peer,
            socket,
            room,
            memory: Arc::new(memory),
            layout,
            session,
        },
        memfd,
        their_room,
    ))
}

/// The control plane's part, on a connection just made.
pub(crate) fn ask(socket: OwnedFd) -> Result<SessionParts, HandshakeError> {
    let peer = PeerProcess::admit(socket.as_fd())?;
    let limit = RING_BYTES_MAX;
    let message = MESSAGE_BYTES as u32;
    let ours = Hello {
        role: Role::Control,
        to_data: limit,
        to_control: limit,
        message,
        session: 0,
    };
    send_hello(socket.as_fd(), &ours, &[])?;
    let (bytes, descriptors) = receive_with_descriptors(socket.as_fd())?;
    let theirs = Hello::decode(&bytes, Role::Data)?;
    let layout = Layout::new(theirs.to_data, theirs.to_control).ok_or_else(|| theirs.impossible_sizes())?;
    let [memfd, room] =
        <[OwnedFd; DESCRIPTORS]>::try_from(descriptors).map_err(|descriptors| HandshakeError::Refused {
            found: descriptors.len(),
        })?;
    let memory = Mapping::open(memfd.as_fd(), layout.words()).map_err(failed("map the shared memory"))?;
    let (socket, room) = (Bell::new(socket), Bell::new(room));
    room.drain()
        .map_err(failed("try the bell that the dataplane passed"))?;
    Ok(SessionParts {
        peer,
        socket,
        room,
        memory: Arc::new(memory),
        layout,
        session: theirs.session,
    })
}

/// Both parts without a handshake, for two ends in one process.
pub(crate) fn pair(sizes: Sizes) -> Result<(SessionParts, SessionParts), HandshakeError> {
    let ours = own_hello(sizes)?;
    let (data, control) = Bell::pair().map_err(failed("create a socket pair"))?;
    let peer = PeerProcess::admit(data.as_fd())?;
    let (data, _, their_room) = create(data, peer, sizes, ours.session)?;
    let control = SessionParts {
        peer,
        socket: Bell::new(control),
        room: Bell::new(their_room),
        memory: Arc::clone(&data.memory),
        layout: data.layout,
        session: data.session,
    };
    Ok((control, data))
}

fn send_hello(
    socket: BorrowedFd<'_>,
    hello: &Hello,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), HandshakeError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let bytes = hello.encode();
    // 32 bytes fit the buffer of a fresh connection.
    match sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, sockets::SEND) {
        Ok(HELLO) => Ok(()),
        Ok(sent) => Err(HandshakeError::Timeout(sent)),
        Err(Errno::PIPE | Errno::CONNRESET) => Err(HandshakeError::HungUp(0)),
        Err(error) => Err(failed("send the handshake")(error)),
    }
}

/// The peer's hello and the descriptors that came with its first bytes.
fn receive_with_descriptors(socket: BorrowedFd<'_>) -> Result<([u8; HELLO], Vec<OwnedFd>), HandshakeError> {
    let deadline = Deadline::after(Some(TIMEOUT));
    let mut bytes = [0; HELLO];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        wait_readable(socket, 0, deadline)?;
        match recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            sockets::RECEIVE,
        ) {
            Ok(message) => break message.bytes,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Err(HandshakeError::HungUp(0)),
            Err(error) => return Err(failed("receive the handshake")(error)),
        }
    };
    if received == 0 {
        return Err(HandshakeError::HungUp(0));
    }
    receive_rest(socket, &mut bytes, received, deadline)?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
    for descriptor in &descriptors {
        sockets::received(descriptor).map_err(failed("keep what the dataplane passed"))?;
    }
    Ok((bytes, descriptors))
}

/// Reads on from `received` until the hello is whole, and no further: what follows are rings of the bell.
fn receive_rest(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8; HELLO],
    mut received: usize,
    deadline: Deadline,
) -> Result<(), HandshakeError> {
    while received < HELLO {
        wait_readable(socket, received, deadline)?;
        match recv(socket, &mut bytes[received..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Err(HandshakeError::HungUp(received)),
            Ok((_, n)) => received += n,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(failed("receive the handshake")(error)),
        }
    }
    Ok(())
}

fn wait_readable(socket: BorrowedFd<'_>, received: usize, deadline: Deadline) -> Result<(), HandshakeError> {
    match deadline.wait([(socket, PollFlags::IN)]) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(HandshakeError::Timeout(received)),
        Err(error) => Err(failed("wait for the peer")(error)),
    }
}

#[cfg(test)]
mod tests;
