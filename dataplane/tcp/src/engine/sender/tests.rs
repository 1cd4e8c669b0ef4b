use super::*;

const NOW: Nanos = Nanos(1_000_000_000);

/// One that has finished its handshake, with a large window.
fn sender() -> (Sender, BlockPool) {
    let mut sender = Sender::new(Seq(0), 1_460, 1 << 20);
    (sender.una, sender.next) = (Seq(1), Seq(1));
    sender.window = 1 << 20;
    (sender, BlockPool::new(4 << 20))
}

#[test]
fn the_last_segment_with_its_fin_is_cut_to_a_narrower_path() {
    let (mut sender, mut pool) = sender();
    sender.write(&mut pool, &[b'x'; 1_460]);
    sender.fin = true;
    let piece = sender.piece(1_460).expect("data and FIN");
    assert_eq!(piece.end, Seq(1 + 1_460 + 1));
    sender.sent(&piece, NOW);
    sender.narrow(1_000, NOW);
    let first = sender.piece(1_000).expect("it is sent again");
    assert_eq!((first.start, first.end), (Seq(1), Seq(1_001)));
    sender.sent(&first, NOW);
    let rest = sender.piece(1_000);
    sender.board.lose_all();
    assert!(rest.is_none() || rest.is_some_and(|rest| rest.end == Seq(1_462)));
}

#[test]
fn single_bytes_that_nobody_acknowledges_wait_for_company() {
    let (mut sender, mut pool) = sender();
    for _ in 0..10_000 {
        sender.write(&mut pool, b"x");
        while let Some(piece) = sender.piece(1_460) {
            sender.sent(&piece, NOW);
        }
    }
    assert!(
        sender.board.len() <= SMALL_SEGMENTS + 28,
        "{}",
        sender.board.len()
    );
    assert!(sender.unsent() > 0);
}

/// Who asks how much may be under way after a pause gets what the next segment will find, and changes nothing by asking.
#[test]
fn the_window_of_now_is_what_a_pause_leaves_of_it() {
    let (mut sender, mut pool) = sender();
    sender.write(&mut pool, &[b'x'; 1_460]);
    let piece = sender.piece(1_460).expect("data");
    sender.sent(&piece, NOW);
    sender.cubic.set_window(400_000);
    let later = NOW.after(std::time::Duration::from_secs(60));
    assert_eq!(sender.window_now(later), 400_000, "something is under way");
    sender.forget(&mut pool, piece.end);
    assert_eq!(sender.window_now(NOW), 400_000);
    assert_eq!(sender.window_now(later), 14_600);
    assert_eq!(sender.cubic.window(), 400_000);
    sender.write(&mut pool, &[b'x'; 1_460]);
    let piece = sender.piece(1_460).expect("data");
    sender.sent(&piece, later);
    assert_eq!(sender.cubic.window(), 14_600);
}

/// What one acknowledgement costs behind a hole, with as many segments under way as there may be.
#[test]
fn behind_a_hole_an_acknowledgement_looks_at_the_hole_alone() {
    let (mut sender, mut pool) = sender();
    for number in 0..10_000 {
        sender.board.sent(
            Seq(1 + number * 100),
            Seq(101 + number * 100),
            Nanos(NOW.0 + u64::from(number)),
        );
    }
    sender.next = Seq(1 + 10_000 * 100);
    sender.written = sender.next;
    for number in 1..10_000 {
        let mut blocks = crate::option::SackBlocks::default();
        blocks.push(Seq(101), Seq(101 + number * 100));
        let heard = super::super::heard::Heard {
            ack: Seq(1),
            blocks: &blocks,
            echo: None,
            bare: true,
            marked: false,
            sack: true,
            now: Nanos(NOW.0 + 20_000_000 + u64::from(number)),
        };
        sender.heard(&mut pool, &heard);
        assert_eq!(sender.board.len() as u32, 10_001 - number, "joined");
    }
    assert_eq!(sender.board.sacked_records(), 9_999);
    assert!(sender.board.is_consistent());
}
