//! Policies that flap under traffic: what they always allow loses nothing, what they deny passes nothing once the denial is
//! acknowledged.

mod flows;
mod manifests;
mod under_way;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use headgate_lab::{address, wait_until};

use crate::cluster::{Bed, INGRESS, host, service};
use flows::{
    Flow, Phase, Requests, connect, datagrams, echo_datagrams, echo_stream, exchange, nothing_passes,
};
use manifests::{GUARD, STREAM_GUARD, manifests};

/// How often the policies open and close.
const ROUNDS: usize = 30;
/// Datagrams of each flow that are awaited in each phase.
const ENOUGH: u64 = 10;
const SOON: Duration = Duration::from_secs(5);

#[test]
fn flapping_policies_lose_nothing_allowed_and_pass_nothing_denied() {
    let Some(mut bed) = Bed::make() else { return };
    bed.apply_text(&manifests(0, true));
    let (always, sometimes) = (address::client(0), address::client(1));
    let steady = datagrams(&bed.lab.clients, always.0, service(1).0, 80);
    let stream = connect(&bed.lab.clients, always.1, service(1).1, 80);
    let outside = Flow::new(datagrams(&bed.lab.clients, sometimes.0, service(1).0, 80));
    let inside = Flow::new(datagrams(&bed.lab.pods, address::pod(2).1, service(1).1, 81));
    let (flows, stop) = ([&outside, &inside], AtomicBool::new(false));
    thread::scope(|scope| {
        let datagrams_echoed = scope.spawn(|| echo_datagrams(&steady, "x/a", &stop));
        let chunks_echoed = scope.spawn(|| echo_stream(stream, &stop));
        let _ends = flows.map(|flow| {
            scope.spawn(|| flow.run());
            EndOnDrop(flow)
        });
        // However this ends, the steady flows must end too.
        let stopped = StopOnDrop(&stop);
        flap(&mut bed, &flows);
        drop(stopped);
        let (datagrams, chunks) = (datagrams_echoed.join().unwrap(), chunks_echoed.join().unwrap());
        assert!(
            datagrams > 500 && chunks > 500,
            "{datagrams} datagrams, {chunks} chunks"
        );
    });
    let status = bed.gateway.status().unwrap();
    let drops = status["totals"]["drops"].as_object().unwrap();
    assert!(drops.keys().all(|reason| reason == "denied"), "{drops:?}");
}

fn flap(bed: &mut Bed, flows: &[&Flow; 2]) {
    let requests = |n| Requests::open(&bed.lab.clients, address::client(n).0, (INGRESS.0, 80), host(3));
    let (mut always, mut sometimes) = (requests(0), requests(1));
    for round in 0..ROUNDS {
        opened(bed, round, flows);
        assert_eq!((always.status(), sometimes.status()), (200, 200), "round {round}");
        let stream = connect(&bed.lab.pods, address::pod(4).0, service(3).0, 80);
        exchange(&stream, "x/c\n");

        set(flows, Phase::Undecided);
        bed.apply_text(&manifests(round, false));
        set(flows, Phase::Closed);
        nothing_passes(&stream, || bed.gateway.denied_by(STREAM_GUARD).unwrap());
        assert_eq!((always.status(), sometimes.status()), (200, 403), "round {round}");
        closed(bed, round, flows);

        set(flows, Phase::Undecided);
        bed.apply_text(&manifests(round + 1, true));
    }
}

/// Every datagram that is sent after the acknowledgement is answered.
fn opened(bed: &Bed, round: usize, flows: &[&Flow; 2]) {
    settle(bed, round, flows);
    let denied = bed.gateway.denied_by(GUARD).unwrap();
    let answered = flows.map(Flow::answered);
    set(flows, Phase::Open);
    await_that(round, "the open flows are answered", || {
        flows
            .iter()
            .zip(answered)
            .all(|(flow, before)| flow.answered() >= before + ENOUGH)
    });
    settle(bed, round, flows);
    assert_eq!(
        bed.gateway.denied_by(GUARD).unwrap(),
        denied,
        "round {round}: denied though it is allowed"
    );
}

/// Nothing that is sent after the acknowledgement is answered.
fn closed(bed: &Bed, round: usize, flows: &[&Flow; 2]) {
    let sent = flows.map(Flow::sent);
    await_that(round, "the closed flows go on", || {
        flows
            .iter()
            .zip(sent)
            .all(|(flow, before)| flow.sent() >= before + ENOUGH)
    });
    settle(bed, round, flows);
    for flow in flows {
        assert_eq!(
            flow.passed_though_closed(),
            0,
            "round {round}: datagrams passed after the acknowledgement"
        );
    }
}

/// Pauses the flows and waits until none of their datagrams is on its way any more: each has come back, or is counted as
/// denied, or its answer met a flow that was cut meanwhile and went to the kernel, which knows nothing of it.
fn settle(bed: &Bed, round: usize, flows: &[&Flow; 2]) {
    set(flows, Phase::Paused);
    let sum = |of: fn(&Flow) -> u64| flows.iter().map(|flow| of(flow)).sum::<u64>();
    let counts = || {
        let (denied, cut) = (
            bed.gateway.denied_by(GUARD),
            bed.gateway.count("/totals/kernel/no-flow"),
        );
        (
            sum(Flow::sent),
            sum(Flow::answered),
            denied.unwrap(),
            cut.unwrap(),
        )
    };
    let settled = wait_until("no datagram is on its way", SOON, || {
        let (sent, answered, denied, cut) = counts();
        sent <= answered + denied + cut
    });
    if let Err(error) = settled {
        panic!(
            "round {round}: {error}; sent, answered, denied, cut: {:?}",
            counts()
        );
    }
}

fn await_that(round: usize, what: &str, condition: impl FnMut() -> bool) {
    wait_until(what, SOON, condition).unwrap_or_else(|error| panic!("round {round}: {error}"));
}

fn set(flows: &[&Flow; 2], phase: Phase) {
    flows.iter().for_each(|flow| flow.set(phase));
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct EndOnDrop<'a>(&'a Flow);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(Phase::Ended);
    }
}
