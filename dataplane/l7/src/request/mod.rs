//! One request, in five short stages: admit, choose, send, respond, record.
//!
//! Each asks the request's [`Route`](headgate_net::routes::Route) what it has to do besides, which for most routes is one
//! look at a pointer that is not there. The route stays with the request until the last byte of the response.

mod admit;
mod answer;
mod choose;
mod record;
mod redirect;
mod relay;
mod respond;
mod send;
mod shares;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::Parts;

use super::body::Upload;
use super::by_number::ByNumber;
use super::counters::Tally;
use super::current::Current;
use super::headers::{self, Client};
use super::io::Io;
use super::limits::Limits;
use super::net::Net;
use super::running::{Cut, Running};
use super::upstream::{Pool, Ticket};
pub(crate) use answer::Answer;
use choose::Candidates;
use headgate_net::record::{Event, Record, Recorder};
use headgate_net::wire;
use record::RequestRecord;
pub(crate) use relay::ReplyBody;
use send::Delivery;
use shares::Shares;

/// What it takes to answer requests, whatever connection they come by.
pub(crate) struct Gateway {
    pub(crate) net: Rc<Net>,
    pub(crate) limits: Limits,
    pub(crate) current: Rc<Current>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) running: Rc<Running>,
    pub(crate) tally: Rc<Tally>,
    recorder: RefCell<Recorder>,
    /// Of routes with several backends.
    shares: ByNumber<Shares>,
    /// Requests being answered.
    active: Cell<usize>,
}

/// What the requests of one client connection have in common.
pub(crate) struct ClientConnection {
    pub(crate) client: Client,
    /// Pods that the flow log knows this client has reached.
    reached: RefCell<Vec<SocketAddr>>,
}

/// What a client gets.
pub(crate) struct Reply {
    pub(crate) response: Response<ReplyBody>,
    pub(crate) then: Then,
}

/// What becomes of a client's connection after a reply.
pub(crate) enum Then {
    /// More requests.
    Continue,
    /// It closes.
    Close,
    /// It becomes something else.
    Tunnel(Box<Tunnel>),
}

/// A pod's end of a connection that has become something else.
pub(crate) struct Tunnel {
    pub(crate) upstream: Parts<Io>,
    /// Keeps the endpoint's count right, and the tunnel among the running requests, while it lasts.
    pub(crate) ticket: Ticket,
}

impl Gateway {
    pub(crate) fn new(net: Net, limits: Limits, recorder: Recorder, tally: Tally) -> Self {
        let (net, tally) = (Rc::new(net), Rc::new(tally));
        let current = Rc::<Current>::default();
        let pool = Pool::new(
            Rc::clone(&net),
            limits.clone(),
            Rc::clone(&current),
            Rc::clone(&tally),
        );
        Self {
            net,
            limits,
            current,
            pool: Rc::new(pool),
            running: Rc::default(),
            tally,
            recorder: RefCell::new(recorder),
            shares: ByNumber::default(),
            active: Cell::default(),
        }
    }

    /// Requests being answered.
    pub(crate) fn active(&self) -> usize {
        self.active.get()
    }

    /// Tells the flow log of a decision on a client of `listener`.
    pub(crate) fn log(&self, event: Event, client: SocketAddr, listener: SocketAddr, endpoint: SocketAddr) {
        let record = || Record {
            at: self.net.now(),
            publication: self.current.publication(),
            client,
            frontend: listener,
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

    /// An ID for a request that came without.
    fn new_id(&self) -> HeaderValue {
        headers::hexadecimal([self.net.random(), self.net.random()])
    }
}

impl ClientConnection {
    /// Pods of one connection that are remembered; beyond, the flow log has nothing more about it.
    const REACHED: usize = 64;

    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            reached: RefCell::default(),
        }
    }

    /// Tells the flow log of the first request to a pod.
    fn reach(&self, gateway: &Gateway, endpoint: SocketAddr) {
        let mut reached = self.reached.borrow_mut();
        if gateway.recorder.borrow().wants_allowed()
            && reached.len() < Self::REACHED
            && !reached.contains(&endpoint)
        {
            reached.push(endpoint);
            let client = &self.client;
            gateway.log(Event::RequestAllowed, client.address, client.listener, endpoint);
        }
    }
}

/// Answers a request. Never fails: what goes wrong is an answer too. `verdict` is what the connection says of the
/// request's framing, and `cut` ends the request when policies no longer allow it.
pub(crate) async fn handle(
    gateway: Rc<Gateway>,
    peer: Rc<ClientConnection>,
    cut: Cut,
    verdict: Result<(), Answer>,
    request: Request<Incoming>,
) -> Reply {
    let record = RequestRecord::begin(&gateway);
    let id = headers::request_id(request.headers()).unwrap_or_else(|| gateway.new_id());
    let method = request.method().clone();
    let reply = stages(&gateway, &peer, &cut, verdict, request, &id, &record).await;
    let mut reply = reply.unwrap_or_else(|answer| answer.reply(&id, &method));
    let status = reply.response.status();
    record.answered(status);
    reply.response.body_mut().keep(record);
    tracing::trace!(client = %peer.client.address, %method, status = status.as_u16(), id = ?id);
    reply
}

async fn stages(
    gateway: &Gateway,
    peer: &ClientConnection,
    cut: &Cut,
    verdict: Result<(), Answer>,
    request: Request<Incoming>,
    id: &HeaderValue,
    record: &RequestRecord,
) -> Result<Reply, Answer> {
    let admitted = admit::admit(gateway, peer, verdict, &request, record)?;
    let candidates = Candidates::of(gateway, peer, admitted.route, record)?;
    let upgrade = send::wanted_upgrade(&request);
    let request = send::prepare(request, &peer.client, admitted.host, id, upgrade.as_ref());
    if let Upload::Client(_, progress) = request.body() {
        record.uploads(progress);
    }
    let delivery = Delivery {
        gateway,
        peer,
        cut,
        candidates,
    };
    let (response, ticket) = delivery.run(request).await?;
    record.answered_by_pod();
    respond::respond(gateway, response, ticket, upgrade.is_some()).await
}
