use proptest::prelude::*;

use super::*;
use crate::harness::{self, Honest, Hostile, Input};
use crate::limits::RING_BYTES_MIN;

/// A ring of the smallest size.
fn ring() -> (RingWriter, Reader) {
    let layout = Layout::new(RING_BYTES_MIN, RING_BYTES_MIN).unwrap();
    let memory = Arc::new(Mapping::create(layout.words()).unwrap().0);
    (
        layout.writer(Arc::clone(&memory), Towards::ToControl, 9),
        layout.reader(memory, Towards::ToControl, 9),
    )
}

fn message(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + length) as u8).collect()
}

/// Writes a message for which there is room.
fn write(writer: &mut RingWriter, message: &[u8]) {
    let mut sent = 0;
    while sent < message.len() {
        let taken = writer.write(sent == 0, &message[sent..]).unwrap();
        assert_ne!(taken, 0);
        sent += taken;
    }
}

#[test]
fn every_size_passes_at_every_place() {
    let (mut writer, mut reader) = ring();
    for length in (1..3300).chain((1..3300).rev()) {
        let sent = message(length);
        write(&mut writer, &sent);
        assert_eq!(reader.read().unwrap().unwrap().as_slice(), sent);
        assert_eq!(reader.read().unwrap(), None);
    }
}

#[test]
fn a_full_ring_takes_nothing_until_there_is_room_for_the_whole_record() {
    let (mut writer, mut reader) = ring();
    // 3 + 5 words: 64 of them fill 512 words.
    let sent = message(40);
    for _ in 0..64 {
        assert_eq!(writer.write(true, &sent).unwrap(), 40);
    }
    assert_eq!(writer.write(true, &[1]).unwrap(), 0);
    assert_eq!(reader.read().unwrap().unwrap().as_slice(), sent);
    assert_eq!(writer.write(true, &message(41)).unwrap(), 0);
    assert_eq!(writer.write(true, &sent).unwrap(), 40);
    for _ in 0..64 {
        assert_eq!(reader.read().unwrap().unwrap().as_slice(), sent);
    }
    assert_eq!(reader.read().unwrap(), None);
}

#[test]
fn layouts_have_two_powers_of_two_within_the_limits() {
    for (bytes, possible) in [
        (0, false),
        (2048, false),
        (4096, true),
        (4097, false),
        (12288, false),
        (1 << 26, true),
    ] {
        assert_eq!(Layout::new(bytes, 4096).is_some(), possible, "{bytes}");
        assert_eq!(Layout::new(4096, bytes).is_some(), possible, "{bytes}");
    }
    assert_eq!(Layout::new(1 << 27, 4096), None);
    assert_eq!(Layout::new(8192, 4096).unwrap().words(), 512 + 1024 + 512);
}

