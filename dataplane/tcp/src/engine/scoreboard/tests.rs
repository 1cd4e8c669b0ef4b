use proptest::prelude::*;

use super::*;

/// What may happen to what was sent.
#[derive(Clone, Debug)]
enum Event {
    Send(u32),
    Acknowledge(u32),
    Sack(u32, u32),
    Detect(u64),
    Again(u32),
    TimeOut,
    Find,
    Narrow(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1u32..3_000).prop_map(Event::Send),
        2 => (0u32..6_000).prop_map(Event::Acknowledge),
        3 => (0u32..20_000, 1u32..6_000).prop_map(|(start, length)| Event::Sack(start, length)),
        2 => (0u64..50).prop_map(Event::Detect),
        2 => (1u32..2_000).prop_map(Event::Again),
        1 => Just(Event::TimeOut),
        1 => Just(Event::Find),
        1 => (100u32..2_000).prop_map(Event::Narrow),
    ];
    proptest::collection::vec(event, 1..120)
}

proptest! {
    /// Each byte that is not acknowledged stands in one segment, and the sums are those of the segments.
    #[test]
    fn every_byte_has_one_fate(first in any::<u32>(), events in events()) {
        let (mut board, mut una, mut next) = (Scoreboard::default(), Seq(first), Seq(first));
        for (n, event) in events.into_iter().enumerate() {
            let now = Nanos((n as u64 + 1) * 1_000_000);
            let arrival = Arrival { now, least: None, premature: |_| false };
            match event {
                Event::Send(length) => {
                    board.sent(next, next + length, now);
                    next += length;
                }
                Event::Acknowledge(length) => {
                    let before = board.flying() + board.lost();
                    una = (una + length).min(next);
                    let delivery = board.acknowledge(una, &SackBlocks::default(), &arrival);
                    prop_assert_eq!(delivery.acked, before - board.flying() - board.lost());
                }
                Event::Sack(offset, length) => {
                    let mut blocks = SackBlocks::default();
                    blocks.push(una + offset, (una + offset + length).min(next));
                    let before = board.sacked();
                    let delivery = board.acknowledge(una, &blocks, &arrival);
                    prop_assert_eq!(delivery.sacked, board.sacked() - before);
                }
                Event::Detect(window) => {
                    let before = board.lost();
                    let (lost, _) = board.detect(now, Duration::from_millis(window));
                    prop_assert_eq!(lost, board.lost() - before);
                }
                Event::Again(length) => {
                    if let Some(index) = board.first_lost() {
                        let length = length.min(board.get(index).unwrap().length());
                        board.resent(index, length, now);
                    }
                }
                Event::TimeOut => {
                    board.lose_all();
                    prop_assert_eq!(board.flying(), 0);
                }
                Event::Find => board.find_all(),
                Event::Narrow(most) => board.lose_longer(most),
            }
            prop_assert!(board.is_consistent());
            prop_assert_eq!(board.flying() + board.sacked() + board.lost(), next.ahead(una));
            let mut at = una;
            for index in 0.. {
                let Some(record) = board.get(index) else { break };
                prop_assert_eq!(record.start, at);
                prop_assert!(record.start.before(record.end));
                at = record.end;
            }
            prop_assert_eq!(at, next);
        }
    }
}

/// A peer that had several segments and has them no more: sent again they are one, which may be had once.
#[test]
fn a_run_that_was_taken_back_is_one_segment() {
    let mut board = Scoreboard::default();
    let arrival = Arrival {
        now: Nanos(2),
        least: None,
        premature: |_| false,
    };
    for start in [0, 10, 20] {
        board.sent(Seq(start), Seq(start + 10), Nanos(1));
    }
    let mut blocks = SackBlocks::default();
    blocks.push(Seq(10), Seq(30));
    board.acknowledge(Seq(0), &blocks, &arrival);
    assert_eq!(board.sacked_records(), 2);
    board.acknowledge(Seq(10), &SackBlocks::default(), &arrival);
    board.lose_all();
    board.acknowledge(Seq(10), &blocks, &arrival);
    assert!(board.is_consistent());
    board.acknowledge(Seq(30), &SackBlocks::default(), &arrival);
    assert_eq!((board.sacked_records(), board.sacked(), board.len()), (0, 0, 0));
}
