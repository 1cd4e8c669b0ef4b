//! What is written back to the cluster: the status of Ingresses and Services, and Events about what is wrong.
//!
//! Of several gateways one does it, the holder of a Lease. What is to be written is kept apart from the writing
//! ([`status`], [`events`], [`election`] know neither network nor clock), so that an API server that is slow or away
//! delays it and loses nothing.

mod addresses;
mod complaints;
mod election;
mod events;
mod lease;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};

use self::complaints::Complaints;
use self::election::{Election, Terms};
use self::events::{Cause, Events};
use self::status::{Statuses, patch};
use super::access::ApiConnection;
use super::backoff::Backoff;
use super::call::{ANSWER, send};
use super::reply::Failure;
use super::resource::resources;
pub use addresses::Publish;
use headgate_controlplane::feedback::Mailbox;
use headgate_controlplane::model::{Id, Kind, ObjectName};
pub use status::StatusAddress;

/// How often the addresses are looked up.
const LOOK_UP: Duration = Duration::from_secs(15);
/// An Event is written of what stands for this time, or up to twice as long.
const RIPEN: Duration = Duration::from_secs(1);
/// How often what was forbidden is tried again, and Events are looked at that may have run out.
const REMIND: Duration = Duration::from_secs(30);
/// Writes are this far apart, so that thousands of them leave the server room for others.
const BETWEEN: Duration = Duration::from_millis(5);
/// What a clock of milliseconds and a server that hesitates have held up is made good as far as this.
const ARREARS: Duration = Duration::from_millis(50);
/// Outcomes at once after which there is reason to put together what is known of objects: a whole cluster's.
const MANY: usize = 1_000;

/// What to write, and as whom.
#[derive(Clone, Debug)]
pub struct WritingOptions {
    /// Where clients reach the Ingresses; `None` where their status is not to be written.
    pub publish: Option<Publish>,
    /// Whether the last gateway takes back what the status says when it ends.
    pub clear_on_end: bool,
    /// The Lease, by its name.
    pub lease: ObjectName,
    /// How long it lasts.
    pub ttl: Duration,
    /// Names this instance among others.
    pub identity: String,
    /// The pod that this is, if it is one.
    pub pod: Option<ObjectName>,
}

/// What the API has of an Ingress or a Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// It is there.
    There {
        id: Id,
        /// In its status.
        addresses: BTreeSet<StatusAddress>,
        /// `spec.loadBalancerIP` of a Service.
        wish: Option<StatusAddress>,
    },
    /// It is gone, or a Service that nobody balances.
    Gone(Id),
}

impl Seen {
    pub(crate) fn object(id: &Id, value: &Value) -> Self {
        let addresses = StatusAddress::of_status(value);
        let spec = &value["spec"];
        let balanced = id.kind != Kind::Service || spec["type"] == "LoadBalancer";
        if !balanced && addresses.is_empty() {
            return Self::Gone(id.clone());
        }
        let wish = spec["loadBalancerIP"]
            .as_str()
            .filter(|ip| balanced && !ip.is_empty());
        Self::There {
            id: id.clone(),
            addresses,
            wish: wish.map(StatusAddress::of),
        }
    }
}

/// What the writer hears.
pub(crate) struct Ears {
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
    pub(crate) mailbox: Mailbox,
    /// Rung when there is something in the mailbox.
    pub(crate) rung: Arc<Notify>,
    /// Rung when the process ends.
    pub(crate) end: Arc<Notify>,
    /// Whether the process was asked to end, and goes on for a while.
    pub(crate) leaving: watch::Receiver<bool>,
    /// Where this says whether it leads.
    pub(crate) leads: watch::Sender<bool>,
}

/// Writes until `end` is rung.
pub(crate) async fn write(options: WritingOptions, connection: ApiConnection, mut ears: Ears) {
    let mut writer = Writer::new(options, connection);
    loop {
        let leads = writer.leads();
        ears.leads
            .send_if_modified(|before| std::mem::replace(before, leads) != leads);
        tokio::select! {
            biased;
            () = ears.end.notified() => break,
            Some(seen) = ears.seen.recv() => writer.hear(seen),
            () = ears.rung.notified() => writer.take(&ears.mailbox),
            _ = writer.campaign.tick() => writer.campaign().await,
            // Clients are to be sent elsewhere now, where there are others.
            Ok(()) = ears.leaving.changed() => writer.look_up.reset_immediately(),
            _ = writer.look_up.tick(), if leads => writer.look_up().await,
            _ = writer.remind.tick(), if leads => writer.remind(),
            _ = writer.ripen.tick(), if leads && writer.events.has_fresh() => writer.ripen(),
            () = sleep_until(writer.next), if leads && writer.has_work => writer.work().await,
        }
    }
    // It ends within the time that the process has for it, or with the process.
    writer.farewell().await;
}

