use proptest::prelude::*;

use super::*;

/// The first bytes of a record of application data.
fn record(length: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
    let mut bytes = vec![23, 3, 3, high, low];
    bytes.resize(HEADER + length, 0);
    bytes
}

#[test]
fn large_records_are_read_to_their_end_and_no_further() {
    let whole = record(16_401);
    assert_eq!(missing(&whole[..4096]), Some(HEADER + 16_401 - 4096));
    assert_eq!(missing(&whole[..whole.len() - 1]), Some(1));
    assert_eq!(missing(&whole), None);
    // The largest of TLS 1.2 is larger than what is read ahead.
    let largest = record(RECORD + 2048);
    assert_eq!(missing(&largest[..AHEAD]), Some(largest.len() - AHEAD));
}

#[test]
fn small_records_are_read_with_what_follows() {
    let whole = record(100);
    assert_eq!(missing(&[]), Some(AHEAD));
    assert_eq!(missing(&whole[..3]), Some(AHEAD - 3));
    assert_eq!(missing(&whole[..50]), Some(AHEAD - 50));
    let two = [&whole[..], &whole[..]].concat();
    assert_eq!(missing(&two), None);
}

/// Nobody waits for the rest of what is no record.
#[test]
fn what_is_no_record_is_not_waited_for() {
    for (at, byte) in [(0, 19), (0, b'G'), (1, 2), (3, 0x48)] {
        let mut bytes = record(1000)[..10].to_vec();
        assert!(missing(&bytes).is_some());
        bytes[at] = byte;
        assert_eq!(missing(&bytes), None, "{bytes:?}");
    }
}

#[test]
fn the_first_records_fill_a_segment_and_later_ones_all_that_they_may() {
    let of = |window| most((1448, window), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(of(10 * 1448), 1448 - 22);
    assert_eq!(of(20 * 1448), 2 * 1448 - 22);
    assert_eq!(of(80 * 1448), 10 * 1448 - 22);
    assert_eq!(of(1 << 20), RECORD);
    assert_eq!(most((1448, 14_480), Some(ProtocolVersion::TLSv1_2)), 1448 - 29);
    // Where segments are hardly larger than what a record has besides, nothing is won by filling them.
    assert_eq!(most((40, 400), Some(ProtocolVersion::TLSv1_3)), RECORD);
}

proptest! {
    /// A record with what it has besides ends with a segment, has no more than an eighth of the window unless it has one segment, and
    /// a larger window never makes it smaller.
    #[test]
    fn records_end_with_segments(segment in 88..9000_usize, window in 0..4_000_000_usize, more in 0..100_000_usize) {
        let of = |window| most((segment, window), Some(ProtocolVersion::TLSv1_3));
        let record = of(window);
        prop_assert!((1..=RECORD).contains(&record));
        if record < RECORD {
            prop_assert_eq!((record + 22) % segment, 0);
            prop_assert!(record + 22 == segment || (record + 22) * PART <= window);
        }
        prop_assert!(of(window + more) >= record);
    }

    /// Whatever comes, something is asked for or the library is to look; never more than one record beyond what is read ahead.
    #[test]
    fn what_is_missing_is_never_nothing(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Some(missing) = missing(&bytes) {
            prop_assert!((1..=HEADER + MOST).contains(&missing));
        }
    }
}
