use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// RFC 1071, section 1, word by word.
fn slow(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

#[test]
fn the_example_of_rfc_1071() {
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(fold(sum(&bytes)), 0xddf2);
    assert_eq!(checksum(&bytes), !0xddf2);
}

proptest! {
    #[test]
    fn as_word_by_word(bytes in vec(any::<u8>(), 0..80), zeroes in any::<bool>()) {
        let bytes = if zeroes { vec![0; bytes.len()] } else { bytes };
        prop_assert_eq!(checksum(&bytes), slow(&bytes));
        prop_assert_eq!(!fold(sum(&bytes)), slow(&bytes));
        prop_assert_eq!(is_right(&bytes), slow(&bytes) == 0);
    }

    #[test]
    fn sums_of_parts_add_up(bytes in vec(any::<u8>(), 2..80), at in any::<prop::sample::Index>()) {
        let (one, other) = bytes.split_at(at.index(bytes.len() / 2) * 2);
        prop_assert_eq!(!fold(sum(one) + sum(other)), slow(&bytes));
    }
}