const WRITE_EVENT: &str = "write an Event";
const GET_LEASE: &str = "get the Lease of those who write status and Events";
const FIND_ADDRESSES: &str = "find the addresses for the status of Ingresses and Services";

/// The same for all of a kind, so that it is told once.
fn status_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "write the status of a Service",
        _ => "write the status of an Ingress",
    }
}

struct Writer {
    options: WritingOptions,
    connection: ApiConnection,
    election: Election,
    ingresses: Statuses,
    services: Statuses,
    events: Events,
    led: bool,
    backoff: Backoff,
    /// When the next write may be.
    next: Instant,
    has_work: bool,
    complaints: Complaints,
    campaign: Interval,
    look_up: Interval,
    remind: Interval,
    ripen: Interval,
}

impl Writer {
    fn new(options: WritingOptions, connection: ApiConnection) -> Self {
        let terms = Terms { lease: options.ttl };
        let every = |time| {
            let mut ticks = interval(time);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        Self {
            election: Election::new(options.identity.clone(), terms),
            options,
            connection,
            ingresses: Statuses::default(),
            services: Statuses::of_services(),
            events: Events::default(),
            led: false,
            backoff: Backoff::between((Duration::from_millis(200), Duration::from_secs(15))),
            next: Instant::now(),
            has_work: false,
            complaints: Complaints::default(),
            campaign: every(terms.retry()),
            look_up: every(LOOK_UP),
            remind: every(REMIND),
            ripen: every(RIPEN),
        }
    }

    fn leads(&mut self) -> bool {
        let leads = self.election.leads(Instant::now());
        if leads != self.led {
            self.led = leads;
            if leads {
                tracing::info!("{} writes status and Events from now on", self.options.identity);
                // Who did until now may have written something else, or ended in the midst of it.
                self.ingresses.review();
                self.services.review();
                self.look_up.reset_immediately();
                self.has_work = true;
            } else {
                tracing::info!("{} writes status and Events no longer", self.options.identity);
            }
        }
        leads
    }

    fn hear(&mut self, seen: Seen) {
        self.has_work = true;
        match seen {
            Seen::There { id, addresses, wish } => {
                let statuses = self.statuses(id.kind);
                statuses.wishes(&id.name, wish);
                statuses.seen(&id.name, addresses);
            }
            Seen::Gone(id) => self.statuses(id.kind).gone(&id.name),
        }
    }

    fn statuses(&mut self, kind: Kind) -> &mut Statuses {
        match kind {
            Kind::Service => &mut self.services,
            _ => &mut self.ingresses,
        }
    }

    /// A status that says something else than it is to say, and what.
    fn next_status(&mut self) -> Option<(Id, BTreeSet<StatusAddress>)> {
        self.options.publish.as_ref()?;
        for kind in [Kind::Ingress, Kind::Service] {
            if let Some((name, addresses)) = self.statuses(kind).next() {
                return Some((Id::new(kind, name), addresses));
            }
        }
        None
    }

    fn take(&mut self, mailbox: &Mailbox) {
        self.has_work = true;
        let outcomes = mailbox.take().map(|report| report.outcomes).unwrap_or_default();
        let many = outcomes.len() >= MANY;
        for (id, (_, outcome)) in outcomes {
            match id.kind {
                Kind::Ingress => self.ingresses.became(&id.name, &outcome.standing),
                Kind::Service => self.services.service_became(&id.name, &outcome),
                _ => {}
            }
            self.events.became(&id, &outcome);
        }
        if many {
            self.ingresses.pack();
            self.services.pack();
        }
    }

    fn ripen(&mut self) {
        self.events.ripen();
        self.has_work = true;
    }

    fn remind(&mut self) {
        self.ingresses.resume();
        self.services.resume();
        self.events.resume();
        self.events.remind(Instant::now());
        self.has_work = true;
    }

    async fn look_up(&mut self) {
        let Some(publish) = &self.options.publish else {
            return;
        };
        // Nobody else may write while an answer does not come, and the Lease has to be kept.
        let found = match timeout(ANSWER, publish.find(&self.connection)).await {
            Ok(found) => found,
            Err(_) => Err(Failure::Unreachable(format!("no answer within {ANSWER:?}"))),
        };
        match found {
            // Of a gateway that ends and is the last; or it is not known yet. What was written stays until the end.
            Ok(addresses) if addresses.is_empty() => {}
            Ok(addresses) => {
                self.services.publish(addresses.clone());
                self.ingresses.publish(addresses);
                self.has_work = true;
                self.complaints.over(FIND_ADDRESSES);
            }
            Err(failure) => self.complain(FIND_ADDRESSES, &failure),
        }
    }

    /// Writes one thing.
    async fn work(&mut self) {
        let begun = Instant::now();
        if let Some((id, addresses)) = self.next_status() {
            let what = status_of(id.kind);
            match self.write_status(&id, &addresses).await {
                Ok(()) => self.statuses(id.kind).written(&id.name, addresses),
                Err(Failure::Missing) => {}
                // What RBAC does not allow keeps nobody from the rest, and may be allowed later.
                Err(failure @ (Failure::Forbidden(_) | Failure::Invalid(_))) => {
                    self.statuses(id.kind).postpone(id.name);
                    self.complain(what, &failure);
                }
                Err(failure) => {
                    self.statuses(id.kind).again(id.name);
                    return self.failed(what, &failure).await;
                }
            }
        } else if let Some(cause) = self.events.next() {
            match self.write_event(&cause).await {
                // A namespace that is being removed takes none any more.
                Ok(()) | Err(Failure::Missing | Failure::Invalid(_)) => {
                    self.events.written(cause, Instant::now());
                }
                Err(failure @ Failure::Forbidden(_)) => {
                    self.events.postpone(cause);
                    self.complain(WRITE_EVENT, &failure);
                }
                Err(failure) => {
                    self.events.again(cause);
                    return self.failed(WRITE_EVENT, &failure).await;
                }
            }
        } else {
            self.has_work = false;
            self.all_is_written();
            return;
        }
        self.backoff.reset();
        let earliest = begun.checked_sub(ARREARS).unwrap_or(begun);
        self.next = self.next.max(earliest) + BETWEEN;
    }

    /// What has failed before is told when it fails again.
    fn all_is_written(&mut self) {
        for kind in [Kind::Ingress, Kind::Service] {
            if !self.statuses(kind).has_postponed() {
                self.complaints.over(status_of(kind));
            }
        }
        if !self.events.has_postponed() {
            self.complaints.over(WRITE_EVENT);
        }
    }

    async fn failed(&mut self, what: &'static str, failure: &Failure) {
        self.complain(what, failure);
        let pause = match failure {
            Failure::Later(_, Some(wait)) => self.backoff.pause().max(*wait),
            _ => self.backoff.pause(),
        };
        self.next = Instant::now() + pause;
        if matches!(failure, Failure::Unauthorized(_) | Failure::Unreachable(_)) {
            self.connection.renew().await;
        }
    }

    fn complain(&mut self, what: &'static str, failure: &Failure) {
        if let Some(line) = self.complaints.news(what, failure) {
            tracing::warn!("{line}");
        }
    }

    async fn write_status(
        &self,
        Id { kind, name }: &Id,
        addresses: &BTreeSet<StatusAddress>,
    ) -> Result<(), Failure> {
        let objects = resources(*kind)[0].path(Some(&name.namespace));
        let path = format!("{objects}/{}/status", name.name);
        self.send(
            Method::PATCH,
            &path,
            "application/merge-patch+json",
            &patch(addresses),
        )
        .await
        .map(|_| ())
    }

    async fn write_event(&self, cause: &Cause) -> Result<(), Failure> {
        let path = format!("/api/v1/namespaces/{}/events", cause.namespace());
        let event = cause.event(&self.options.identity, Timestamp::now());
        match self.send(Method::POST, &path, "application/json", &event).await {
            Ok(_) => Ok(()),
            // Whoever led before has written it.
            Err(Failure::Conflict(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &'static str,
        body: &Value,
    ) -> Result<Value, Failure> {
        send(&self.connection, method, path, kind, body).await
    }
}
