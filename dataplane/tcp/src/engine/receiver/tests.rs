use proptest::prelude::*;

use super::*;

proptest! {
    /// Beside a map of bytes: whatever the order, the overlaps and the repetitions, the reader gets every byte once, in
    /// order, and the runs are what arrived beyond a hole.
    #[test]
    fn bytes_are_read_once_and_in_order(
        first in any::<u32>(),
        pieces in proptest::collection::vec((0u32..40_000, 1u32..4_000, 0usize..6_000), 1..120),
    ) {
        let mut pool = BlockPool::new(1 << 20);
        let mut receiver = Receiver::new(Seq(first), 64 << 10, 0, Nanos(0));
        let byte = |at: u32| (at / 7) as u8;
        let (mut arrived, mut read) = (vec![false; 120_000], 0u32);
        for (offset, length, take) in pieces {
            let start = read.saturating_sub(2_000) + offset;
            let data: Vec<u8> = (start..start + length).map(byte).collect();
            receiver.accept(&mut pool, Seq(first) + start, &data);
            let edge = receiver.edge.ahead(Seq(first));
            let kept = receiver.runs.len() < MOST_RUNS;
            prop_assume!(kept);
            (start..(start + length).min(edge)).for_each(|at| arrived[at as usize] = true);
            let next = arrived.iter().position(|arrived| !arrived).unwrap() as u32;
            prop_assert_eq!(receiver.next, Seq(first) + next);
            prop_assert_eq!(receiver.unread(), next - read);
            for (start, end) in &receiver.runs {
                let (start, end) = (start.ahead(Seq(first)) as usize, end.ahead(Seq(first)) as usize);
                prop_assert!(arrived[start..end].iter().all(|arrived| *arrived));
                prop_assert!(!arrived[start - 1] && !arrived[end]);
            }
            let mut left = take;
            while left > 0 && receiver.unread() > 0 {
                let mut right = true;
                let taken = receiver.read(&mut pool, |data| {
                    let most = data.len().min(left);
                    right = data[..most].iter().zip(read..).all(|(got, at)| *got == byte(at));
                    most
                });
                prop_assert!(right);
                read += taken;
                left -= taken as usize;
            }
            let window = receiver.window(false);
            receiver.told(window);
        }
        receiver.clear(&mut pool);
        prop_assert_eq!(pool.used(), 0);
    }

    /// RFC 9293, section 3.8.6: what was offered is never taken back.
    #[test]
    fn the_windows_edge_never_goes_back(
        steps in proptest::collection::vec((1u32..5_000, 0usize..5_000, any::<bool>()), 1..60),
        scale in 0u8..15,
    ) {
        let mut pool = BlockPool::new(1 << 20);
        let mut receiver = Receiver::new(Seq(7), 1 << 20, scale, Nanos(0));
        for (length, take, pressed) in steps {
            receiver.accept(&mut pool, receiver.next, &vec![0; length as usize]);
            receiver.read(&mut pool, |data| data.len().min(take));
            let before = receiver.edge;
            let window = receiver.window(pressed);
            let told = receiver.next + (u32::from(window) << scale);
            // Where more was told than may wait, by less than the unit.
            let full = receiver.unread + receiver.offered() >= receiver.limit + LEAST;
            let least = if full { before - ((1 << scale) - 1) } else { before };
            prop_assert!(least.at_most(told) || window == u16::MAX);
            receiver.told(window);
            prop_assert!(before.at_most(receiver.edge));
        }
        receiver.clear(&mut pool);
    }
}

#[test]
fn a_window_that_nobody_reads_closes() {
    let mut pool = BlockPool::new(16 << 20);
    let mut receiver = Receiver::new(Seq(1), 16 << 20, 9, Nanos(0));
    receiver.told(receiver.window(false));
    // Less than the unit of the window, each acknowledged.
    for _ in 0..10_000 {
        let length = receiver.offered().min(511);
        let next = receiver.next;
        let _ = receiver.accept(&mut pool, next, &vec![0; length as usize]);
        receiver.told(receiver.window(false));
    }
    assert!(
        receiver.unread() <= INITIAL + LEAST + 512,
        "{}",
        receiver.unread()
    );
    receiver.clear(&mut pool);
}

#[test]
fn as_many_holes_as_are_kept_do_not_keep_a_run_from_growing() {
    let mut pool = BlockPool::new(16 << 20);
    let mut receiver = Receiver::new(Seq(1), 16 << 20, 9, Nanos(0));
    receiver.told(u16::MAX);
    for number in 1..=MOST_RUNS as u32 {
        let accepted = receiver.accept(&mut pool, Seq(1 + number * 1_000), &[0; 10]);
        assert_eq!(accepted, Accepted::OutOfOrder);
    }
    let last = Seq(1 + MOST_RUNS as u32 * 1_000 + 10);
    assert_eq!(receiver.accept(&mut pool, last, &[0; 10]), Accepted::OutOfOrder);
    assert_eq!(
        receiver.accept(&mut pool, last + 500, &[0; 10]),
        Accepted::Refused
    );
    receiver.clear(&mut pool);
    assert_eq!(pool.used(), 0);
}
