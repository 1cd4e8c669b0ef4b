//! Sessions with threads that race, and with a peer that scribbles, rings and hangs up as it likes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::listener::{pair, pair_with};
use crate::shm::AtomicU64;
use crate::sizes::Sizes;

/// Long enough that only a hang reaches it.
const LONG: Option<Duration> = Some(Duration::from_secs(30));
const SMALL: Sizes = Sizes {
    to_data: 4096,
    to_control: 4096,
};

/// Xorshift (Marsaglia, 2003): tests need variety, not quality.
struct StressRandom(u64);

impl StressRandom {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A message of about `length` bytes.
fn message(generation: Generation, length: usize) -> ToControl {
    ToControl::Nack {
        generation,
        reason: "because ".repeat(length / 8),
        object: None,
    }
}

/// Both ends sleep and wake thousands of times, on messages and on room. A lost wake-up is a hang.
#[test]
fn no_wake_up_is_lost() {
    let (mut control, mut data) = pair_with(SMALL).unwrap();
    let lengths = |seed| {
        let mut random = StressRandom(seed);
        std::iter::repeat_with(move || {
            if random.below(20) == 0 {
                random.below(9000)
            } else {
                random.below(200)
            }
        })
    };
    const MESSAGES: usize = 20_000;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = StressRandom(2);
            for (generation, length) in (1..).zip(lengths(1).take(MESSAGES)) {
                // So that it hits every step of a reader that goes to sleep.
                (0..random.below(1000)).for_each(|_| std::hint::spin_loop());
                data.send(&message(generation, length as usize), LONG).unwrap();
                // Now and then in lock step, so that both sides come to sleep.
                if length % 4 == 0 {
                    let echo = data.receive(LONG).unwrap().unwrap();
                    assert_eq!(
                        echo,
                        ToData::Begin {
                            generation,
                            full: false
                        }
                    );
                }
            }
        });
        for (generation, length) in (1..).zip(lengths(1).take(MESSAGES)) {
            assert_eq!(
                control.receive(LONG).unwrap(),
                Some(message(generation, length as usize))
            );
            if length % 4 == 0 {
                control
                    .send(
                        &ToData::Begin {
                            generation,
                            full: false,
                        },
                        LONG,
                    )
                    .unwrap();
            }
        }
    });
}

/// As an event loop does: wait for the descriptor, then receive until there is nothing.
#[test]
fn the_descriptor_is_readable_whenever_there_is_something() {
    let (mut control, mut data) = pair_with(SMALL).unwrap();
    const MESSAGES: u64 = 5_000;
    let received = thread::scope(|scope| {
        scope.spawn(|| {
            for generation in 1..=MESSAGES {
                data.send(&message(generation, 16), LONG).unwrap();
            }
        });
        let mut received = 0;
        while received < MESSAGES {
            while let Some(next) = control.try_receive().unwrap() {
                received += 1;
                assert_eq!(next, message(received, 16));
            }
            if received < MESSAGES {
                let wait = Deadline::after(LONG).wait([(control.as_fd(), PollFlags::IN)]);
                assert!(wait.unwrap().is_some(), "after {received} messages");
            }
        }
        received
    });
    assert_eq!(received, MESSAGES);
    assert!(control.try_receive().unwrap().is_none());
    drop(data);
    assert!(
        Deadline::after(LONG)
            .wait([(control.as_fd(), PollFlags::IN)])
            .unwrap()
            .is_some()
    );
    assert!(matches!(control.try_receive(), Err(SessionError::PeerGone)));
}

/// While one side sends and the other receives, a third writes to their memory. What is received was sent.
#[test]
fn scribbled_memory_gives_errors_or_what_was_sent() {
    let mut corrupt = 0;
    for round in 0..150 {
        let (control, data) = pair_with(SMALL).unwrap();
        let memory = control.writer.memory();
        let done = AtomicBool::new(false);
        let error = thread::scope(|scope| {
            let sender = scope.spawn(|| send_until(&done, data));
            let receiver = scope.spawn(|| receive_all(control));
            scribble(memory.words(), round);
            done.store(true, Ordering::Relaxed);
            sender.join().unwrap();
            receiver.join().unwrap()
        });
        match error {
            SessionError::Corrupt(_) => corrupt += 1,
            SessionError::PeerGone => {}
            other => panic!("{other}"),
        }
    }
    assert!(corrupt > 0, "no scribble was ever noticed");
}

/// Sends as fast as the ring takes it, and hangs up.
fn send_until(done: &AtomicBool, mut session: DataSession) {
    let mut generation = 0;
    while !done.load(Ordering::Relaxed) {
        generation += 1;
        let sent = session.send(
            &message(generation, (generation % 3000) as usize),
            Some(Duration::from_millis(20)),
        );
        if sent.is_err() && !session.is_open() {
            return;
        }
    }
}

/// Receives to the end, checking that each is a message as `send_until` makes them.
fn receive_all(mut session: ControlSession) -> SessionError {
    loop {
        match session.receive(LONG) {
            Ok(Some(nack @ ToControl::Nack { generation, .. })) => {
                assert_eq!(nack, message(generation, (generation % 3000) as usize));
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => return error,
        }
    }
}

fn scribble(words: &[AtomicU64], round: u64) {
    let mut random = StressRandom(round + 1);
    for _ in 0..random.below(300) {
        // In odd rounds the control blocks, with values that could be right.
        let (index, value) = if round % 2 == 1 {
            (random.below(8) * 16, random.below(4000))
        } else {
            (random.next(), random.next())
        };
        words[(index % words.len() as u64) as usize].store(value, Ordering::Relaxed);
        thread::yield_now();
    }
}

#[test]
fn a_peer_that_rings_without_end_does_not_hold_a_call_beyond_its_timeout() {
    let (mut control, data) = pair_with(SMALL).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                data.socket.ring().unwrap();
                data.room.ring().unwrap();
            }
        });
        assert!(
            control
                .receive(Some(Duration::from_millis(30)))
                .unwrap()
                .is_none()
        );
        while control
            .send(
                &ToData::Begin {
                    generation: 1,
                    full: false,
                },
                Some(Duration::from_millis(30)),
            )
            .is_ok()
        {}
        assert!(control.is_open());
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn either_line_cut_is_the_end() {
    type Cut = fn(&DataSession);
    let cuts: [Cut; 2] = [|data| data.socket.hang_up(), |data| data.room.hang_up()];
    for cut in cuts {
        let (mut control, data) = pair_with(SMALL).unwrap();
        let sender = thread::spawn(move || {
            loop {
                if let Err(error) = control.send(
                    &ToData::Begin {
                        generation: 1,
                        full: false,
                    },
                    None,
                ) {
                    return error;
                }
            }
        });
        cut(&data);
        assert!(matches!(sender.join().unwrap(), SessionError::PeerGone));
    }
}

#[test]
fn a_message_that_does_not_decode_closes_with_its_number() {
    let (mut control, mut data) = pair().unwrap();
    control
        .send(
            &ToData::Begin {
                generation: 1,
                full: false,
            },
            LONG,
        )
        .unwrap();
    assert_eq!(control.writer.write(true, &[99, 0, 0]).unwrap(), 3);
    assert!(data.receive(LONG).unwrap().is_some());
    let error = data.receive(LONG).unwrap_err();
    assert!(
        matches!(
            error,
            SessionError::Corrupt(Corruption::Message { sequence: 1, .. })
        ),
        "{error}"
    );
    assert!(matches!(control.receive(LONG), Err(SessionError::PeerGone)));
}
