//! Header compression (RFC 7541).

mod block;
mod decoder;
mod dynamic_table;
mod encoder;
#[cfg(any(test, feature = "harness"))]
pub(crate) mod fuzz;
mod huffman;
mod static_table;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::{NO_TABLE, field};

/// Why a block cannot be read, nor any behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompressionError(pub(crate) &'static str);

#[cfg(test)]
mod tests;
