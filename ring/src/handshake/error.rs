//! What can go wrong before there is a session.

use std::io;

use thiserror::Error;

use super::{DESCRIPTORS, HELLO, PeerProcess, TIMEOUT};

/// Why two processes did not come together. The connection is closed; another attempt may go better.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The peer runs as somebody else.
    #[error("the peer (pid {}, uid {}) is neither of uid {ours} nor root: run both planes as one user", .peer.pid, .peer.uid)]
    Credentials {
        /// Who it is.
        peer: PeerProcess,
        /// The user of this process.
        ours: u32,
    },
    /// Whoever is there does not speak this protocol.
    #[error("the other end of the socket is not Headgate: it began with {found:02x?}")]
    Magic {
        /// Its first eight bytes.
        found: [u8; 8],
    },
    /// Headgate of another version is there.
    #[error(
        "the peer speaks version {theirs} of the ring, this process version {ours}: run both planes from one release"
    )]
    Version {
        /// The version of the peer.
        theirs: u16,
        /// [`VERSION`](crate::message::VERSION).
        ours: u16,
    },
    /// Two processes of one role met.
    #[error("the peer has role {found}, not {expected} (1 is the control plane, 2 the dataplane)")]
    Role {
        /// The peer's.
        found: u8,
        /// What it should be.
        expected: u8,
    },
    /// The peer's sizes are not possible here.
    #[error("the peer's sizes do not fit: rings of {to_data} and {to_control} bytes, messages of {message}")]
    Sizes {
        /// Bytes of the ring to the dataplane.
        to_data: u32,
        /// Bytes of the ring to the control plane.
        to_control: u32,
        /// Largest message.
        message: u32,
    },
    /// The dataplane's answer came without the descriptors.
    #[error(
        "the dataplane refused the session (its log says why), passing {found} of {DESCRIPTORS} descriptors"
    )]
    Refused {
        /// How many descriptors came.
        found: usize,
    },
    /// The peer closed the connection during the handshake.
    #[error("the peer hung up after {0} of {HELLO} bytes of the handshake")]
    HungUp(usize),
    /// The peer said nothing, or not enough.
    #[error("the peer sent {0} of {HELLO} bytes of the handshake within {TIMEOUT:?}")]
    Timeout(usize),
}

/// Names what was attempted.
pub(crate) fn failed<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> HandshakeError {
    move |source| HandshakeError::Io {
        what,
        source: source.into(),
    }
}
