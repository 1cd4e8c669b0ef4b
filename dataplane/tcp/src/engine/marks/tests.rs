use super::*;
use crate::engine::heard::Heard;
use crate::engine::sender::Timer;
use crate::option::SackBlocks;
use crate::pool::BlockPool;
use crate::sequence::Seq;

const MSS: u32 = 1_000;
/// When everything is sent, and when all that is heard arrives: a round trip of 20 ms.
const SENT: Nanos = Nanos(1_000_000_000);
const HEARD: Nanos = Nanos(1_020_000_000);

/// A connection whose data may be marked, with ten segments under way and as many to send.
struct Bed {
    sender: Sender,
    pool: BlockPool,
}

impl Bed {
    fn new() -> Self {
        let mut sender = Sender::new(Seq(0), MSS, 1 << 20);
        (sender.una, sender.next) = (Seq(1), Seq(1));
        sender.window = 1 << 20;
        sender.yielding.on = true;
        let mut pool = BlockPool::new(4 << 20);
        assert_eq!(sender.write(&mut pool, &[b'x'; 20_000]), 20_000);
        let mut bed = Self { sender, pool };
        bed.send(SENT);
        assert_eq!(bed.sender.next, Seq(10_001));
        bed
    }

    /// Sends what may be sent, and says of what was new that the window was reduced, as `Tcb` does.
    fn send(&mut self, now: Nanos) -> usize {
        let mut sent = 0;
        while let Some(piece) = self.sender.piece(MSS) {
            self.sender.sent(&piece, now);
            self.sender.yielding.tells &= !piece.is_new();
            sent += 1;
        }
        self.sender.note_load();
        sent
    }

    /// What is acknowledged, in thousands of bytes, and the blocks behind it.
    fn hear(&mut self, acknowledged: u32, blocks: &[(u32, u32)], marked: bool) {
        self.hear_at(HEARD, acknowledged, blocks, (marked, None));
    }

    fn hear_at(
        &mut self,
        now: Nanos,
        acknowledged: u32,
        blocks: &[(u32, u32)],
        (marked, echo): (bool, Option<Nanos>),
    ) {
        let number = |thousands: u32| Seq(1 + thousands * 1_000);
        let mut sacks = SackBlocks::default();
        for (start, end) in blocks {
            sacks.push(number(*start), number(*end));
        }
        let heard = Heard {
            ack: number(acknowledged),
            blocks: &sacks,
            echo,
            bare: true,
            marked,
            sack: true,
            now,
        };
        self.sender.heard(&mut self.pool, &heard);
        assert!(self.sender.board.is_consistent());
    }

    fn window(&self) -> u32 {
        self.sender.cubic.window()
    }

    fn threshold(&self) -> u32 {
        self.sender.cubic.threshold()
    }
}

#[test]
fn a_mark_reduces_as_a_loss_does_ends_slow_start_and_sends_nothing_again() {
    let mut bed = Bed::new();
    assert!(bed.sender.cubic.in_slow_start());
    bed.hear(1, &[], true);
    assert_eq!((bed.window(), bed.threshold()), (7_000, 7_000));
    assert!(!bed.sender.cubic.in_slow_start() && bed.sender.yielding.tells);
    assert!(bed.sender.has_yielded() && !bed.sender.has_yielded());
    assert_eq!(bed.sender.board.lost(), 0);
    // RFC 3168, section 6.1.2: what is acknowledged with a mark lets nothing grow.
    bed.hear(2, &[], true);
    assert_eq!(bed.window(), 7_000);
    bed.send(HEARD);
    bed.hear(5, &[], false);
    assert!((7_001..8_000).contains(&bed.window()), "{}", bed.window());
}

#[test]
fn once_a_round_trip() {
    let mut bed = Bed::new();
    for acknowledged in 1..=10 {
        bed.hear(acknowledged, &[], true);
    }
    assert_eq!(bed.window(), 7_000);
    // All that was under way is acknowledged, and the peer has not been told yet: it repeats itself.
    bed.hear(10, &[], true);
    assert_eq!(bed.window(), 7_000);
    assert_eq!(bed.send(HEARD), 7);
    assert!(!bed.sender.yielding.tells);
    // What told was marked itself, or something behind it.
    bed.hear(11, &[], true);
    assert_eq!((bed.window(), bed.sender.yielding.tells), (4_900, true));
    bed.hear(17, &[], true);
    assert_eq!(bed.window(), 4_900);
}

#[test]
fn a_mark_and_a_loss_of_one_round_trip_reduce_once() {
    // The mark first.
    let mut bed = Bed::new();
    bed.hear(1, &[], true);
    bed.hear(1, &[(2, 6)], true);
    assert_eq!(bed.sender.board.lost(), 1_000);
    assert_eq!(bed.threshold(), 7_000);
    bed.send(HEARD);
    bed.hear(10, &[], true);
    assert_eq!((bed.window(), bed.threshold()), (7_000, 7_000));
    // The loss first.
    let mut bed = Bed::new();
    bed.hear(0, &[(1, 5)], false);
    assert_eq!(bed.threshold(), 7_000);
    bed.send(HEARD);
    for marked in [true, false, true] {
        bed.hear(0, &[(1, 7)], marked);
    }
    bed.hear(10, &[], true);
    bed.hear(10, &[], true);
    assert_eq!((bed.window(), bed.threshold()), (7_000, 7_000));
    // A timeout first.
    let mut bed = Bed::new();
    bed.sender.rearm(SENT, true);
    let (due, _) = bed.sender.timer.unwrap();
    bed.sender.fire(due);
    assert!(bed.sender.yielding.tells);
    bed.send(due);
    bed.hear_at(due, 3, &[], (true, None));
    assert_eq!((bed.window(), bed.threshold()), (1_000, 7_000));
}

