//! Blocks, as bytes.

mod appendix;
mod bounds;

use proptest::prelude::*;

use super::fuzz::{self, reference};
use super::{CompressionError, Decoder};

/// Fields of a block, as text.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, CompressionError> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    decoder.decode(block, |name, value| fields.push((text(name), text(value))))?;
    Ok(fields)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

/// Some of an entry's bytes: a representation, and strings that may be coded.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        prop::sample::select(&["", "a", "cookie", "x-header-field", "text/html; charset=utf-8"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..60),
    ];
    let string = (text, any::<bool>()).prop_map(|(text, coded)| {
        let (text, kind) = if coded {
            (reference::pack(&text), 0x80)
        } else {
            (text, 0)
        };
        [
            &[kind | text.len().min(126) as u8][..],
            &text[..text.len().min(126)],
        ]
        .concat()
    });
    let named = (
        prop::sample::select(&[0x00_u8, 0x10, 0x40, 0x40, 0x40][..]),
        string.clone(),
        string.clone(),
    );
    let indexed = (prop::sample::select(&[0x00_u8, 0x10, 0x40][..]), 1..15_u8, string);
    prop_oneof![
        4 => named.prop_map(|(kind, name, value)| [&[kind][..], &name, &value].concat()),
        // Indices of either table: up to 14, or to 62 and those behind it by a second byte.
        2 => indexed.prop_map(|(kind, index, value)| [&[kind | index][..], &value].concat()),
        1 => (0..60_u8, any::<bool>()).prop_map(|(more, kept)| {
            let first = if kept { [0x7f, more % 10] } else { [0x0f, more] };
            [&first[..], &[1, b'v']].concat()
        }),
        3 => (0x80..=0xff_u8).prop_map(|first| if first == 0xff { vec![first, 3] } else { vec![first] }),
        1 => (0x20..=0x3f_u8, 0..3_u8).prop_map(|(first, more)| if first == 0x3f { vec![first, more] } else { vec![first] }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn blocks_mean_what_a_slow_decoder_takes_them_for(
        limit in any::<u8>(),
        blocks in prop::collection::vec(prop::collection::vec(part(), 0..8), 1..12),
    ) {
        let mut data = vec![limit];
        for block in blocks {
            // A block of more than 255 bytes is several, some of which begin within a field.
            for piece in block.concat().chunks(255) {
                data.push(piece.len() as u8);
                data.extend_from_slice(piece);
            }
        }
        fuzz::fuzz(&data);
    }

    #[test]
    fn any_bytes_mean_the_same(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::fuzz(&data);
    }
}

#[test]
fn every_byte_has_its_code_and_all_pairs_are_told_apart() {
    for one in 0..=255_u8 {
        for other in 0..=255_u8 {
            let text = [one, other, one];
            let mut decoded = Vec::new();
            assert_eq!(
                super::huffman::decode(&reference::pack(&text), &mut decoded),
                Ok(())
            );
            assert_eq!(decoded, text);
        }
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_mean_the_same() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/hpack");
    let mut count = 0;
    for seed in std::fs::read_dir(seeds).unwrap() {
        fuzz::fuzz(&std::fs::read(seed.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 5, "there are {count} seeds");
}
