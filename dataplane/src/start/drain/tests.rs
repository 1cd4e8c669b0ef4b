use std::cell::RefCell;

use super::*;

/// Something to drain: holds connections until times, and notes what it is told when.
struct World {
    start: Instant,
    /// When the last of what it holds ends by itself.
    ends: Duration,
    told: RefCell<Vec<(Phase, u128)>>,
}

impl Draining for World {
    fn enter(&self, phase: Phase) {
        let at = self.start.elapsed().as_millis();
        self.told.borrow_mut().push((phase, at));
    }

    async fn held(&self, _: Phase) -> Option<Held> {
        Some(Held {
            connections: usize::from(self.start.elapsed() < self.ends),
            ..Held::default()
        })
    }
}

/// Drains what ends by itself after `ends` seconds, with signals at so many milliseconds. Returns when that was over, and
/// what was told when.
async fn drained(
    (delay, limit): (u64, u64),
    ends: u64,
    signals: &[(Ask, u64)],
) -> (u128, Vec<(Phase, u128)>) {
    let world = World {
        start: Instant::now(),
        ends: Duration::from_secs(ends),
        told: RefCell::default(),
    };
    let times = DrainTimes {
        delay: Duration::from_secs(delay),
        limit: Duration::from_secs(limit),
    };
    let (ask, mut asks) = mpsc::unbounded_channel();
    let start = world.start;
    let signals = signals.to_vec();
    let sends = async move {
        for (signal, at) in signals {
            sleep_until(start + Duration::from_millis(at)).await;
            ask.send(signal).unwrap();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = until_the_end(&mut asks, times, &world) => {}
        () = sends => {}
    }
    (world.start.elapsed().as_millis(), world.told.into_inner())
}

#[tokio::test(start_paused = true)]
async fn each_phase_has_its_time() {
    use Phase::{Closed, Leaving, Parting};
    let (over, told) = drained((5, 20), 9, &[(Ask::Terminate, 0)]).await;
    assert_eq!(told, [(Leaving, 0), (Closed, 5000), (Parting, 6000)]);
    assert!((9000..9200).contains(&over), "{over} ms");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_waited_for_but_the_delay_where_nothing_is_held() {
    let (over, told) = drained((5, 20), 0, &[(Ask::Terminate, 0)]).await;
    assert_eq!(
        (over, told),
        (5000, vec![(Phase::Leaving, 0), (Phase::Closed, 5000)])
    );
    let (over, _) = drained((0, 20), 0, &[(Ask::Terminate, 0)]).await;
    assert_eq!(over, 0);
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_the_end_and_begins_with_the_signal() {
    let (over, _) = drained((5, 20), 99, &[(Ask::Terminate, 700)]).await;
    assert_eq!(over, 20_700);
}

#[tokio::test(start_paused = true)]
async fn further_signals_neither_shorten_nor_prolong_what_the_first_has_promised() {
    let again = [Ask::Terminate, Ask::Interrupt, Ask::Terminate].map(|ask| (ask, 1000));
    let signals = [&[(Ask::Terminate, 0)], &again[..]].concat();
    let (over, told) = drained((5, 20), 99, &signals).await;
    assert_eq!(over, 20_000);
    assert_eq!(told[1], (Phase::Closed, 5000));
}

#[tokio::test(start_paused = true)]
async fn who_sits_at_a_terminal_waits_for_no_delay_and_may_lose_patience() {
    let (over, told) = drained((5, 20), 9, &[(Ask::Interrupt, 0)]).await;
    assert_eq!(told[1], (Phase::Closed, 0));
    assert!((9000..9200).contains(&over), "{over} ms");
    let (over, _) = drained((5, 20), 9, &[(Ask::Interrupt, 0), (Ask::Interrupt, 1500)]).await;
    assert_eq!(over, 1500);
}

#[tokio::test(start_paused = true)]
async fn without_time_and_at_sigquit_the_end_comes_at_once() {
    assert_eq!(drained((0, 0), 9, &[(Ask::Terminate, 0)]).await, (0, vec![]));
    assert_eq!(drained((5, 20), 9, &[(Ask::Quit, 0)]).await, (0, vec![]));
    let (over, _) = drained((5, 20), 9, &[(Ask::Terminate, 0), (Ask::Quit, 300)]).await;
    assert_eq!(over, 300);
}

#[test]
fn flows_that_are_over_are_not_waited_for() {
    let flow = |state, idle| FlowCopy {
        protocol: 6,
        state,
        client: ([192, 0, 2, 1], 1).into(),
        frontend: ([192, 0, 2, 2], 2).into(),
        source: ([192, 0, 2, 3], 3).into(),
        pod: ([192, 0, 2, 4], 4).into(),
        from_client: headgate_net::flow::Carried::default(),
        from_pod: headgate_net::flow::Carried::default(),
        idle: Duration::from_secs(idle),
    };
    assert!(is_under_way(&flow(FlowState::TcpEstablished, 3600)));
    assert!(is_under_way(&flow(FlowState::TcpHalfClosed, 0)));
    assert!(!is_under_way(&flow(FlowState::TcpClosed, 0)));
    assert!(!is_under_way(&flow(FlowState::TcpReset, 0)));
    assert!(is_under_way(&flow(FlowState::UdpReplied, 2)));
    assert!(!is_under_way(&flow(FlowState::UdpReplied, 3)));
}
