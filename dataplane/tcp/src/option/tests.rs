use proptest::prelude::*;

use super::*;

const TIMES: Timestamps = Timestamps {
    value: 0x0102_0304,
    echo: 7,
};

#[test]
fn what_is_written_is_read() {
    let syn = TcpOptions::of(OptionBytes::of_syn(1_460, Some(9), true, Some(TIMES)).bytes());
    assert_eq!(
        (syn.mss, syn.scale, syn.sack_permitted),
        (Some(1_460), Some(9), true)
    );
    assert_eq!(syn.timestamps, Some(TIMES));
    let mut blocks = SackBlocks::default();
    for n in 0..6 {
        blocks.push(Seq(n), Seq(n + 1));
    }
    let with = TcpOptions::of(OptionBytes::of_segment(Some(TIMES), &blocks).bytes());
    assert_eq!((with.timestamps, with.sacks.len()), (Some(TIMES), 3));
    let without = OptionBytes::of_segment(None, &blocks);
    assert_eq!(
        (without.header_len(), TcpOptions::of(without.bytes()).sacks.len()),
        (56, 4)
    );
    assert_eq!(
        TcpOptions::of(OptionBytes::of_segment(Some(TIMES), &SackBlocks::default()).bytes()).timestamps,
        Some(TIMES)
    );
}

#[test]
fn a_scale_above_fourteen_is_fourteen() {
    assert_eq!(TcpOptions::of(&[3, 3, 200]).scale, Some(14));
}

#[test]
fn what_lies_about_its_length_ends_the_options_and_loses_nothing_before() {
    for rest in [&[8, 10, 0][..], &[8], &[8, 0, 1, 1], &[8, 1, 1, 1]] {
        let bytes = [&[2, 4, 5, 0xb4][..], rest].concat();
        let options = TcpOptions::of(&bytes);
        assert_eq!((options.mss, options.timestamps), (Some(1_460), None), "{rest:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_upset_it(bytes in proptest::collection::vec(any::<u8>(), 0..41)) {
        let options = TcpOptions::of(&bytes);
        prop_assert!(options.scale.is_none_or(|scale| scale <= MAX_SCALE));
    }
}
