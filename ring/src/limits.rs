//! Bounds that both planes keep. What exceeds one is refused by the sender before anything is written, and
//! closes the session where a receiver meets it.

/// Bytes of one encoded message. The largest are policies: about 7 bytes for an IPv4 block, 19 for an IPv6 one, 17 for a
/// group.
pub const MESSAGE_BYTES: usize = 4 << 20;

/// Bytes of all encoded operations of a transaction. A whole state is one transaction: 50,000 pods in 60 groups each take
/// 60 MiB, most of it the names of the groups.
pub const TRANSACTION_BYTES: usize = 256 << 20;

/// Operations of a transaction.
pub const TRANSACTION_OPERATIONS: usize = 1 << 20;

/// Smallest ring, in bytes: one page.
pub const RING_BYTES_MIN: u32 = 4 << 10;

/// Largest ring, in bytes.
pub const RING_BYTES_MAX: u32 = 64 << 20;

/// Most backends of a [`Service`](crate::message::Service): a Maglev table of 4,194,301 entries has 100 for each.
pub const SERVICE_BACKENDS: usize = 41_943;
