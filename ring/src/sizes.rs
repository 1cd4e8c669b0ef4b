//! How large the rings are.

use std::io;

use crate::limits::{RING_BYTES_MAX, RING_BYTES_MIN};
use crate::ring::Layout;

/// Sizes of the two rings in bytes, each a power of two from [`RING_BYTES_MIN`] to [`RING_BYTES_MAX`]. They bound
/// what is under way, not the size of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The ring that the control plane writes.
    pub to_data: u32,
    /// The ring that the dataplane writes.
    pub to_control: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            to_data: 1 << 20,
            to_control: 1 << 16,
        }
    }
}

impl Sizes {
    pub(crate) fn layout(self) -> io::Result<Layout> {
        Layout::new(self.to_data, self.to_control).ok_or_else(|| {
            let text =
                format!("{self:?}: a power of two from {RING_BYTES_MIN} to {RING_BYTES_MAX} is due for each");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })
    }
}
