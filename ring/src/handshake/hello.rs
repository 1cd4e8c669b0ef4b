//! The 32 bytes with which each side says who it is.

use super::{HELLO, HandshakeError};
use crate::limits::MESSAGE_BYTES;
use crate::message::VERSION;

pub(crate) const MAGIC: [u8; 8] = *b"HEADGATE";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Control = 1,
    Data = 2,
}

/// The 32 bytes, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello {
    pub(crate) role: Role,
    pub(crate) to_data: u32,
    pub(crate) to_control: u32,
    pub(crate) message: u32,
    pub(crate) session: u64,
}

impl Hello {
    pub(crate) fn encode(&self) -> [u8; HELLO] {
        let mut bytes = [0; HELLO];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = self.role as u8;
        bytes[12..16].copy_from_slice(&self.to_data.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.to_control.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.message.to_le_bytes());
        bytes[24..].copy_from_slice(&self.session.to_le_bytes());
        bytes
    }

    /// Checks everything but the sizes of the rings, which mean different things in the two directions.
    pub(crate) fn decode(bytes: &[u8; HELLO], role: Role) -> Result<Self, HandshakeError> {
        let found = array(bytes, 0);
        if found != MAGIC {
            return Err(HandshakeError::Magic { found });
        }
        let theirs = u16::from_le_bytes(array(bytes, 8));
        if theirs != VERSION {
            return Err(HandshakeError::Version {
                theirs,
                ours: VERSION,
            });
        }
        if bytes[10] != role as u8 {
            return Err(HandshakeError::Role {
                found: bytes[10],
                expected: role as u8,
            });
        }
        let [to_data, to_control, message] = [12, 16, 20].map(|at| u32::from_le_bytes(array(bytes, at)));
        let hello = Self {
            role,
            to_data,
            to_control,
            message,
            session: u64::from_le_bytes(array(bytes, 24)),
        };
        if message as usize != MESSAGE_BYTES || bytes[11] != 0 {
            return Err(hello.impossible_sizes());
        }
        Ok(hello)
    }

    pub(crate) fn impossible_sizes(&self) -> HandshakeError {
        HandshakeError::Sizes {
            to_data: self.to_data,
            to_control: self.to_control,
            message: self.message,
        }
    }
}

fn array<const N: usize>(bytes: &[u8; HELLO], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}
