//! A request on its way to a pod, and the response on its way back: both sides in one record.
//!
//! ```text
//! client.inbox ─ reader ─ writer ─▶ link.outbox ─▶ pod      upload
//! client.outbox ◀─ writer ─ reader ─ link.inbox ◀─ pod      download
//! ```
//!
//! A piece is taken from one side only while the other has room, so a slow reader stops the sender through TCP's window, and
//! nothing is held whole.

mod delivery;
mod download;
mod upload;

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;

use super::Turn;
use super::client::Client;
use super::tunnel::Tunnel;
use crate::buffer::ROOM;
use crate::gateway::Gateway;
use crate::h1::RefusedRequest;
use crate::h1::body::BodyReader;
use crate::h1::request::RequestHead;
use crate::headers;
use crate::request::{Answer, Audience, Candidates, RequestRecord, admit};
use crate::upstream::Link;
use delivery::Pod;
use download::Download;
use headgate_net::clock::Nanos;
use headgate_net::record::{HttpCount, UpstreamCount};
use upload::Upload;

/// How long a pod may take to read the rest of a request that it has answered already.
const REST: Duration = Duration::from_secs(1);

/// Everything about one request that goes to a pod.
pub(super) struct Exchange {
    audience: Audience,
    candidates: Candidates,
    /// Endpoints that have failed.
    tried: Vec<SocketAddr>,
    /// One of them towards which nothing was missing but a source port.
    short: Option<SocketAddr>,
    /// How often a connection that was used before came to nothing.
    again: usize,
    /// What the last of them came to.
    failure: Option<Answer>,
    pod: Pod,
    upload: Upload,
    download: Download,
    /// Until the response is complete.
    record: Option<RequestRecord>,
    /// Policies no longer allow it.
    pub(super) cut: bool,
}

/// Where exchanges are kept. Those of a batch begin together and end together, which are more than an allocator has at hand.
#[expect(clippy::vec_box, reason = "the boxes go in and out, not what is in them")]
#[derive(Default)]
pub(super) struct ExchangePlaces(Vec<Box<Option<Exchange>>>);

impl ExchangePlaces {
    /// Empty ones that are kept.
    const SPARE: usize = 256;

    /// One where nothing is.
    pub(super) fn take(&mut self) -> Box<Option<Exchange>> {
        self.0.pop().unwrap_or_default()
    }

    /// Ends what is there.
    pub(super) fn give_back(&mut self, mut place: Box<Option<Exchange>>) {
        *place = None;
        if self.0.len() < Self::SPARE {
            self.0.push(place);
        }
    }
}

/// How an exchange has ended.
pub(super) enum Ended {
    /// The response is complete.
    Whole,
    /// There is none but one of our own, or none at all where a part of the pod's is there.
    Answer(Answer),
    /// The connection has become something else.
    Switched(Box<Tunnel>),
    /// The response broke off, which the end of the connection shows.
    Broken,
    /// The client has left.
    ClientGone,
    /// It takes too little of what is there for it.
    ClientSlow,
    /// The response broke off, and nothing but a reset shows it.
    Reset,
    /// Policies no longer allow it, and a part of the response is there.
    Cut,
}

impl Exchange {
    /// Finds out where a request goes, and prepares its head for the pod. The exchange begins in its place: it is not small.
    pub(super) fn begin(
        place: &mut Option<Self>,
        gateway: &Rc<Gateway>,
        client: &headers::Client,
        head: &RequestHead<'_, '_>,
        audience: Audience,
        record: RequestRecord,
        now: Nanos,
    ) -> Result<(), Box<(Answer, Audience, RequestRecord)>> {
        let begun = admit(gateway, client, head, &record).and_then(|admitted| {
            let candidates = Candidates::of(gateway, admitted.route, &record)?;
            let protocol = candidates.protocol;
            let upload = Upload::new(gateway, client, head, &admitted.host, &audience, protocol, now);
            Ok((candidates, upload))
        });
        match begun {
            Err(answer) => Err(Box::new((answer, audience, record))),
            Ok((candidates, upload)) => {
                *place = Some(Self {
                    download: Download::new(head, audience.version, candidates.protocol, now),
                    audience,
                    candidates,
                    tried: Vec::new(),
                    short: None,
                    again: 0,
                    failure: None,
                    pod: Pod::None,
                    upload,
                    record: Some(record),
                    cut: false,
                });
                Ok(())
            }
        }
    }

