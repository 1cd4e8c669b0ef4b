//! Denials that repeat themselves: a client that is denied tries again, and again.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Event, Record};
use headgate_net::clock::Nanos;

/// How long repetitions of a denial are only counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Denials that are watched for repetitions; beyond, each has its line.
const WATCHED: usize = 4_096;

/// The first denial of a connection has its line at once; the rest of a window have one together at its end.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashMap<Denied, Window>);

/// Denials that are told as one: everything but the client's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Denied {
    client: IpAddr,
    frontend: SocketAddr,
    pod: SocketAddr,
    protocol: u8,
    event: Event,
}

#[derive(Debug)]
struct Window {
    ends: Nanos,
    /// The last repetition and how many there were.
    repeated: Option<(Record, u64)>,
    worker: u8,
}

impl Repeats {
    /// Whether a record has a line of its own; if not, it is counted.
    pub(super) fn is_first(&mut self, record: &Record, worker: u8) -> bool {
        if !matches!(record.event, Event::FlowDenied | Event::RequestDenied) {
            return true;
        }
        let key = Denied {
            client: record.client.ip(),
            frontend: record.frontend,
            pod: record.pod,
            protocol: record.protocol,
            event: record.event,
        };
        if let Some(window) = self.0.get_mut(&key) {
            let count = window.repeated.map_or(0, |(_, count)| count);
            window.repeated = Some((*record, count + 1));
            window.worker = worker;
            return false;
        }
        if self.0.len() < WATCHED {
            let window = Window {
                ends: record.at.after(WINDOW),
                repeated: None,
                worker,
            };
            self.0.insert(key, window);
        }
        true
    }

    /// The windows that are over: the last repetition, its worker, and how many there were. One with repetitions is
    /// followed by another, so that a client that never stops has a line for each window.
    pub(super) fn ended(&mut self, now: Nanos, mut told: impl FnMut(Record, u8, u64)) {
        self.0.retain(|_, window| {
            if window.ends > now {
                return true;
            }
            window.ends = now.after(WINDOW);
            let repeated = window.repeated.take();
            if let Some((record, count)) = repeated {
                told(record, window.worker, count);
            }
            repeated.is_some()
        });
    }

    /// Whether windows are open.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
