//! A change of the state, whole or not at all.

use thiserror::Error;

use crate::encoding::PackedObject;
use crate::limits::{TRANSACTION_BYTES, TRANSACTION_OPERATIONS};
use crate::message::{Generation, Key, Object, ToData};

/// What a control plane publishes in one piece and a dataplane applies in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The state that it makes; larger than the one before it in this session, never 0.
    pub generation: Generation,
    /// Whether what it puts is the whole state, and what it does not put is gone.
    pub full: bool,
    /// In the order in which they apply.
    pub operations: Vec<Operation>,
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// As [`ToData::Put`].
    Put(Object),
    /// As [`ToData::Delete`].
    Delete(Key),
}

/// An [`Operation`] on an object that stands elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationRef<'a> {
    /// As [`Operation::Put`].
    Put(&'a Object),
    /// Likewise.
    PutPacked(&'a PackedObject),
    /// As [`Operation::Delete`].
    Delete(&'a Key),
}

impl<'a> From<&'a Operation> for OperationRef<'a> {
    fn from(operation: &'a Operation) -> Self {
        match operation {
            Operation::Put(object) => Self::Put(object),
            Operation::Delete(key) => Self::Delete(key),
        }
    }
}

/// Messages that do not make a transaction. A receiver closes the session, a sender is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// A `Put`, `Delete` or `Commit` without a `Begin`.
    #[error("{0} outside of a transaction")]
    NotBegun(&'static str),
    /// A `Begin` inside of a transaction.
    #[error("generation {begun} begins before generation {open} is committed")]
    NotCommitted {
        /// The open transaction.
        open: Generation,
        /// The one that begins.
        begun: Generation,
    },
    /// A generation that is not above the one before it.
    #[error("generation {found} after generation {last}: generations must grow, and 0 is the empty state")]
    Generation {
        /// Of the transaction.
        found: Generation,
        /// Of the last transaction of this session, 0 before the first.
        last: Generation,
    },
    /// `Begin` and `Commit` name different generations.
    #[error("generation {begun} is committed as {committed}")]
    CommitGeneration {
        /// In `Begin`.
        begun: Generation,
        /// In `Commit`.
        committed: Generation,
    },
    /// `Commit` counts other operations than came.
    #[error("generation {generation} has {found} operations, its commit says {expected}")]
    Count {
        /// Of the transaction.
        generation: Generation,
        /// Operations that came.
        found: usize,
        /// Operations that the commit counts.
        expected: u32,
    },
    /// More operations than [`TRANSACTION_OPERATIONS`].
    #[error("generation {0} has more than {TRANSACTION_OPERATIONS} operations")]
    Operations(Generation),
    /// More bytes than [`TRANSACTION_BYTES`].
    #[error("generation {0} has more than {TRANSACTION_BYTES} bytes")]
    Bytes(Generation),
}

/// Puts transactions together from messages. What is begun and never committed is never seen.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    open: Option<Transaction>,
    /// Encoded bytes of the open transaction's operations.
    bytes: usize,
    /// The generation committed last.
    last: Generation,
}

impl Collector {
    /// Takes a message of `bytes` encoded bytes; gives the transaction that it completes.
    pub(crate) fn take(
        &mut self,
        message: ToData,
        bytes: usize,
    ) -> Result<Option<Transaction>, TransactionError> {
        match message {
            ToData::Begin { generation, full } => self.begin(generation, full)?,
            ToData::Put(object) => self.operation("a Put", Operation::Put(object), bytes)?,
            ToData::Delete(key) => self.operation("a Delete", Operation::Delete(key), bytes)?,
            ToData::Commit {
                generation,
                operations,
            } => return self.commit(generation, operations).map(Some),
        }
        Ok(None)
    }

    fn begin(&mut self, generation: Generation, full: bool) -> Result<(), TransactionError> {
        if let Some(open) = &self.open {
            return Err(TransactionError::NotCommitted {
                open: open.generation,
                begun: generation,
            });
        }
        check_generation(generation, self.last)?;
        self.open = Some(Transaction {
            generation,
            full,
            operations: Vec::new(),
        });
        self.bytes = 0;
        Ok(())
    }

    fn operation(
        &mut self,
        what: &'static str,
        operation: Operation,
        bytes: usize,
    ) -> Result<(), TransactionError> {
        let open = self.open.as_mut().ok_or(TransactionError::NotBegun(what))?;
        if open.operations.len() == TRANSACTION_OPERATIONS {
            return Err(TransactionError::Operations(open.generation));
        }
        self.bytes += bytes;
        if self.bytes > TRANSACTION_BYTES {
            return Err(TransactionError::Bytes(open.generation));
        }
        open.operations.push(operation);
        Ok(())
    }

    fn commit(&mut self, committed: Generation, expected: u32) -> Result<Transaction, TransactionError> {
        let open = self.open.take().ok_or(TransactionError::NotBegun("a Commit"))?;
        let (generation, found) = (open.generation, open.operations.len());
        if generation != committed {
            return Err(TransactionError::CommitGeneration {
                begun: generation,
                committed,
            });
        }
        if found != expected as usize {
            return Err(TransactionError::Count {
                generation,
                found,
                expected,
            });
        }
        self.last = generation;
        Ok(open)
    }
}

/// Generations grow, so the first is at least 1.
pub(crate) fn check_generation(found: Generation, last: Generation) -> Result<(), TransactionError> {
    if found > last {
        Ok(())
    } else {
        Err(TransactionError::Generation { found, last })
    }
}