    /// The pod that it goes to, while a change of policies may end it.
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.record.as_ref()?;
        self.pod.endpoint()
    }

    /// Whether the client's connection outlives it.
    pub(super) fn keeps(&self) -> bool {
        !self.download.closes && self.upload.is_read()
    }

    /// Goes as far as it can; `None` while it is not over.
    pub(super) fn turn(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Option<Ended> {
        let ended = self.progress(client, turn).err()?;
        self.upload.settle(&mut turn.gateway.spare.borrow_mut());
        Some(ended)
    }

    fn progress(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<(), Ended> {
        if self.cut && self.record.is_some() {
            return Err(self.cut_off(client, turn));
        }
        loop {
            let may_send = self.pod.is_open() || self.download.is_done() || self.deliver(client, turn)?;
            if may_send {
                self.send_request(client, turn)?;
            }
            // Each goes as far as it can by itself. What may let an earlier one go further is another pod, room for more of the
            // response, or something that the client has said.
            let mut again = self.receive_response(client, turn)?;
            again |= self.flush(client, turn)?;
            if self.download.is_done() {
                self.complete(client, turn)?;
            }
            again |= self.watch_client(client, turn)?;
            if !again || !turn.goes_on() {
                return self.wait(client, turn);
            }
        }
    }

    /// Sends what the client has room for. Whether there is room for more of the response now.
    fn flush(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<bool, Ended> {
        let (before, full) = (client.outbox.len(), !client.has_room());
        // Where the outbox is empty, something may wait below it that is encrypted already.
        match client.flush(turn) {
            Poll::Ready(Err(_)) => Err(self.abandon()),
            _ => Ok(client.has_room() && (full || client.outbox.len() < before)),
        }
    }

    /// Sees whether the client has left or closed its side, when nothing is expected of it.
    fn watch_client(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<bool, Ended> {
        let idle = client.ended || !self.upload.is_read() || client.inbox.len() >= ROOM;
        if idle {
            return Ok(false);
        }
        match client.read(ROOM, turn) {
            Poll::Pending => Ok(false),
            // The next request waits for its turn.
            Poll::Ready(Ok(1..)) => Ok(true),
            // It has said all that it wants, and waits for its answer.
            Poll::Ready(Ok(0)) => {
                client.ended = true;
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(self.abandon()),
        }
    }

    /// The response is there: the connection to the pod is given back once the request is complete, too.
    fn complete(&mut self, client: &Client, turn: &Turn<'_, '_>) -> Result<(), Ended> {
        self.record = None;
        let sent = self.upload.is_done() && self.pod.has_everything();
        if sent && self.download.pod_keeps {
            self.pod.give_back(turn.now, &mut turn.gateway.spare.borrow_mut());
        }
        if sent || self.download.closes {
            return Err(Ended::Whole);
        }
        if turn.now >= self.download.heard.max(self.upload.moved).after(REST) || client.ended {
            // What is left of the request is read by nobody.
            self.download.closes = true;
            return Err(Ended::Whole);
        }
        Ok(())
    }

    /// Nothing can be done now: until when?
    fn wait(&mut self, client: &mut Client, turn: &Turn<'_, '_>) -> Result<(), Ended> {
        let limits = &turn.gateway.limits;
        let now = turn.now;
        if client.outbox.is_empty() {
            client.has_everything();
        }
        let deadline = if let Some(until) = self.pod.until() {
            until
        } else if self.download.is_done() {
            self.download.heard.max(self.upload.moved).after(REST)
        } else if !client.outbox.is_empty() {
            let Some(deadline) = client.patience(turn) else {
                self.pod.reset();
                return Err(Ended::ClientSlow);
            };
            deadline
        } else if self.download.has_begun() {
            let moved = self.download.heard.max(client.taken).max(self.upload.moved);
            let deadline = moved.after(limits.read);
            if now >= deadline {
                return Err(self.break_off());
            }
            deadline
        } else if self.upload.waits_for(client) && self.pod.has_everything() {
            let paced = self.upload.keeps_pace(now, limits.rate);
            let deadline = self.upload.moved.after(limits.body);
            if now >= deadline || paced.is_none() {
                let late = RefusedRequest {
                    status: StatusCode::REQUEST_TIMEOUT,
                    reason: "the rest of the request did not come in time",
                };
                return Err(self.refuse(late, turn));
            }
            paced.map_or(deadline, |paced| deadline.min(paced))
        } else {
            let deadline = self.upload.moved.after(limits.response);
            if now >= deadline {
                if let Some(stream) = self.link().and_then(|link| link.wire.part()) {
                    // What is asked next goes another way.
                    stream.retire();
                }
                let (http, upstream) = (HttpCount::ResponseTimeouts, UpstreamCount::ResponseTimeouts);
                self.candidates.count(turn.gateway, http, upstream);
                let reason = "the service did not answer in time";
                return Err(Ended::Answer(Answer::new(StatusCode::GATEWAY_TIMEOUT, reason)));
            }
            deadline
        };
        client.deadline = deadline;
        self.pod.settle(&mut turn.gateway.spare.borrow_mut());
        Ok(())
    }

    /// Whether it goes on only if the client does something, which it has not since then.
    pub(super) fn is_stalled(&self, client: &Client, since: Nanos) -> bool {
        if client.outbox.is_empty() {
            self.upload.waits_for(client) && self.upload.moved < since
        } else {
            client.taken < since
        }
    }

    /// Gives the pod's connection up.
    pub(super) fn give_way(&mut self) {
        self.pod.reset();
    }

    /// Policies no longer allow it.
    fn cut_off(&mut self, client: &Client, turn: &Turn<'_, '_>) -> Ended {
        self.pod.reset();
        if self.download.has_begun() {
            return Ended::Cut;
        }
        let answer = self.candidates.denied(turn.gateway, client.who());
        Ended::Answer(answer.last())
    }

    /// The client has left: nobody needs the pod's answer.
    fn abandon(&mut self) -> Ended {
        self.pod.reset();
        Ended::ClientGone
    }

    /// The response ends before its end.
    fn break_off(&mut self) -> Ended {
        if let Some(record) = &self.record {
            record.broke_off();
        }
        self.pod.reset();
        if self.download.shows_its_end(&self.audience) {
            Ended::Broken
        } else {
            Ended::Reset
        }
    }

    /// What an answer of our own needs to know in place of a response: `None` where a part of one is there already, but for
    /// interim ones. With what is left of the request's body, if it is worth reading.
    pub(super) fn leave(mut self) -> Option<(RequestRecord, Audience, Option<BodyReader>)> {
        self.pod.reset();
        let body = self.upload.rest();
        Some((self.record?, self.audience, body))
    }

    /// The connection becomes something else.
    fn switched(&mut self) -> Result<Tunnel, ()> {
        self.record = None;
        match std::mem::take(&mut self.pod) {
            Pod::Open { link, lease, .. } => Ok(Tunnel::new(link, lease)),
            Pod::None | Pod::Waiting { .. } | Pod::Connecting { .. } | Pod::Joining { .. } => Err(()),
        }
    }

    fn link(&mut self) -> Option<&mut Link> {
        self.pod.link()
    }
}
