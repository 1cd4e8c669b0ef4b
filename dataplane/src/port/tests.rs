use std::time::Duration;

use headgate_xsk::{Frame, FrameCache, Umem};
use proptest::prelude::*;

use super::memory::{MemoryPort, pair};
use super::*;

fn frame(cache: &mut FrameCache, number: u32) -> Frame {
    let mut frame = cache.take().expect("a free frame");
    frame.copy_from(&number.to_be_bytes()).unwrap();
    frame
}

fn number(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.data().try_into().unwrap())
}

/// Sends `count` numbered frames through `line` and gives what arrives, in order, frames put back.
fn through(line: Faults, count: u32, seed: u64) -> (Vec<u32>, faults::FaultCounters) {
    let umem = Umem::heap(4096);
    let mut cache = umem.cache();
    let (near, mut far) = pair(4096);
    let mut near = Faulty::new(near, Faults::default(), line, seed);
    let mut frames: Vec<Frame> = (0..count).map(|n| frame(&mut cache, n)).collect();
    assert_eq!(near.transmit(&mut cache, &mut frames), count as usize);
    near.transmit(&mut cache, &mut frames);
    let mut arrived = Vec::new();
    far.receive(&mut cache, &mut arrived, usize::MAX);
    let numbers = arrived.iter().map(number).collect();
    arrived.into_iter().for_each(|frame| cache.put(frame));
    assert_eq!(umem.free_frames(), 4096, "every frame is back");
    (numbers, near.counters().1)
}

#[test]
fn a_full_wire_leaves_frames_with_the_sender() {
    let umem = Umem::heap(64);
    let mut cache = umem.cache();
    let (mut left, mut right): (MemoryPort, MemoryPort) = pair(2);
    let mut frames: Vec<Frame> = (0..3).map(|n| frame(&mut cache, n)).collect();
    assert_eq!(left.transmit(&mut cache, &mut frames), 2);
    assert_eq!(frames.iter().map(number).collect::<Vec<_>>(), [2]);
    assert!(right.ready() && !left.ready());
    let mut out = Vec::new();
    assert_eq!(right.receive(&mut cache, &mut out, 1), 1);
    assert_eq!(right.receive(&mut cache, &mut out, 8), 1);
    assert_eq!(out.iter().map(number).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_good_line_changes_nothing() {
    let (arrived, counters) = through(Faults::default(), 1000, 1);
    assert_eq!(arrived, (0..1000).collect::<Vec<_>>());
    assert_eq!(
        counters,
        faults::FaultCounters {
            seen: 1000,
            ..Default::default()
        }
    );
}

#[test]
fn rates_are_met() {
    let line = Faults {
        loss: 50_000,
        duplication: 20_000,
        ..Faults::default()
    };
    let (arrived, counters) = through(line, 3000, 7);
    assert!((100..200).contains(&counters.lost), "{counters:?}");
    assert!((30..90).contains(&counters.duplicated), "{counters:?}");
    assert_eq!(arrived.len() as u64, 3000 - counters.lost + counters.duplicated);
}

#[test]
fn the_same_seed_fails_alike() {
    let line = Faults {
        loss: 100_000,
        reordering: 100_000,
        reorder_by: 3,
        ..Faults::default()
    };
    assert_eq!(through(line, 500, 3), through(line, 500, 3));
    assert_ne!(through(line, 500, 3).0, through(line, 500, 4).0);
}

#[test]
fn corruption_flips_one_bit() {
    let line = Faults {
        corruption: 1_000_000,
        ..Faults::default()
    };
    let (arrived, counters) = through(line, 200, 9);
    assert_eq!(counters.corrupted, 200);
    assert!(
        arrived
            .iter()
            .zip(0..)
            .all(|(got, sent)| (got ^ sent).count_ones() == 1)
    );
}

#[test]
fn received_frames_suffer_too_and_quiet_lines_let_go() {
    let umem = Umem::heap(64);
    let mut cache = umem.cache();
    let (mut near, far) = pair(16);
    let held = Faults {
        reordering: 1_000_000,
        reorder_by: 100,
        ..Faults::default()
    };
    let mut far = Faulty::new(far, held, Faults::default(), 5);
    let mut frames: Vec<Frame> = (0..4).map(|n| frame(&mut cache, n)).collect();
    near.transmit(&mut cache, &mut frames);
    let mut out = Vec::new();
    assert_eq!(far.receive(&mut cache, &mut out, 8), 0);
    assert!(far.ready());
    assert_eq!(far.receive(&mut cache, &mut out, 8), 4);
    assert!(!far.ready());
}

proptest! {
    #[test]
    fn reordering_loses_nothing(rate in 0..=1_000_000_u32, by in 0..9_u32, count in 0..300_u32, seed: u64) {
        let (mut arrived, _) = through(Faults { reordering: rate, reorder_by: by, ..Faults::default() }, count, seed);
        arrived.sort_unstable();
        prop_assert_eq!(arrived, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn captures_read_back(packets in prop::collection::vec((0..u64::from(u32::MAX), 0..1_000_000_000_u32, prop::collection::vec(any::<u8>(), 0..200)), 0..8)) {
        let records: Vec<_> = packets.into_iter().map(|(s, n, packet)| pcap::Record { time: Duration::new(s, n), packet }).collect();
        let mut writer = pcap::Writer::new(Vec::new()).unwrap();
        for record in &records {
            writer.write(record.time, &record.packet).unwrap();
        }
        prop_assert_eq!(pcap::read(writer.finish().unwrap().as_slice()).unwrap(), records);
    }

    #[test]
    fn no_file_is_too_strange_to_read(bytes in prop::collection::vec(any::<u8>(), 0..200), magic: bool) {
        let mut file = if magic { pcap::Writer::new(Vec::new()).unwrap().finish().unwrap() } else { Vec::new() };
        file.extend(bytes);
        let _ = pcap::read(file.as_slice());
    }
}

#[test]
fn captures_of_the_other_byte_order_and_of_microseconds_are_read() {
    let mut file = Vec::new();
    for number in [0xa1b2_c3d4_u32, (2 << 16) | 4, 0, 0, 65535, 1, 7, 9, 2, 60] {
        file.extend(number.to_be_bytes());
    }
    file.extend([0xab, 0xcd]);
    let records = pcap::read(file.as_slice()).unwrap();
    assert_eq!(
        records,
        [pcap::Record {
            time: Duration::new(7, 9000),
            packet: vec![0xab, 0xcd]
        }]
    );
    file.pop();
    assert!(matches!(pcap::read(file.as_slice()), Err(pcap::PcapError::Io(_))));
    file[23] = 113;
    assert!(matches!(
        pcap::read(file.as_slice()),
        Err(pcap::PcapError::LinkType(113))
    ));
}
