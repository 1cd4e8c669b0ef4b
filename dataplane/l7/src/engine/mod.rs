//! All connections of clients on one thread, each a state machine without a task.
//!
//! A connection and the exchange that goes on over it are one record. It is looked at when something has happened on the
//! client's side or the pod's, which its [bell](Bell) tells, or when a time has come, which the [`Wheel`] does; it goes
//! as far as it can and leaves its waker with whatever it has to wait for.
//!
//! ```text
//! Announced ──▶ Greeting ──▶ Head ──▶ Exchange ──▶ Tunnel
//!  (PROXY)       (TLS)        ▲ │       │
//!                             │ ▼       ▼
//!                           Answering ◀─┘ (an answer of our own)
//! ```

mod client;
mod dialogue;
mod exchange;
mod pace;
mod sharing;
mod telling;
mod tunnel;
mod wheel;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use slab::Slab;

use super::gateway::Gateway;
use super::net::Stream;
use super::ready::{self, Bell, Ready};
use dialogue::{Dialogue, Outlook};
use exchange::ExchangePlaces;
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;
use headgate_net::record::{Event, HttpCount};
use wheel::Wheel;

/// How often the list of those who are ready is looked at again in a turn: what a client's request sets off is often ready at once.
const ROUNDS: usize = 4;

/// Places of clients that are not worth giving back, and how often the others are looked at.
const LEAST_PLACES: usize = 1_024;
const SHRINK: Duration = Duration::from_secs(2);

/// Steps of a connection while it is looked at once: each moves 16 KiB at most.
const STEPS: usize = 128;

/// The connections of clients.
pub(crate) struct Engine {
    pub(crate) gateway: Rc<Gateway>,
    ready: Arc<Ready>,
    clients: Slab<Seat>,
    wheel: Wheel,
    places: ExchangePlaces,
    /// How many of the clients are streams of others.
    streams: usize,
    /// Room for the lists of a turn.
    newcomers: Vec<Dialogue>,
    keys: Vec<usize>,
    due: Vec<usize>,
    /// When places were given back last.
    shrunk: Nanos,
}

/// A client's place.
struct Seat {
    dialogue: Dialogue,
    bell: Arc<Bell>,
    waker: Waker,
}

/// What a client's connection may use while it is looked at.
pub(super) struct Turn<'a, 'w> {
    pub(super) gateway: &'a Rc<Gateway>,
    pub(super) cx: &'a mut Context<'w>,
    pub(super) now: Nanos,
    places: &'a mut ExchangePlaces,
    /// Streams that have begun, which are clients from here on.
    newcomers: &'a mut Vec<Dialogue>,
    /// Steps that it may still take before others have their turn.
    left: usize,
}

impl Turn<'_, '_> {
    /// Whether another step may be taken. Where not, the connection is looked at again once others have had their turn: on the
    /// kernel's sockets a fast peer would else never leave it without work.
    pub(super) fn goes_on(&mut self) -> bool {
        if self.left == 0 {
            self.cx.waker().wake_by_ref();
            return false;
        }
        self.left -= 1;
        true
    }
}

impl Engine {
    /// Without clients.
    pub(crate) fn new(gateway: Rc<Gateway>, ready: Arc<Ready>) -> Self {
        Self {
            ready,
            gateway,
            clients: Slab::new(),
            wheel: Wheel::default(),
            places: ExchangePlaces::default(),
            streams: 0,
            newcomers: Vec::new(),
            keys: Vec::new(),
            due: Vec::new(),
            shrunk: Nanos(0),
        }
    }

    /// Clients that are connected.
    pub(crate) fn len(&self) -> usize {
        self.clients.len() - self.streams
    }

    /// Takes a client in, if there is a listener for it.
    pub(crate) fn accept(&mut self, stream: Stream) {
        let gateway = &self.gateway;
        let door = gateway.current.configured(|config| {
            let door = config.listeners.get(&stream.listener())?;
            Some((door.protocol, door.is_balancer(stream.peer_addr().ip())))
        });
        let Some((protocol, announced)) = door.flatten() else {
            return stream.abort();
        };
        gateway.tally.count(HttpCount::Connections);
        let dialogue = Dialogue::new(gateway, stream, protocol, announced);
        self.seat(dialogue);
    }

