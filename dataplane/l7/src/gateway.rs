//! What it takes to answer requests, whatever connection they come by.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use super::buffer::Spare;
use super::by_number::ByNumber;
use super::counters::Tally;
use super::current::Current;
use super::h1::Fields;
use super::h2::Sections;
use super::headers::Client;
use super::limits::Limits;
use super::net::Net;
use super::ready::Ready;
use super::shares::Shares;
use super::shortage::Shortage;
use super::upstream::{Pool, Workbench};
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;
use headgate_net::record::{Event, Record, Recorder};
use headgate_net::wire;

/// One for each thread.
pub(crate) struct Gateway {
    pub(crate) net: Net,
    pub(crate) limits: Limits,
    pub(crate) current: Rc<Current>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) tally: Rc<Tally>,
    pub(crate) spare: RefCell<Spare>,
    /// Room for those of the head that is read.
    pub(crate) fields: RefCell<Fields>,
    /// The same for heads that come by HTTP/2, and room for a block of those that go.
    pub(crate) sections: RefCell<Sections>,
    pub(crate) block: RefCell<Vec<u8>>,
    /// How far the dataplane is with its end.
    pub(crate) phase: Cell<Phase>,
    /// Of routes with several backends.
    pub(crate) shares: ByNumber<Shares>,
    /// Requests being answered.
    pub(crate) active: Cell<usize>,
    /// Pods towards which no source port is free.
    pub(crate) shortage: Shortage,
    recorder: RefCell<Recorder>,
    date: RefCell<(Nanos, String)>,
}

/// What the requests of one client connection have in common.
pub(crate) struct ClientConnection {
    pub(crate) client: Client,
    /// Pods that the flow log knows this client has reached.
    reached: Vec<SocketAddr>,
}

impl Gateway {
    pub(crate) fn new(
        net: Net,
        limits: Limits,
        recorder: Recorder,
        tally: Tally,
        ready: &Arc<Ready>,
    ) -> Self {
        let (current, tally) = (Rc::<Current>::default(), Rc::new(tally));
        let pool = Pool::new(&limits, &current, &tally, ready);
        Self {
            net,
            limits,
            current,
            pool: Rc::new(pool),
            tally,
            spare: RefCell::default(),
            fields: RefCell::default(),
            sections: RefCell::default(),
            block: RefCell::default(),
            phase: Cell::default(),
            shares: ByNumber::default(),
            active: Cell::default(),
            shortage: Shortage::default(),
            recorder: RefCell::new(recorder),
            date: RefCell::default(),
        }
    }

    /// What a connection to a pod may use while it is looked at.
    pub(crate) fn workbench(&self) -> Workbench<'_> {
        Workbench {
            tally: &self.tally,
            spare: &self.spare,
            sections: &self.sections,
            now: self.net.now(),
        }
    }

    /// Whether a connection that came in a phase is to end with its next response. One that came while clients are still
    /// taken may stay until they are not: whoever sends it here would send it again.
    pub(crate) fn dismisses(&self, came: Phase) -> bool {
        let phase = self.phase.get();
        phase.is_draining() && (phase > came || phase.is_closed())
    }

    /// Tells the flow log of a decision on a client of `listener`.
    pub(crate) fn log(&self, event: Event, client: &Client, endpoint: SocketAddr) {
        let record = || Record {
            at: self.net.now(),
            publication: self.current.publication(),
            client: client.address,
            frontend: client.listener,
            pod: endpoint,
            protocol: wire::TCP,
            event,
        };
        let mut recorder = self.recorder.borrow_mut();
        if event.is_allowed() {
            recorder.allowed(record);
        } else {
            recorder.denied(record);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the time of day, once a second, which workers do not tell"
    )]
    /// Lets `look` see the time of day as Date tells it (RFC 9110, section 5.6.7), of this second or the one before.
    pub(crate) fn date<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        let (until, text) = &mut *self.date.borrow_mut();
        let now = self.net.now();
        if now >= *until || text.is_empty() {
            *text = httpdate::fmt_http_date(SystemTime::now());
            *until = now.after(std::time::Duration::from_secs(1));
        }
        look(text.as_bytes())
    }
}

impl ClientConnection {
    /// Pods of one connection that are remembered; beyond, the flow log has nothing more about it.
    const REACHED: usize = 64;

    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            reached: Vec::new(),
        }
    }

    /// Tells the flow log of the first request to a pod.
    pub(crate) fn reach(&mut self, gateway: &Gateway, endpoint: SocketAddr) {
        if gateway.recorder.borrow().wants_allowed()
            && self.reached.len() < Self::REACHED
            && !self.reached.contains(&endpoint)
        {
            self.reached.push(endpoint);
            gateway.log(Event::RequestAllowed, &self.client, endpoint);
        }
    }
}
