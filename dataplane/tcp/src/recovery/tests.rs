use super::*;

const MSS: u32 = 1_000;

/// A sender of segments of [`MSS`] bytes from sequence number 0 minus two segments, so that numbers wrap.
struct Sender {
    recovery: Recovery,
    first: u32,
    now: Nanos,
}

impl Sender {
    fn new(written: u32) -> Self {
        let first = 0u32.wrapping_sub(2 * MSS);
        let mut recovery = Recovery::new(MSS as usize, first);
        recovery.wrote(written as usize);
        Self {
            recovery,
            first,
            now: Nanos(1),
        }
    }

    fn at(&self, segment: u32) -> u32 {
        self.first.wrapping_add(segment * MSS)
    }

    fn send(&mut self, segment: u32) {
        let (sequence, end) = (self.at(segment), self.at(segment + 1));
        self.recovery.sent(
            Sent {
                sequence,
                end,
                acknowledgement: 0,
                flags: 0x10,
            },
            self.now,
        );
    }

    /// Sends new segments from `next` on while it may; returns the next one.
    fn fill(&mut self, mut next: u32) -> u32 {
        while self.recovery.unsent() > 0 && !self.recovery.blocked() {
            self.send(next);
            next += 1;
        }
        next
    }

    /// The peer has everything before `segment`.
    fn acknowledge(&mut self, segment: u32) -> RecoveryAction {
        let at = self.at(segment);
        let heard = Heard {
            unacknowledged: at,
            bare: true,
            acknowledgement: at,
            window: 500,
        };
        self.recovery.heard(heard, self.now)
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }
}

#[test]
fn the_window_begins_with_ten_segments_and_doubles_each_round_trip() {
    let mut sender = Sender::new(1_000 * MSS);
    let mut sent = sender.fill(0);
    assert_eq!(sent, 10);
    for flight in [20, 40, 80] {
        sender.wait(Duration::from_millis(50));
        let acknowledged = sent;
        // The peer acknowledges every second segment.
        for segment in (0..acknowledged)
            .rev()
            .step_by(2)
            .map(|n| acknowledged - n)
            .filter(|n| *n > 0)
        {
            assert_eq!(sender.acknowledge(segment), RecoveryAction::None);
        }
        sender.acknowledge(acknowledged);
        sent = sender.fill(acknowledged);
        assert_eq!(sent - acknowledged, flight);
    }
}

#[test]
fn three_duplicates_halve_the_window_and_parts_ask_for_the_next_segment() {
    let mut sender = Sender::new(1_000 * MSS);
    assert_eq!(sender.fill(0), 10);
    // Segments 2 and 5 of ten are lost.
    sender.acknowledge(2);
    for _ in 0..2 {
        assert_eq!(sender.acknowledge(2), RecoveryAction::None);
    }
    assert_eq!(sender.acknowledge(2), RecoveryAction::Retransmits);
    sender.send(2);
    assert_eq!(sender.acknowledge(2), RecoveryAction::None);
    assert_eq!(sender.acknowledge(5), RecoveryAction::Retransmit);
    sender.send(5);
    assert_eq!(sender.acknowledge(10), RecoveryAction::None);
    assert_eq!(sender.recovery.until, None);
    assert!(sender.recovery.window <= 5 * MSS, "{}", sender.recovery.window);
    assert_eq!(sender.recovery.threshold, 4 * MSS);
}

#[test]
fn timeouts_begin_at_the_round_trip_time_and_double() {
    let mut sender = Sender::new(1_000 * MSS);
    sender.send(0);
    assert_eq!(sender.recovery.timer(), Some(sender.now.after(INITIAL_TIMEOUT)));
    sender.wait(Duration::from_millis(100));
    sender.acknowledge(1);
    assert_eq!(sender.recovery.timer(), None);
    sender.send(1);
    // 100 ms and four times the variation of 50 ms.
    assert_eq!(
        sender.recovery.timer(),
        Some(sender.now.after(Duration::from_millis(300)))
    );
    for factor in [2, 4, 8] {
        assert_eq!(sender.recovery.timeout(sender.now), RecoveryAction::None);
        sender.now = sender.recovery.timer().unwrap();
        assert_eq!(sender.recovery.timeout(sender.now), RecoveryAction::Retransmit);
        sender.send(1);
        assert_eq!(
            sender.recovery.timer(),
            Some(sender.now.after(Duration::from_millis(300 * factor)))
        );
        assert!(sender.recovery.blocked());
    }
    sender.acknowledge(2);
    assert!(!sender.recovery.blocked());
    sender.send(2);
    assert_eq!(
        sender.recovery.timer(),
        Some(sender.now.after(Duration::from_millis(300)))
    );
}

#[test]
fn what_is_sent_again_is_not_timed() {
    let mut sender = Sender::new(1_000 * MSS);
    sender.send(0);
    sender.wait(INITIAL_TIMEOUT);
    assert_eq!(sender.recovery.timeout(sender.now), RecoveryAction::Retransmit);
    sender.send(0);
    sender.wait(Duration::from_secs(30));
    sender.acknowledge(1);
    assert_eq!(sender.recovery.smoothed, None);
}

#[test]
fn smoltcps_own_timeout_moves_the_cursor_back() {
    let mut sender = Sender::new(20 * MSS);
    assert_eq!(sender.fill(0), 10);
    sender.wait(INITIAL_TIMEOUT);
    // smoltcp begins again at the first segment, undemanded.
    sender.send(0);
    assert_eq!(sender.recovery.flight(), MSS);
    sender.acknowledge(10);
    assert_eq!(sender.recovery.flight(), 0);
    assert_eq!(sender.recovery.unsent(), 10 * MSS);
}

#[test]
fn the_window_shrinks_to_its_beginning_after_a_pause() {
    let mut sender = Sender::new(1_000 * MSS);
    let sent = sender.fill(0);
    sender.wait(Duration::from_millis(10));
    for segment in 1..=sent {
        sender.acknowledge(segment);
    }
    assert_eq!(sender.recovery.window, 20 * MSS);
    sender.wait(Duration::from_secs(1));
    sender.send(sent);
    assert_eq!(sender.recovery.window, 10 * MSS);
}