    /// Gives a client a place, and has it looked at.
    fn seat(&mut self, dialogue: Dialogue) {
        let entry = self.clients.vacant_entry();
        let bell = Bell::new(&self.ready, entry.key());
        bell.ring();
        entry.insert(Seat {
            dialogue,
            waker: bell.waker(),
            bell,
        });
    }

    /// A client is gone.
    fn unseat(&mut self, key: usize) {
        self.wheel.remove(key);
        let seat = self.clients.remove(key);
        self.streams -= usize::from(seat.dialogue.is_stream());
    }

    /// Has what happens until the next [`turn`](Self::turn) wait for it: it will come without being asked for.
    pub(crate) fn stay_awake(&self) {
        self.ready.stay_awake(true);
    }

    /// Looks at everyone who is worth a look.
    pub(crate) fn turn(&mut self, now: Nanos) {
        self.ready.stay_awake(true);
        let mut due = std::mem::take(&mut self.due);
        self.wheel.turn(now, &mut due);
        for key in due.drain(..) {
            self.look(key, now);
        }
        self.due = due;
        let mut keys = std::mem::take(&mut self.keys);
        for _ in 0..ROUNDS {
            self.ready.take(&mut keys);
            if keys.is_empty() {
                break;
            }
            for key in keys.drain(..) {
                self.look(key, now);
            }
        }
        self.keys = keys;
        self.share_ports(now);
        self.ready.stay_awake(false);
        self.shrink(now);
    }

    /// Gives back the places of clients that have left, where few of many are left.
    fn shrink(&mut self, now: Nanos) {
        let (len, places) = (self.clients.len(), self.clients.capacity());
        if places < LEAST_PLACES || len > places / 4 || now < self.shrunk.after(SHRINK) {
            return;
        }
        self.shrunk = now;
        self.clients.shrink_to_fit();
        self.keys = Vec::new();
        self.due = Vec::new();
        self.wheel.shrink(self.clients.capacity());
    }

    /// When [`turn`](Self::turn) has something to do, if nothing happens before.
    pub(crate) fn next_timer(&self, now: Nanos) -> Option<Nanos> {
        if self.ready.is_empty() {
            let shortage = self.gateway.shortage.next();
            shortage.into_iter().chain(self.wheel.next()).min()
        } else {
            Some(now)
        }
    }

    fn look(&mut self, key: usize, now: Nanos) {
        if let Some(endpoint) = ready::endpoint_of(key) {
            return self.gateway.pool.look(endpoint, &self.gateway.workbench());
        }
        let Some(seat) = self.clients.get_mut(key) else {
            return;
        };
        seat.bell.answered();
        let mut turn = Turn {
            gateway: &self.gateway,
            cx: &mut Context::from_waker(&seat.waker),
            now,
            places: &mut self.places,
            newcomers: &mut self.newcomers,
            left: STEPS,
        };
        match seat.dialogue.turn(&mut turn) {
            Outlook::Stays(None) => {}
            Outlook::Stays(Some(deadline)) => self.wheel.put(key, deadline),
            Outlook::Gone => self.unseat(key),
        }
        while let Some(stream) = self.newcomers.pop() {
            self.streams += 1;
            self.seat(stream);
        }
    }

    /// Cuts the requests and tunnels under way that are not allowed any more: who waits for an answer is told, who has a part of
    /// one finds the connection reset.
    pub(crate) fn cut(&mut self, allowed: impl Fn(IpAddr, SocketAddr) -> bool) {
        for (_, seat) in &mut self.clients {
            let client = *seat.dialogue.who();
            let Some(endpoint) = seat.dialogue.endpoint().filter(|pod| !allowed(client.ip(), *pod)) else {
                continue;
            };
            if seat.dialogue.cut() {
                self.gateway.tally.count(HttpCount::Cut);
                self.gateway.log(Event::RequestCut, &client, endpoint);
                seat.bell.ring();
            }
        }
    }

    /// The dataplane is so far with its end. Connections are asked to end with their next response, and in the end those
    /// that wait for a request are closed.
    pub(crate) fn enter(&mut self, phase: Phase) {
        self.gateway.phase.set(phase);
        if phase.is_draining() {
            self.clients.iter().for_each(|(_, seat)| seat.bell.ring());
        }
    }
}