#[test]
fn every_flipped_bit_of_a_record_is_an_error() {
    // 61 bytes: the last word is padded, and the padding counts too.
    let (sent, words) = (message(61), HEADER as u64 + 8);
    for bit in 0..words * 64 {
        let (mut writer, mut reader) = ring();
        write(&mut writer, &sent);
        writer
            .lane
            .data(bit / 64)
            .fetch_xor(1 << (bit % 64), Ordering::Relaxed);
        let error = reader.read().unwrap_err();
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn every_other_byte_in_a_split_message_is_an_error() {
    let sent = message(2500);
    let words = 3 * HEADER + 2500usize.div_ceil(8);
    for byte in 0..words * 8 {
        let (mut writer, mut reader) = ring();
        write(&mut writer, &sent);
        writer
            .lane
            .data(byte as u64 / 8)
            .fetch_xor(0xff << (byte % 8 * 8), Ordering::Relaxed);
        reader.read().unwrap_err();
    }
}

#[test]
fn every_wrong_position_is_an_error_or_harmless() {
    let sent = message(61);
    for bit in 0..64 {
        let (mut writer, mut reader) = ring();
        write(&mut writer, &sent);
        reader
            .lane
            .control(WRITE_POSITION)
            .fetch_xor(1 << bit, Ordering::Relaxed);
        // A position that goes back cuts the record off, one that goes ahead finds zeros behind it.
        match reader.read() {
            Err(_) => {}
            Ok(read) => {
                assert_eq!(read.unwrap().as_slice(), sent);
                reader.read().unwrap_err();
            }
        }
    }
    for bit in 0..64 {
        let (mut writer, mut reader) = ring();
        while writer.write(true, &sent).unwrap() > 0 {}
        reader.read().unwrap().unwrap();
        writer.write(true, &message(1000)).unwrap();
        writer
            .lane
            .control(READ_POSITION)
            .fetch_xor(1 << bit, Ordering::Relaxed);
        // The writer loses nothing by believing a reader that gives away what it has not read.
        if let Err(error) = writer.write(true, &message(1000)) {
            assert!(matches!(error, Corruption::ReadPosition { .. }), "{error}");
        }
    }
}

#[test]
fn records_of_another_session_or_direction_do_not_pass() {
    let layout = Layout::new(4096, 4096).unwrap();
    let memory = Arc::new(Mapping::create(layout.words()).unwrap().0);
    let reader = || layout.reader(Arc::clone(&memory), Towards::ToControl, 9);
    layout
        .writer(Arc::clone(&memory), Towards::ToControl, 8)
        .write(true, b"a")
        .unwrap();
    assert!(matches!(
        reader().read(),
        Err(Corruption::Checksum { sequence: 0, .. })
    ));
    let mut mirrored = layout.writer(Arc::clone(&memory), Towards::ToData, 9);
    (mirrored.lane.control, mirrored.lane.data) = (CONTROL, DATA + 512);
    mirrored.write(true, b"a").unwrap();
    assert!(matches!(
        reader().read(),
        Err(Corruption::Checksum { sequence: 0, .. })
    ));
}

/// A forged record is refused for the reason that fits.
#[test]
#[allow(clippy::too_many_lines, reason = "one case after the other")]
fn forged_headers_are_told_apart() {
    let refuse = |change: fn(&mut Header), payload: &[u8]| {
        let (mut writer, mut reader) = ring();
        let length = payload.len() as u32;
        let mut header = Header {
            flags: FIRST,
            length,
            sequence: 0,
            remaining: length,
            checksum: 0,
        };
        change(&mut header);
        writer.put(header, payload);
        reader.read()
    };
    let payload = message(61);
    assert_eq!(refuse(|_| {}, &payload).unwrap().unwrap().as_slice(), payload);
    let error = |change| refuse(change, &message(61)).unwrap_err();
    assert_eq!(
        error(|h| h.sequence = 1),
        Corruption::Sequence {
            found: 1,
            expected: 0
        }
    );
    assert_eq!(
        error(|h| h.flags = 0),
        Corruption::Flags {
            sequence: 0,
            found: 0,
            expected: FIRST
        }
    );
    assert_eq!(
        error(|h| h.flags = 3),
        Corruption::Flags {
            sequence: 0,
            found: 3,
            expected: FIRST
        }
    );
    // 64 bytes were published behind the header.
    assert_eq!(
        error(|h| h.length = 65),
        Corruption::Length {
            sequence: 0,
            length: 65,
            limit: 64
        }
    );
    assert_eq!(
        error(|h| h.length = 0),
        Corruption::Length {
            sequence: 0,
            length: 0,
            limit: 64
        }
    );
    assert_eq!(
        error(|h| h.length = u32::MAX),
        Corruption::Length {
            sequence: 0,
            length: u32::MAX,
            limit: 64
        }
    );
    assert!(matches!(
        error(|h| h.remaining = 60),
        Corruption::Remaining { found: 60, .. }
    ));
    assert!(matches!(
        error(|h| h.remaining = 1 << 30),
        Corruption::Remaining {
            found: 0x4000_0000,
            ..
        }
    ));
    let long = refuse(|_| {}, &message(1001)).unwrap_err();
    assert_eq!(
        long,
        Corruption::Length {
            sequence: 0,
            length: 1001,
            limit: 1000
        }
    );
}

#[test]
fn parts_of_a_message_must_add_up() {
    let part = |flags, sequence, remaining| Header {
        flags,
        length: 8,
        sequence,
        remaining,
        checksum: 0,
    };
    let second_of = |total, header: Header| {
        let (mut writer, mut reader) = ring();
        writer.put(part(FIRST, 0, total), &[1; 8]);
        assert_eq!(reader.read(), Ok(None));
        writer.put(header, &[2; 8]);
        reader.read()
    };
    let second = |header| second_of(24, header);
    assert_eq!(second(part(0, 1, 16)), Ok(None));
    // Four bytes are due, and the record has eight.
    assert!(matches!(
        second_of(12, part(0, 1, 4)),
        Err(Corruption::Remaining {
            sequence: 1,
            found: 4,
            ..
        })
    ));
    let bounds = crate::record::RemainingBounds { low: 16, high: 16 };
    assert_eq!(
        second(part(0, 1, 8)),
        Err(Corruption::Remaining {
            sequence: 1,
            found: 8,
            expected: bounds
        })
    );
    assert_eq!(
        second(part(FIRST, 1, 16)),
        Err(Corruption::Flags {
            sequence: 1,
            found: FIRST,
            expected: 0
        })
    );
}

fn honest() -> impl Strategy<Value = Honest> {
    prop_oneof![
        4 => Just(Honest::Write),
        3 => Just(Honest::Read),
        1 => Just(Honest::WriterSleeps),
        1 => Just(Honest::ReaderSleeps),
        2 => (1u16..5000).prop_map(Honest::Begin),
        3 => (1u16..80).prop_map(Honest::Begin),
    ]
}

fn hostile() -> impl Strategy<Value = Hostile> {
    // The control blocks and the first words of data, or anywhere.
    let word = || {
        prop_oneof![
            prop::sample::select(vec![0u16, 16, 32, 48]),
            512u16..540,
            any::<u16>()
        ]
    };
    let value = prop_oneof![0u64..1200, any::<u64>()];
    let payload = || prop::collection::vec(any::<u8>(), 0..40);
    let (flags, length) = (
        prop_oneof![9 => 0u16..2, 1 => any::<u16>()],
        prop_oneof![9 => 0u32..40, 1 => any::<u32>()],
    );
    let forged = (0u8..2, flags, length.clone(), length, payload());
    prop_oneof![
        3 => (1u16..3000).prop_map(Hostile::Write),
        5 => Just(Hostile::Read),
        1 => (word(), value).prop_map(|(word, value)| Hostile::Scribble { word, value }),
        1 => (word(), any::<u8>()).prop_map(|(word, bit)| Hostile::Flip { word, bit }),
        2 => payload().prop_map(Hostile::Message),
        2 => forged.prop_map(|(skip, flags, length, remaining, payload)| {
            Hostile::Forge { skip, flags, length, remaining, payload }
        }),
    ]
}

proptest! {
    #[test]
    fn honest_ends_do_what_the_model_does(operations in prop::collection::vec(honest(), 0..400)) {
        harness::honest(operations);
    }

    #[test]
    fn hostile_ends_get_errors(operations in prop::collection::vec(hostile(), 0..100)) {
        harness::hostile(operations);
    }

    #[test]
    fn any_bytes_drive_the_fuzz_targets(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        harness::message(&bytes);
        let mut input = Input(&bytes);
        harness::honest(std::iter::from_fn(|| input.honest()));
        let mut input = Input(&bytes);
        harness::hostile(std::iter::from_fn(|| input.hostile()));
    }
}

/// What fuzzing found worth keeping.
#[test]
fn the_seeds_of_the_fuzz_targets_pass() {
    type Run = fn(&[u8]);
    let honest: Run = |bytes| {
        let mut input = Input(bytes);
        harness::honest(std::iter::from_fn(|| input.honest()));
    };
    let hostile: Run = |bytes| {
        let mut input = Input(bytes);
        harness::hostile(std::iter::from_fn(|| input.hostile()));
    };
    let message: Run = harness::message;
    for (target, run) in [
        ("ring_honest", honest),
        ("ring_hostile", hostile),
        ("ring_message", message),
    ] {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/seeds")
            .join(target);
        let files: Vec<_> = std::fs::read_dir(&seeds)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        assert!(!files.is_empty(), "{} is empty", seeds.display());
        for file in files {
            run(&std::fs::read(&file).unwrap());
        }
    }
}
