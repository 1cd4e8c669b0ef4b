//! Our TCP and the kernel's, swapped in for each other: what applications see, and what stands on the wire, is what it is
//! between two kernels.
//!
//! ```text
//!  application ── kernel ── TAP ┐                 ┌ TAP ── kernel ── application
//!                               ├─ wire, watched ─┤
//!  application ── our stack ────┘                 └──── our stack ── application
//! ```

mod congestion;
mod ends;
mod wire;

use std::time::{Duration, Instant};

use crate::{Impairment, privileged};
use ends::{Act, App};
use wire::{Kind, Options, Summary, Wire};

use Act::{Pause, Read, ReadAll, Reset, Shut, Write};
use Kind::{Kernel, Ours};

/// How long a scenario may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the client does and what the server does.
struct Scenario {
    acts: [Vec<Act>; 2],
    options: Options,
    impairment: Impairment,
}

impl Scenario {
    fn of(client: &[Act], server: &[Act]) -> Self {
        Self {
            acts: [client.to_vec(), server.to_vec()],
            options: Options::default(),
            impairment: Impairment::NONE,
        }
    }

    /// What both applications saw, and what was on the wire.
    fn play(&self, kinds: [Kind; 2]) -> ([Vec<String>; 2], [Summary; 2]) {
        let mut wire = Wire::make(kinds, self.options, self.impairment);
        let [client, server] = wire.meet();
        let mut apps = [App::new(client, &self.acts[0]), App::new(server, &self.acts[1])];
        let start = Instant::now();
        loop {
            wire.turn();
            for app in &mut apps {
                app.step();
            }
            if apps.iter().all(App::is_done) && wire.is_quiet() {
                break;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{kinds:?} does not end: {:?}, {:?}",
                apps.each_ref().map(|app| &app.log),
                wire.summaries
            );
        }
        (apps.map(|app| app.log), wire.summaries())
    }

    /// Our end in place of either kernel's shows what the kernel's does.
    fn differs_in_nothing(&self) {
        if !privileged() {
            return;
        }
        let (seen, carried) = self.play([Kernel, Kernel]);
        // Ours offers everything: two of them do not do without.
        let both = (!self.options.plain).then_some([Ours, Ours]);
        for kinds in [[Ours, Kernel], [Kernel, Ours]].into_iter().chain(both) {
            let (ours, wire) = self.play(kinds);
            assert_eq!(ours, seen, "{kinds:?}: what applications see");
            for side in 0..2 {
                // What a kernel offers that was told not to is not what ours does; what is used then is.
                let same = if self.options.plain {
                    wire[side].used() == carried[side].used()
                } else {
                    wire[side] == carried[side]
                };
                assert!(
                    same,
                    "{kinds:?}, side {side}: {:?} and not {:?}",
                    wire[side], carried[side]
                );
            }
        }
    }
}

#[test]
fn a_request_and_a_long_answer() {
    Scenario::of(
        &[Write(100), ReadAll, Shut],
        &[Read(100), Write(1_000_000), Shut, ReadAll],
    )
    .differs_in_nothing();
}

#[test]
fn who_half_closes_still_gets_its_answer() {
    Scenario::of(&[Write(50_000), Shut, ReadAll], &[ReadAll, Write(50_000), Shut]).differs_in_nothing();
    Scenario::of(&[ReadAll, Write(20_000), Shut], &[Write(20_000), Shut, ReadAll]).differs_in_nothing();
}

#[test]
fn a_reset_in_the_middle_is_seen_as_one() {
    Scenario::of(&[Read(10_000), Reset], &[Write(20_000_000)]).differs_in_nothing();
    Scenario::of(&[ReadAll], &[Write(10_000), Pause(50), Reset]).differs_in_nothing();
    Scenario::of(&[Write(20_000_000)], &[Read(10_000), Reset]).differs_in_nothing();
}

#[test]
fn a_window_that_closes_opens_again() {
    Scenario::of(
        &[Write(10), Pause(1_500), ReadAll, Shut],
        &[Read(10), Write(10_000_000), Shut, ReadAll],
    )
    .differs_in_nothing();
}

#[test]
fn loss_reordering_and_duplicates_change_nothing() {
    let mut scenario = Scenario::of(&[Write(400_000), Shut, ReadAll], &[ReadAll, Write(400_000), Shut]);
    scenario.impairment = Impairment {
        loss: 0.01,
        reorder: 0.03,
        duplicate: 0.01,
        seed: 7,
        delay: Duration::from_millis(2),
        ..Impairment::NONE
    };
    scenario.differs_in_nothing();
}

#[test]
fn tiny_segments_are_kept_to() {
    let mut scenario = Scenario::of(
        &[Write(50_000), ReadAll, Shut],
        &[Read(50_000), Write(50_000), Shut, ReadAll],
    );
    scenario.options.mtu = Some(256);
    scenario.differs_in_nothing();
}

#[test]
fn without_timestamps_sack_and_scaling() {
    let mut scenario = Scenario::of(
        &[Write(200_000), ReadAll, Shut],
        &[Read(200_000), Write(200_000), Shut, ReadAll],
    );
    scenario.options.plain = true;
    scenario.impairment.loss = 0.01;
    scenario.differs_in_nothing();
}

#[test]
fn both_close_at_once() {
    let mut scenario = Scenario::of(&[Write(10), Shut, ReadAll], &[Write(10), Shut, ReadAll]);
    scenario.impairment.delay = Duration::from_millis(20);
    scenario.differs_in_nothing();
}

#[test]
fn who_is_silent_is_asked_for_a_sign_of_life() {
    let mut scenario = Scenario::of(
        &[Write(10), Pause(2_500), Write(10), ReadAll, Shut],
        &[Read(20), Write(10), Shut, ReadAll],
    );
    scenario.options.keep_alive = Some(Duration::from_secs(1));
    scenario.differs_in_nothing();
}
