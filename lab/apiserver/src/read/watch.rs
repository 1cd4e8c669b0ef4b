//! Watches: what is there, what changes, bookmarks, and the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::list::wait_for;
use super::options::Options;
use super::view::View;
use crate::answer::{Answer, JSON};
use crate::body::Body;
use crate::failure::Failure;
use crate::keyspace::{Change, Compacted, Object};
use crate::request::Request;
use crate::select::Selector;
use crate::shared::Shared;

/// A last bookmark comes so long before a watch's end.
const BEFORE_THE_END: Duration = Duration::from_secs(2);
/// Events are sent in pieces of about this size, where many are due at once.
const PIECE: usize = 32 * 1024;

/// Begins a watch.
pub(crate) async fn watch(
    shared: &Arc<Shared>,
    request: &Request,
    view: &View,
    selector: Selector,
) -> Result<Answer, Failure> {
    let options = Options::parse(&request.query, true, shared.age)?;
    if options.initial_events == Some(true)
        && let Some(revision) = options.revision
    {
        wait_for(shared, revision).await?;
    }
    let (to, from) = mpsc::channel(16);
    let watcher = Watcher {
        shared: Arc::clone(shared),
        view: view.clone(),
        selector,
        namespace: request.target.namespace.clone(),
        name: request.target.name.clone(),
        options,
        to,
        first: true,
    };
    tokio::spawn(watcher.run());
    Ok(Answer::new(200, JSON, Body::Stream(from)))
}

struct Watcher {
    shared: Arc<Shared>,
    view: View,
    selector: Selector,
    namespace: String,
    name: String,
    options: Options,
    to: mpsc::Sender<io::Result<Bytes>>,
    /// Whether no event with an object was sent yet.
    first: bool,
}

/// The client is gone, or the watch is at its end.
struct Over;

impl Watcher {
    async fn run(mut self) {
        let timeout = self
            .options
            .timeout
            .map_or(self.shared.settings.watch_timeout, Duration::from_secs);
        let end = Instant::now() + timeout;
        let mut closed = self.shared.watches_closed.subscribe();
        closed.mark_unchanged();
        let to = self.to.clone();
        let work = async {
            let Ok(from) = self.begin().await else { return };
            let _ = self.follow(from, end).await;
        };
        tokio::select! {
            () = work => {}
            () = sleep_until(end) => {}
            _ = closed.changed() => {}
            () = to.closed() => {}
        }
    }

    /// Sends what is there where that is asked for. Returns the revision from which changes are told.
    async fn begin(&mut self) -> Result<u64, Over> {
        let asked = self.options.revision.unwrap_or(0);
        let initial = self.options.initial_events.unwrap_or(asked == 0);
        if !initial {
            let from = if asked == 0 {
                self.shared.keyspace.revision()
            } else {
                asked
            };
            return match self.shared.keyspace.check(from) {
                Ok(()) => Ok(from),
                Err(compacted) => self.expired(from, &compacted).await,
            };
        }
        let snapshot = self
            .shared
            .keyspace
            .list(&self.view.resource.table, &self.namespace);
        let mut events = BytesMut::new();
        for object in &snapshot.objects {
            if !self.wants(object) {
                continue;
            }
            self.event(&mut events, "ADDED", object);
            if events.len() > PIECE {
                self.send(events.split().freeze()).await?;
            }
        }
        self.send(events.freeze()).await?;
        if self.options.initial_events.is_some() && self.options.bookmarks {
            self.bookmark(snapshot.revision, true).await?;
        }
        Ok(snapshot.revision)
    }

    /// Sends changes and bookmarks as they come.
    async fn follow(&mut self, from: u64, end: Instant) -> Result<(), Over> {
        let mut revisions = self.shared.keyspace.subscribe();
        let interval = self.shared.settings.bookmark_interval;
        let (mut at, mut bookmark) = (from, next_bookmark(interval, end));
        loop {
            revisions.mark_unchanged();
            match self.shared.keyspace.changes(&self.view.resource.table, at) {
                Ok(found) => {
                    self.tell(&found.changes).await?;
                    at = found.upto.max(at);
                }
                Err(compacted) => return self.expired(at, &compacted).await,
            }
            tokio::select! {
                changed = revisions.changed() => changed.map_err(|_| Over)?,
                () = sleep_until(bookmark), if self.options.bookmarks => {
                    self.bookmark(at, false).await?;
                    bookmark = next_bookmark(interval, end);
                }
            }
        }
    }

    async fn tell(&mut self, changes: &[Change]) -> Result<(), Over> {
        let mut events = BytesMut::new();
        for change in changes {
            let wanted =
                |object: &Option<Arc<Object>>| object.as_ref().is_some_and(|object| self.wants(object));
            // Objects come and go as they begin and cease to fit, whatever happened to them.
            match (wanted(&change.before), wanted(&change.after)) {
                (false, false) => continue,
                (false, true) => self.event(&mut events, "ADDED", &change.last),
                (true, true) => self.event(&mut events, "MODIFIED", &change.last),
                (true, false) => {
                    let before = change
                        .before
                        .as_ref()
                        .map_or_else(|| change.last.value.clone(), |o| o.value.clone());
                    self.event(&mut events, "DELETED", &Object::new(before, change.revision));
                }
            }
            if events.len() > PIECE {
                self.send(events.split().freeze()).await?;
            }
        }
        self.send(events.freeze()).await
    }

    fn wants(&self, object: &Object) -> bool {
        (self.namespace.is_empty() || object.namespace() == self.namespace)
            && (self.name.is_empty() || object.name() == self.name)
            && (self.selector.is_empty() || self.selector.matches(&object.value))
    }

    fn event(&mut self, events: &mut BytesMut, kind: &str, object: &Object) {
        events.put_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
        events.put_slice(&self.view.in_event(object, self.first));
        events.put_slice(b"}\n");
        self.first = false;
    }

    async fn bookmark(&mut self, revision: u64, initial_end: bool) -> Result<(), Over> {
        let object = self
            .view
            .bookmark(revision, initial_end, self.shared.age.null_timestamps());
        self.send(format!("{}\n", json!({"type": "BOOKMARK", "object": object})).into())
            .await
    }

    /// Tells that the history is not there any more, and ends.
    async fn expired<T>(&mut self, asked: u64, compacted: &Compacted) -> Result<T, Over> {
        let failure = Failure::expired(format!("too old resource version: {asked} ({})", compacted.since));
        self.send(format!("{}\n", json!({"type": "ERROR", "object": failure.status()})).into())
            .await?;
        Err(Over)
    }

    async fn send(&mut self, events: Bytes) -> Result<(), Over> {
        if events.is_empty() {
            return Ok(());
        }
        self.shared.faults.speak().await;
        self.to.send(Ok(events)).await.map_err(|_| Over)
    }
}

/// Once in an interval, and shortly before the end.
fn next_bookmark(interval: Duration, end: Instant) -> Instant {
    let now = Instant::now();
    let last = end.checked_sub(BEFORE_THE_END).filter(|last| *last > now);
    (now + interval).min(last.unwrap_or(now + interval))
}
