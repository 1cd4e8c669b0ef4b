//! The end in order: what is new is left to others, and what is under way comes to its end within a time.
//!
//! ```text
//! SIGTERM ── leaving ──────────── closed ─────── parting ──────────────── the end
//!            not ready,           no new         clients without          nothing is left,
//!            no ARP, no NDP       clients        a request are closed     or the time is over
//!            --drain-delay        LAST_CALL
//!            --drain-time ──────────────────────────────────────────────►
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headgate_net::flow::{FlowCopy, FlowState};
use headgate_net::phase::Phase;
use headgate_net::record::{HttpGauge, WorkerGauge};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::options::Options;
use crate::worker::Shared;

/// Those who ask for the end.
pub(super) type Asks = mpsc::UnboundedReceiver<Ask>;

/// How the end is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// By the kubelet or systemd: whoever sends clients here is given time to notice.
    Terminate,
    /// By somebody at a terminal, who is waiting.
    Interrupt,
    /// At once, whatever is under way.
    Quit,
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
        })
    }
}

/// How long what may take; both begin with the signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct DrainTimes {
    /// Until new clients are left to others.
    pub(super) delay: Duration,
    /// Until the end, whatever is under way.
    pub(super) limit: Duration,
}

impl DrainTimes {
    pub(super) fn of(options: &Options) -> Self {
        Self {
            delay: options.drain_delay,
            limit: options.drain_time,
        }
    }
}

/// What would be cut by the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Clients' connections, and others whose last bytes are on their way.
    pub(super) connections: usize,
    /// Requests being answered, over these connections.
    pub(super) requests: u64,
    /// Flows of Services.
    pub(super) flows: usize,
}

impl Held {
    const fn is_nothing(self) -> bool {
        self.connections == 0 && self.flows == 0
    }
}

/// What is drained.
pub(super) trait Draining {
    /// Tells everybody.
    fn enter(&self, phase: Phase);
    /// What is under way; `None` until everybody has entered `phase`.
    async fn held(&self, phase: Phase) -> Option<Held>;
}

/// How long clients that wait for nothing may take to send a request after all, once new ones are left to others: whoever
/// is about to must not find the connection closed.
const LAST_CALL: Duration = Duration::from_secs(1);
/// How often it is looked whether anything is left.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until the end is asked for, and then until nothing is left or the time is over.
pub(super) async fn until_the_end(asks: &mut Asks, times: DrainTimes, of: &impl Draining) {
    match asks.recv().await {
        Some(ask @ (Ask::Terminate | Ask::Interrupt)) if !times.limit.is_zero() => {
            drain(ask, asks, times, of).await;
        }
        Some(ask) => tracing::info!("{ask}: stopping"),
        None => {}
    }
}

async fn drain(first: Ask, asks: &mut Asks, times: DrainTimes, of: &impl Draining) {
    let delay = match first {
        Ask::Terminate => times.delay,
        Ask::Interrupt | Ask::Quit => Duration::ZERO,
    };
    let asked = Instant::now();
    let (closes, limit) = (asked + delay, asked + times.limit);
    tracing::info!(
        "{first}: draining: new clients are served for {delay:?} more, and those that are there come to their end within {:?}",
        times.limit
    );
    let mut phase = Phase::Leaving;
    of.enter(phase);
    loop {
        let now = Instant::now();
        let due = phase_at(now, closes);
        if due != phase {
            phase = due;
            of.enter(phase);
        }
        let held = of.held(phase).await;
        if phase.is_closed() && held.is_some_and(Held::is_nothing) {
            tracing::info!("drained after {:.1?}: nothing is cut", asked.elapsed());
            return;
        }
        if now >= limit {
            return tell_what_is_cut(held.unwrap_or_default(), times.limit);
        }
        let next = if phase.is_closed() { now + LOOK } else { closes };
        tokio::select! {
            () = sleep_until(next.min(limit)) => {}
            ask = asks.recv() => {
                if !goes_on(first, ask, limit.saturating_duration_since(Instant::now())) {
                    return tell_what_is_cut(of.held(phase).await.unwrap_or_default(), asked.elapsed());
                }
            }
        }
    }
}

fn phase_at(now: Instant, closes: Instant) -> Phase {
    if now >= closes + LAST_CALL {
        Phase::Parting
    } else if now >= closes {
        Phase::Closed
    } else {
        Phase::Leaving
    }
}

/// Whether the first signal's promise is kept after another one; `None` where nobody is left to ask.
fn goes_on(first: Ask, again: Option<Ask>, left: Duration) -> bool {
    let Some(again) = again else { return false };
    let impatient = again == Ask::Quit || (first, again) == (Ask::Interrupt, Ask::Interrupt);
    if impatient {
        tracing::info!("{again} while draining: ending at once");
    } else {
        tracing::info!(
            "{again} while draining: it goes on, for {left:.1?} at most; SIGQUIT would end it at once"
        );
    }
    !impatient
}

fn tell_what_is_cut(held: Held, after: Duration) {
    let Held {
        connections,
        requests,
        flows,
    } = held;
    tracing::warn!(
        connections,
        requests,
        flows,
        "the end after {after:.1?} of draining: the rest is cut"
    );
}

/// All threads of a dataplane.
impl Draining for Arc<Shared> {
    fn enter(&self, phase: Phase) {
        Shared::enter(self, phase);
    }

    async fn held(&self, phase: Phase) -> Option<Held> {
        let connections = Shared::held(self, phase)?;
        let records = || self.records.iter();
        let shared = Arc::clone(self);
        let flows = match records().map(|record| record.now.get(WorkerGauge::Flows)).sum() {
            0_u64 => 0,
            // Beside this thread, which has others to serve. One that is lost tells nothing, and is asked again.
            _ => tokio::task::spawn_blocking(move || flows_under_way(&shared))
                .await
                .ok()?,
        };
        Some(Held {
            connections,
            requests: records().map(|record| record.l7.now.get(HttpGauge::Active)).sum(),
            flows,
        })
    }
}

/// How long workers may take to tell their flows.
const PATIENCE: Duration = Duration::from_secs(1);

/// Flows of the workers that are not over; one at least where they could not be counted in time.
fn flows_under_way(shared: &Shared) -> usize {
    let mut count = 0;
    let complete = shared.each_flow(PATIENCE, |_, flow| count += usize::from(is_under_way(&flow)));
    count.max(usize::from(!complete))
}

/// Nothing shows the end of a UDP flow but that it is quiet.
const QUIET: Duration = Duration::from_secs(3);

fn is_under_way(flow: &FlowCopy) -> bool {
    match flow.state {
        FlowState::TcpOpening
        | FlowState::TcpAnswered
        | FlowState::TcpEstablished
        | FlowState::TcpHalfClosed => true,
        FlowState::UdpUnreplied | FlowState::UdpReplied => flow.idle < QUIET,
        FlowState::Free | FlowState::TcpClosed | FlowState::TcpReset => false,
    }
}

#[cfg(test)]
mod tests;
