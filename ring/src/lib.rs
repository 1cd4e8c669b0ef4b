//! The contract between Headgate's planes: the [messages](message) that cross from one process to the other,
//! and the shared-memory [session] that carries them.
//!
//! Each module rests on the ones before it: `shm` is memory that two processes share, `record` the form of
//! what lies in it, `ring` a queue of records with one writer and one reader, `bell` wakes the other side,
//! `handshake` and `listener` bring two processes together, `session` sends and receives whole messages and
//! transactions.
//! `docs/ring.md` has the picture.
//!
//! The peer is not trusted. Nothing it writes to the shared memory or to the sockets makes this side panic,
//! block beyond the caller's timeout, read outside of the mapping or allocate beyond the limits of [`limits`].
#![deny(unsafe_code)]

mod bell;
mod encoding;
mod handshake;
#[cfg(any(test, feature = "harness"))]
#[doc(hidden)]
pub mod harness;
pub mod limits;
mod listener;
pub mod message;
pub mod path;
mod record;
mod ring;
mod run_dir;
pub mod session;
#[cfg(not(all(test, loom)))]
mod shm;
#[cfg(all(test, loom))]
#[path = "shm_loom.rs"]
mod shm;
mod sizes;
mod socket_file;
#[cfg_attr(
    all(target_os = "linux", not(feature = "portable")),
    path = "sockets/at_once.rs"
)]
#[cfg_attr(
    any(not(target_os = "linux"), feature = "portable"),
    path = "sockets/in_steps.rs"
)]
mod sockets;
mod thread_bell;
mod transaction;

pub use encoding::{EncodeError, PackedObject};
pub use handshake::{HandshakeError, PeerProcess};
pub use listener::{SessionListener, connect, pair, pair_with};
pub use record::Corruption;
pub use run_dir::default_run_dir;
pub use session::{ControlSession, DataSession, HangUp, Session, SessionError, put_bytes};
pub use sizes::Sizes;
pub use thread_bell::ThreadBell;
pub use transaction::{Operation, OperationRef, Transaction, TransactionError};
