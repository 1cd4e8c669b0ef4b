//! What can go wrong with a session.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::encoding::EncodeError;
use crate::limits::MESSAGE_BYTES;
use crate::record::Corruption;
use crate::transaction::TransactionError;

/// Why a session could not send or receive.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer closed the session or died. What it had sent before was received first.
    #[error("the peer is gone")]
    PeerGone,
    /// An earlier call closed the session and said why.
    #[error("the session is closed")]
    Closed,
    /// The ring stayed full. The session goes on, unless part of a message or transaction was sent already.
    #[error("the peer did not make room in the ring within {0:?}")]
    Timeout(Duration),
    /// The peer wrote what it must not.
    #[error("corrupt ring: {0}")]
    Corrupt(#[from] Corruption),
    /// Messages that do not make a transaction. Nothing was sent where this is a sender's error, and the session
    /// goes on.
    #[error("not a transaction: {0}")]
    Transaction(#[from] TransactionError),
    /// A message above [`MESSAGE_BYTES`]. Nothing was sent and the session goes on.
    #[error("{what} takes {bytes} bytes, more than the {MESSAGE_BYTES} of a message: make it smaller")]
    TooLarge {
        /// The object's key, or what else it is.
        what: String,
        /// Its encoded size.
        bytes: usize,
    },
    /// A message that cannot be encoded. Nothing was sent and the session goes on.
    #[error("a message does not encode: {0}")]
    Encode(postcard::Error),
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<EncodeError> for SessionError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::TooLarge(bytes) => Self::TooLarge {
                what: "a message".into(),
                bytes,
            },
            EncodeError::Encode(error) => Self::Encode(error),
        }
    }
}

/// Names what was attempted.
pub(super) fn io_failed(what: &'static str) -> impl FnOnce(io::Error) -> SessionError {
    move |source| SessionError::Io { what, source }
}
