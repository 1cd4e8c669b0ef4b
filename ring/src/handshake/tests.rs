use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::SendFlags;

use super::hello::MAGIC;
use super::*;
use crate::listener::{SessionListener, connect};
use crate::message::{ToControl, VERSION};

const LONG: Option<Duration> = Some(Duration::from_secs(30));

fn hello(role: Role, to_data: u32, to_control: u32) -> Hello {
    Hello {
        role,
        to_data,
        to_control,
        message: MESSAGE_BYTES as u32,
        session: 1,
    }
}

fn good_control() -> [u8; HELLO] {
    hello(Role::Control, RING_BYTES_MAX, RING_BYTES_MAX).encode()
}

fn changed(mut bytes: [u8; HELLO], at: usize, value: &[u8]) -> [u8; HELLO] {
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    (directory, path)
}

#[test]
fn a_hello_decodes_to_itself() {
    let ours = hello(Role::Data, 1 << 20, 1 << 16);
    let theirs = Hello::decode(&ours.encode(), Role::Data).unwrap();
    assert_eq!(
        (theirs.to_data, theirs.to_control, theirs.session),
        (1 << 20, 1 << 16, 1)
    );
}

/// What a listener says of one who speaks wrongly, and what that one gets.
fn refused(bytes: &[u8]) -> (HandshakeError, Vec<u8>) {
    let (_directory, path) = directory();
    let listener = SessionListener::bind(&path).unwrap();
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.write_all(bytes).unwrap();
    if bytes.len() < HELLO {
        peer.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let error = listener.accept(LONG).unwrap_err();
    let mut answer = Vec::new();
    peer.take(HELLO as u64).read_to_end(&mut answer).unwrap();
    // The listener is none the worse for it.
    let good = thread::spawn(move || connect(&path).unwrap());
    let mut session = listener.accept(LONG).unwrap().unwrap();
    session.send(&ToControl::Ack { generation: 1 }, LONG).unwrap();
    assert!(good.join().unwrap().receive(LONG).unwrap().is_some());
    (error, answer)
}

#[test]
fn a_listener_refuses_who_speaks_wrongly_and_says_what_it_is() {
    let (error, answer) = refused(b"GET / HTTP/1.1\r\nHost: headgate.example\r\n");
    assert!(
        matches!(error, HandshakeError::Magic { found } if &found == b"GET / HT"),
        "{error}"
    );
    assert_eq!(answer[..10], [&MAGIC[..], &VERSION.to_le_bytes()].concat());

    let (error, answer) = refused(&changed(good_control(), 8, &9u16.to_le_bytes()));
    assert!(
        matches!(
            error,
            HandshakeError::Version {
                theirs: 9,
                ours: VERSION
            }
        ),
        "{error}"
    );
    assert_eq!(answer.len(), HELLO);

    let (error, _) = refused(&hello(Role::Data, 1 << 20, 1 << 16).encode());
    assert!(
        matches!(
            error,
            HandshakeError::Role {
                found: 2,
                expected: 1
            }
        ),
        "{error}"
    );
    let (error, _) = refused(&changed(good_control(), 20, &1u32.to_le_bytes()));
    assert!(
        matches!(error, HandshakeError::Sizes { message: 1, .. }),
        "{error}"
    );
    let (error, _) = refused(&changed(good_control(), 11, &[1]));
    assert!(matches!(error, HandshakeError::Sizes { .. }), "{error}");
    // One that would map no ring as large as those that the listener makes.
    let (error, _) = refused(&hello(Role::Control, 1 << 19, RING_BYTES_MAX).encode());
    assert!(
        matches!(
            error,
            HandshakeError::Sizes {
                to_data: 0x8_0000,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_listener_notices_one_who_leaves_at_any_byte() {
    for length in 0..HELLO {
        let (error, _) = refused(&good_control()[..length]);
        assert!(
            matches!(error, HandshakeError::HungUp(n) if n == length),
            "{error}"
        );
    }
}

#[test]
fn one_who_is_silent_holds_the_listener_up_for_half_a_second_only() {
    let (_directory, path) = directory();
    let listener = SessionListener::bind(&path).unwrap();
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.write_all(&good_control()[..7]).unwrap();
    let error = listener.accept(LONG).unwrap_err();
    assert!(matches!(error, HandshakeError::Timeout(7)), "{error}");
}

/// What a control plane says of a dataplane that answers with `bytes` and `descriptors`.
fn answered(bytes: [u8; HELLO], descriptors: &[BorrowedFd<'_>]) -> Result<SessionParts, HandshakeError> {
    let (_directory, path) = directory();
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(crate::socket_file::connect(&path).unwrap()));
        let (mut socket, _) = listener.accept().unwrap();
        socket.read_exact(&mut [0; HELLO]).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(5))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty()).unwrap();
        asking.join().unwrap()
    })
}

/// What it says, when it must not be content.
fn answered_wrongly(bytes: [u8; HELLO], descriptors: &[BorrowedFd<'_>]) -> String {
    answered(bytes, descriptors).unwrap_err().to_string()
}

fn good_data() -> [u8; HELLO] {
    hello(Role::Data, 4096, 4096).encode()
}

/// A memfd of so many bytes with these seals.
fn memfd(bytes: u64, seals: SealFlags) -> OwnedFd {
    let file = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&file, bytes).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file
}

#[test]
fn a_control_plane_checks_the_answer() {
    let wrong = |bytes| answered_wrongly(bytes, &[]);
    assert!(wrong(*b"HTTP/1.1 200 OK\r\nContent-Length:").contains("is not Headgate"));
    let other = format!("version 1 of the ring, this process version {VERSION}");
    assert!(wrong(changed(good_data(), 8, &1u16.to_le_bytes())).contains(&other));
    assert!(wrong(good_control()).contains("role 1, not 2"));
    assert!(wrong(hello(Role::Data, 4097, 4096).encode()).contains("do not fit"));
    assert!(wrong(hello(Role::Data, 4096, 0).encode()).contains("do not fit"));
    assert!(wrong(hello(Role::Data, 1 << 31, 4096).encode()).contains("do not fit"));
    assert!(wrong(good_data()).contains("refused the session"));
}

#[test]
fn a_control_plane_checks_what_is_passed() {
    let size = 4096 * 3;
    let good = memfd(size, SealFlags::SHRINK);
    let (bell, _other_end) = Bell::pair().unwrap();
    answered(good_data(), &[good.as_fd(), bell.as_fd()]).unwrap();

    let wrong =
        |memory: &OwnedFd, bell: &OwnedFd| answered_wrongly(good_data(), &[memory.as_fd(), bell.as_fd()]);
    if cfg!(not(feature = "portable")) {
        assert!(wrong(&memfd(size, SealFlags::GROW), &bell).contains("not sealed against shrinking"));
    }
    assert!(wrong(&memfd(size - 1, SealFlags::SHRINK), &bell).contains("12287 bytes, not 1536 words"));
    assert!(wrong(&memfd(size * 2, SealFlags::SHRINK), &bell).contains("24576 bytes"));
    assert!(
        wrong(&memfd(size, SealFlags::SHRINK | SealFlags::WRITE), &bell).contains("map the shared memory")
    );
    assert!(wrong(&bell, &good).contains("map the shared memory"));
    assert!(wrong(&good, &good).contains("try the bell"));
    let one = answered(good_data(), &[good.as_fd()]).unwrap_err();
    assert!(matches!(one, HandshakeError::Refused { found: 1 }), "{one}");
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    let good = memfd(4096 * 3, SealFlags::SHRINK);
    let (bell, _other_end) = Bell::pair().unwrap();
    let (extra, extra_peer) = Bell::pair().unwrap();
    let link = answered(good_data(), &[good.as_fd(), bell.as_fd(), extra.as_fd()]);
    drop((link, extra));
    assert_eq!(
        Bell::new(extra_peer).drain().unwrap(),
        crate::bell::Connected::HungUp
    );
}

#[test]
fn other_users_are_not_admitted_and_root_is() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let ours = rustix::process::geteuid().as_raw();
    assert_eq!(
        PeerProcess::admit(socket.as_fd()).unwrap(),
        PeerProcess {
            pid: std::process::id() as i32,
            uid: ours
        }
    );
    let other = PeerProcess {
        pid: 7,
        uid: ours + 1,
    };
    let error = other.check(ours).unwrap_err().to_string();
    assert!(
        error.contains(&format!("uid {}) is neither of uid {ours} nor root", ours + 1)),
        "{error}"
    );
    PeerProcess { pid: 0, uid: 0 }.check(1000).unwrap();
    PeerProcess { pid: 0, uid: 1000 }.check(1000).unwrap();
}
