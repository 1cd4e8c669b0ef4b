//! Fields of blocks (RFC 7541, sections 3 and 6).

use super::CompressionError;
use super::block::{Block, StringPlace};
use super::dynamic_table::DynamicTable;
use super::static_table::ENTRIES;

/// More than this of the room for strings is given back after a block.
const KEPT: usize = 1 << 10;

/// Reads the blocks of one direction of a connection, in the order in which they come.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: DynamicTable,
    /// Strings that were coded.
    scratch: Vec<u8>,
}

impl Decoder {
    /// The peer's table has `max_table_size` at most, as SETTINGS_HEADER_TABLE_SIZE has it: 4,096 until the peer has acknowledged
    /// something else.
    pub(crate) fn new(max_table_size: usize) -> Self {
        Self {
            table: DynamicTable::new(max_table_size),
            scratch: Vec::new(),
        }
    }

    /// Gives each name and value of a whole block to `field`, which takes or leaves them: the table is right afterwards in any
    /// case. What a field refers to is not copied for that, so a block may give many times its bytes: `field` counts.
    ///
    /// # Errors
    /// The connection cannot go on (RFC 9113, section 4.3: COMPRESSION_ERROR).
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), CompressionError> {
        let decoded = self.fields(Block(block), &mut field);
        if self.scratch.capacity() > KEPT {
            self.scratch = Vec::new();
        }
        decoded
    }

    fn fields(
        &mut self,
        mut block: Block<'_>,
        field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), CompressionError> {
        // Section 4.2: only at the begin of a block.
        while let [0x20..=0x3f, ..] = block.0 {
            let size = block.integer(5)?;
            if !self.table.resize(size) {
                return Err(CompressionError("the table is to be larger than it may be"));
            }
        }
        while let [first, ..] = block.0 {
            match first {
                0x80.. => {
                    let (name, value) = self.get(block.integer(7)?)?;
                    field(name, value);
                }
                0x40..=0x7f => self.literal(&mut block, 6, true, field)?,
                0x20..=0x3f => return Err(CompressionError("a table's size changes within a block")),
                // What is never indexed by anybody (section 6.2.3) is what is not indexed here.
                0x00..=0x1f => self.literal(&mut block, 4, false, field)?,
            }
        }
        Ok(())
    }

    /// A field of which at least the value is spelt out; whether it is `kept` in the table.
    fn literal(
        &mut self,
        block: &mut Block<'_>,
        prefix: u32,
        kept: bool,
        field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), CompressionError> {
        self.scratch.clear();
        let name = match block.integer(prefix)? {
            0 => block.string(&mut self.scratch)?,
            index if index <= ENTRIES.len() => StringPlace::Here(ENTRIES[index - 1].0),
            index => {
                let (name, _) = dynamic(&self.table, index)?;
                // Its entry may have to go for the new one (section 4.4).
                self.scratch.extend_from_slice(name);
                StringPlace::Scratch(0..name.len())
            }
        };
        let value = block.string(&mut self.scratch)?;
        let (name, value) = (name.of(&self.scratch), value.of(&self.scratch));
        field(name, value);
        if kept {
            self.table.insert(name, value);
        }
        Ok(())
    }

    /// The entry of an index (section 2.3.3).
    fn get(&self, index: usize) -> Result<(&[u8], &[u8]), CompressionError> {
        match index {
            1..=61 => Ok(ENTRIES[index - 1]),
            _ => dynamic(&self.table, index),
        }
    }

    /// The table's size.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn size(&self) -> usize {
        self.table.size()
    }

    /// Bytes of memory that it holds.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.scratch.capacity()
    }
}

/// As [`Decoder::get`], of an index behind the static table.
fn dynamic(table: &DynamicTable, index: usize) -> Result<(&[u8], &[u8]), CompressionError> {
    let place = index.checked_sub(ENTRIES.len() + 1);
    place
        .and_then(|place| table.get(place))
        .ok_or(CompressionError("there is no entry of an index"))
}
