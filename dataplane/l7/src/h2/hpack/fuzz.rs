//! What the fuzz target and the property tests run on arbitrary bytes.

pub(super) mod reference;

use super::{Decoder, field, huffman};
use reference::{Pair, Reference};

/// Reads bytes as the blocks of a connection: they mean what a slow decoder takes them for, and what is written of them means
/// the same.
///
/// # Panics
/// Where something in this module does not keep its contract: that is a bug.
pub fn fuzz(data: &[u8]) {
    let [limit, rest @ ..] = data else { return };
    of_string(&rest[..rest.len().min(100)]);
    let limit = [4_096, 0, 100, 256, 1_000, 16_384][usize::from(limit % 6)];
    let (mut decoder, mut reference) = (Decoder::new(limit), Reference::new(limit));
    let mut rest = rest;
    while let [length, behind @ ..] = rest {
        let (block, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        let mut fields: Vec<Pair> = Vec::new();
        let good = decoder.decode(block, |name, value| fields.push((name.to_vec(), value.to_vec())));
        let wanted = reference.decode(block);
        assert_eq!((&fields, good.is_ok()), (&wanted.0, wanted.1), "{good:?}");
        assert_eq!(decoder.size(), reference.size());
        assert!(
            decoder.memory() <= memory_of(limit),
            "{} bytes of memory",
            decoder.memory()
        );
        if good.is_err() {
            return;
        }
        rewritten(&fields);
    }
}

/// What a decoder has at most between blocks: bytes and places of entries, and room for strings.
fn memory_of(limit: usize) -> usize {
    limit + limit / 32 * 24 + 64 + (1 << 10)
}

/// Fields are the same when they were written and read again, but for the case of names.
fn rewritten(fields: &[Pair]) {
    let (mut block, mut again) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        field(name, value, &mut block);
    }
    let mut decoder = Decoder::new(0);
    let read = decoder.decode(&block, |name, value| again.push((name.to_vec(), value.to_vec())));
    assert_eq!(read, Ok(()));
    let lower = fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    assert_eq!(again, lower.collect::<Vec<_>>());
    // Nothing of it needs a table.
    assert_eq!(decoder.size(), 0);
}

/// Bytes mean the same as a coded string, and are the same when they were coded.
fn of_string(bytes: &[u8]) {
    let mut text = Vec::new();
    let good = huffman::decode(bytes, &mut text);
    let wanted = reference::unpack(bytes);
    assert_eq!(good.ok().map(|()| text), wanted);
    let mut again = Vec::new();
    assert_eq!(huffman::decode(&reference::pack(bytes), &mut again), Ok(()));
    assert_eq!(again, bytes);
}
