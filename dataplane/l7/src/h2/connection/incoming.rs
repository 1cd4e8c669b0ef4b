//! What comes of a connection, as far as it is here.

use crate::h2::frame::ErrorCode;
use crate::h2::head::{RequestSection, ResponseSection, TrailerSection};

/// What is there only in part.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The preface has come, and the SETTINGS behind it.
    pub(super) greeted: bool,
    pub(super) settled: bool,
    pub(super) block: Option<HeaderBlock>,
    pub(super) data: Option<DataRest>,
    /// Numbers of streams that were reset by us, the last of them.
    pub(super) reset: Vec<u32>,
}

/// What has come.
#[derive(Debug)]
pub(crate) enum Received {
    /// Nothing more until more bytes come.
    Nothing,
    /// A request's fields; whether nothing follows them.
    Request(u32, bool),
}

/// Room for the fields of the block that is read.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    pub(crate) request: RequestSection,
    pub(super) response: ResponseSection,
    pub(super) trailers: TrailerSection,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost(pub(crate) ErrorCode, pub(crate) &'static str);

/// What a frame came to.
pub(super) type Taken = Result<Option<Received>, Lost>;

impl Incoming {
    /// A pod sends no preface.
    pub(super) fn of_pod() -> Self {
        Self {
            greeted: true,
            ..Self::default()
        }
    }

    pub(super) fn is_within_head(&self) -> bool {
        !self.settled || self.block.is_some()
    }
}

/// A header block of which more is to come.
#[derive(Debug)]
pub(super) struct HeaderBlock {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) bytes: Vec<u8>,
}

/// What is left of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataRest {
    pub(super) stream: u32,
    /// Bytes of data, and of padding behind them.
    pub(super) data: usize,
    pub(super) padding: usize,
    pub(super) ends: bool,
}
