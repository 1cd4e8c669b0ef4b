//! Messages as they cross the ring.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::limits::MESSAGE_BYTES;
use crate::message::{Generation, Key, Object, ToData};

/// An object in the form in which it is sent: a tenth of what its parts take in memory, and sent as it is. Two are equal
/// if their objects are, since an object has one form.
#[derive(Clone)]
pub struct PackedObject(Bytes);

#[derive(Clone)]
enum Bytes {
    Plain(Arc<[u8]>),
    /// With a private key: wiped when nobody has them any more.
    Secret(Arc<Zeroizing<Vec<u8>>>),
}

impl PackedObject {
    /// Packs an object.
    ///
    /// # Errors
    ///
    /// It is too large to be sent.
    pub fn of(object: &Object) -> Result<Self, EncodeError> {
        let bytes = encode(&ToDataRef::Put(object))?;
        Ok(Self(match object {
            Object::Certificate(_) => Bytes::Secret(Arc::new(bytes)),
            _ => Bytes::Plain(Arc::from(bytes.as_slice())),
        }))
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> Object {
        match postcard::from_bytes(self.message()) {
            Ok(ToData::Put(object)) => object,
            _ => unreachable!("what was packed is an object"),
        }
    }

    /// The message that puts it.
    pub(crate) fn message(&self) -> &[u8] {
        match &self.0 {
            Bytes::Plain(bytes) => bytes,
            Bytes::Secret(bytes) => bytes,
        }
    }
}

impl PartialEq for PackedObject {
    fn eq(&self, other: &Self) -> bool {
        self.message() == other.message()
    }
}

impl Eq for PackedObject {}

impl fmt::Debug for PackedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object().fmt(f)
    }
}

/// [`ToData`] by reference, so that a transaction is sent without a copy of its objects (and of their keys).
/// Variants stand in the same order, since the encoding numbers them; a test compares the bytes.
#[derive(Serialize)]
pub(crate) enum ToDataRef<'a> {
    Begin { generation: Generation, full: bool },
    Put(&'a Object),
    Delete(&'a Key),
    Commit { generation: Generation, operations: u32 },
}

/// Why a message cannot be sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It is above [`MESSAGE_BYTES`].
    #[error("a message takes {0} bytes, more than {MESSAGE_BYTES}: make it smaller")]
    TooLarge(usize),
    /// It has no form.
    #[error("a message does not encode: {0}")]
    Encode(postcard::Error),
}

/// The bytes that a message takes.
pub(crate) fn encoded_size<T: Serialize>(message: &T) -> Result<usize, EncodeError> {
    postcard::experimental::serialized_size(message).map_err(EncodeError::Encode)
}

/// The size is known before the bytes are written: growing would leave copies of a private key behind.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Zeroizing<Vec<u8>>, EncodeError> {
    let bytes = encoded_size(message)?;
    if bytes > MESSAGE_BYTES {
        return Err(EncodeError::TooLarge(bytes));
    }
    let buffer = Vec::with_capacity(bytes);
    postcard::to_extend(message, buffer)
        .map(Zeroizing::new)
        .map_err(EncodeError::Encode)
}