#[test]
fn a_loss_of_what_was_sent_after_a_mark_is_another() {
    let mut bed = Bed::new();
    bed.hear(8, &[], true);
    assert_eq!(bed.send(HEARD), 5);
    // Of what was under way at the mark, all has arrived.
    let later = HEARD.after(std::time::Duration::from_millis(20));
    bed.hear_at(later, 10, &[(11, 15)], (false, None));
    assert_eq!(bed.threshold(), 4_900);
    assert!(bed.sender.yielding.tells);
}

/// The segment at a hole was not lost, which the timestamp of its acknowledgement says (RFC 3522).
fn spurious(marked: bool) -> Bed {
    let mut bed = Bed::new();
    bed.hear(0, &[(1, 5)], false);
    assert_eq!((bed.threshold(), bed.sender.yielding.tells), (7_000, true));
    // The segment at the hole goes again, and nothing new that would tell.
    let piece = bed.sender.piece(MSS).unwrap();
    assert!(!piece.is_new());
    let again = HEARD.after(std::time::Duration::from_millis(5));
    bed.sender.sent(&piece, again);
    let then = again.after(std::time::Duration::from_millis(1));
    bed.hear_at(then, 5, &[], (marked, Some(SENT)));
    assert_eq!(bed.sender.board.lost(), 0);
    bed
}

#[test]
fn what_is_undone_is_not_told_and_what_a_mark_asks_for_is_not_undone() {
    let bed = spurious(false);
    assert!(bed.window() >= 10_000, "{}", bed.window());
    assert_eq!(
        (bed.sender.yielding.tells, bed.sender.yielding.until),
        (false, None)
    );
    let bed = spurious(true);
    assert_eq!((bed.window(), bed.threshold()), (7_000, 7_000));
    assert!(bed.sender.yielding.tells && bed.sender.yielding.until.is_some());
}

#[test]
fn a_duplicate_that_comes_after_a_mark_undoes_nothing() {
    for marked in [false, true] {
        let mut bed = Bed::new();
        bed.hear(0, &[(1, 5)], false);
        let piece = bed.sender.piece(MSS).unwrap();
        bed.sender.sent(&piece, HEARD);
        bed.hear(10, &[], marked);
        let reduced = bed.window();
        // RFC 2883, RFC 3708: all that was sent again came twice.
        bed.hear(10, &[(0, 1)], false);
        assert_eq!(
            bed.window() > reduced,
            !marked,
            "{reduced}, then {}",
            bed.window()
        );
    }
}

/// RFC 3168, section 6.1.2, and RFC 9438, section 4.6.
#[test]
fn at_one_segment_the_timer_slows_down_what_the_window_cannot() {
    let mut bed = Bed::new();
    let (mut now, mut all) = (SENT, 0);
    let mut windows = Vec::new();
    // An application that writes one segment in each round trip, all of them marked.
    while bed.sender.yielding.pause.is_none() {
        now = now.after(std::time::Duration::from_millis(20));
        all = (bed.sender.next.0 - 1) / MSS;
        bed.hear_at(now, all, &[], (true, None));
        windows.push(bed.window());
        bed.sender.write(&mut bed.pool, &[b'x'; MSS as usize]);
        if bed.sender.yielding.pause.is_none() {
            bed.send(now);
        }
    }
    assert_eq!(windows, [7_000, 4_900, 3_430, 2_401, 1_680, 1_176, 1_000, 1_000]);
    for doubled in [1, 2, 4] {
        assert_eq!(bed.send(now), 0, "nothing goes");
        let pause = bed.sender.rtt.timeout(0) * doubled;
        bed.sender.rearm(now, true);
        assert_eq!(bed.sender.timer, Some((now.after(pause), Timer::Pause)));
        now = now.after(pause);
        bed.sender.fire(now);
        assert_eq!(bed.send(now), 1);
        now = now.after(std::time::Duration::from_millis(20));
        all += 1;
        bed.hear_at(now, all, &[], (true, None));
        bed.sender.write(&mut bed.pool, &[b'x'; MSS as usize]);
    }
    // The first one that is not marked lets the window grow again.
    now = now.after(bed.sender.rtt.timeout(0) * 8);
    bed.sender.rearm(now, true);
    bed.sender.fire(now);
    bed.send(now);
    bed.hear_at(
        now.after(std::time::Duration::from_millis(20)),
        all + 1,
        &[],
        (false, None),
    );
    assert_eq!((bed.sender.yielding.pause, bed.window()), (None, 2_000));
    bed.sender.write(&mut bed.pool, &[b'x'; 5 * MSS as usize]);
    assert_eq!(bed.send(now), 2);
}
