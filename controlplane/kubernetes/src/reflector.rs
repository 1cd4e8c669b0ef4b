//! One list and the watch that follows it, for ever.
//!
//! What is given on is what the API promises: a list as a whole, then every change of it. A watch that breaks off goes on
//! where it was; one that is too late for that begins with a new list.

use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use kube::Client;
use kube::api::{ListParams, Request, WatchEvent, WatchParams};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout};

use super::access::ApiConnection;
use super::backoff::Backoff;
use super::received::Received;
use super::reply::{Failure, Page};
use super::resource::{Resource, resources};
use super::starting::{Doubt, NotYet};
use headgate_controlplane::model::{Id, SharedText};
use headgate_controlplane::problem::Version;
use headgate_controlplane::source::{ObjectText, Scope};

/// Objects of a page, as client-go asks for them.
const PAGE: u32 = 500;
/// A watch that ends sooner, with nothing said, is not begun again at once.
const SHORT: Duration = Duration::from_secs(1);
/// Failures in a row before they are told: a server that restarts is no news.
const BLIPS: u32 = 3;
/// Within this time all streams go on once one of them has found the server back.
const TOGETHER: Duration = Duration::from_millis(200);
/// The bookmark that ends the objects that are there at the beginning (`metav1.InitialEventsAnnotationKey`).
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// What a stream says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// All that there is follows.
    Listing,
    /// An object is there, in this version.
    Object(Version, ObjectText),
    /// An object is gone.
    Deleted(Id),
    /// All that there is has followed.
    Listed,
    /// It does not come further, for this reason.
    Trouble(Failure),
    /// It does again.
    Fine,
    /// A single object that was asked for; `None` where it is not there.
    Fetched(Option<(Version, ObjectText)>),
}

/// What comes from where.
pub(crate) type Message = (Scope, Said);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The head of an answer.
    pub(crate) answer: Duration,
    /// A page of a list, also one that comes in drops.
    pub(crate) page: Duration,
    /// A watch in which nothing comes; a server sends a bookmark each minute.
    pub(crate) silence: Duration,
    /// After this the server is to end a watch (seconds).
    pub(crate) watch: u32,
    /// Until something is asked for again that is forbidden or not there.
    pub(crate) recheck: Duration,
    /// What a server forbids or lacks while it is not ready is not believed for so long.
    pub(crate) starting: Duration,
    /// Until credentials are read, at the start: an exec plugin may ask somebody over a network.
    pub(crate) credentials: Duration,
    /// From the first pause after a failure to the longest.
    pub(crate) pauses: (Duration, Duration),
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(30),
            page: Duration::from_secs(60),
            silence: Duration::from_secs(150),
            watch: 290,
            recheck: Duration::from_secs(30),
            starting: Duration::from_secs(30),
            credentials: Duration::from_secs(60),
            pauses: (Duration::from_millis(200), Duration::from_secs(15)),
        }
    }
}

/// How a step of a stream ended well.
enum Step {
    /// Something came.
    Said,
    /// Nothing did.
    Silent,
}

/// Why a step ended.
enum Stop {
    /// It failed.
    Failed(Failure),
    /// Nobody listens any more.
    Closed,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<kube::Error> for Stop {
    fn from(error: kube::Error) -> Self {
        Self::Failed(Failure::of(&error))
    }
}

/// Follows the objects of one scope.
pub(crate) struct Reflector {
    scope: Scope,
    /// Restricts a list: to a single object, or to some types of Secrets.
    fields: Option<String>,
    connection: ApiConnection,
    patience: Patience,
    out: Sender<Message>,
    /// The `resourceVersion` up to which all is known.
    known: Option<String>,
    /// Which of the kind's resources this server is thought to have.
    alternative: usize,
    /// Whether the server is thought to stream lists.
    streams: bool,
    backoff: Backoff,
    /// That of the last object, which shares it with the next of the same one.
    namespace: SharedText,
    failures: u32,
    /// Whether what it refuses counts.
    doubt: Doubt,
    /// Whether the server did not answer last time.
    down: bool,
    troubled: bool,
}

impl Reflector {
    pub(crate) fn new(
        scope: Scope,
        fields: Option<String>,
        connection: ApiConnection,
        patience: Patience,
        out: Sender<Message>,
    ) -> Self {
        Self {
            scope,
            fields,
            connection,
            patience,
            out,
            known: None,
            alternative: 0,
            streams: true,
            backoff: Backoff::between(patience.pauses),
            namespace: SharedText::default(),
            failures: 0,
            doubt: Doubt::default(),
            down: false,
            troubled: false,
        }
    }

    /// Ends when nobody listens any more.
    pub(crate) async fn run(mut self) {
        loop {
            let begun = Instant::now();
            let stop = match self.step().await {
                // A server that ends each watch at once is not asked without a pause.
                Ok(Step::Silent) if begun.elapsed() < SHORT => {
                    tokio::time::sleep(self.backoff.pause()).await;
                    continue;
                }
                Ok(_) => {
                    self.backoff.reset();
                    continue;
                }
                Err(stop) => stop,
            };
            let Stop::Failed(failure) = stop else { return };
            if self.rest(failure).await.is_err() {
                return;
            }
        }
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let client = self.connection.client().await;
        match self.known.clone() {
            None if self.streams => self.watch(&client, None).await,
            None => self.list(&client).await,
            Some(version) => self.watch(&client, Some(version)).await,
        }
    }

    /// What follows from a failure, and the pause after it.
    async fn rest(&mut self, failure: Failure) -> Result<(), Stop> {
        let client = self.connection.client().await;
        let Patience { answer, starting, .. } = self.patience;
        let failure = match self.doubt.about(&failure, &client, answer, starting).await {
            None => failure,
            Some(NotYet::AskAgain) => return Ok(()),
            Some(NotYet::NotReady(failure)) => failure,
        };
        let pause = match &failure {
            Failure::Expired => {
                if self.known.take().is_some() {
                    // It answers: what has kept us from it until now is over.
                    self.backoff.reset();
                }
                let pause = self.backoff.pause();
                return self.pause(pause).await;
            }
            Failure::Invalid(_) if self.known.is_none() && self.streams => {
                self.streams = false;
                return Ok(());
            }
            Failure::Missing if self.alternative + 1 < resources(self.scope.kind).len() => {
                self.alternative += 1;
                return Ok(());
            }
            Failure::Missing | Failure::Forbidden(_) => {
                (self.alternative, self.known) = (0, None);
                self.backoff.spread(self.patience.recheck)
            }
            Failure::Unauthorized(_) | Failure::Unreachable(_) => {
                self.connection.renew().await;
                self.backoff.pause()
            }
            Failure::Invalid(_) | Failure::Conflict(_) | Failure::Later(_, None) => self.backoff.pause(),
            Failure::Later(_, Some(wait)) => self.backoff.pause().max(*wait),
        };
        self.failures += 1;
        // A version that the server does not take, or one from its future (a store that was restored: it says 504), does not
        // get better by being asked for again.
        let refused = matches!(failure, Failure::Later(..)) && self.failures >= BLIPS;
        if refused || matches!(failure, Failure::Invalid(_)) {
            self.known = None;
        }
        let transient = matches!(failure, Failure::Unreachable(_) | Failure::Later(_, None));
        self.down = transient;
        if !matches!(failure, Failure::Unreachable(_) | Failure::Later(..)) || self.failures >= BLIPS {
            self.troubled = true;
            self.say(Said::Trouble(failure)).await?;
        }
        self.pause(pause).await
    }

    async fn pause(&self, pause: Duration) -> Result<(), Stop> {
        let heard = async {
            self.connection.until_back().await;
            // All who have waited do not come at the same moment.
            tokio::time::sleep(self.backoff.spread(TOGETHER)).await;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = heard, if self.down => Ok(()),
            () = self.out.closed() => Err(Stop::Closed),
        }
    }

    async fn fine(&mut self) -> Result<(), Stop> {
        self.failures = 0;
        self.doubt = Doubt::default();
        if std::mem::take(&mut self.down) {
            self.connection.is_back();
        }
        if std::mem::take(&mut self.troubled) {
            self.say(Said::Fine).await?;
        }
        Ok(())
    }

    async fn say(&self, said: Said) -> Result<(), Stop> {
        let message = (self.scope.clone(), said);
        self.out.send(message).await.map_err(|_| Stop::Closed)
    }

    fn resource(&self) -> Resource {
        resources(self.scope.kind)[self.alternative]
    }

    fn request(&self) -> Request {
        Request::new(self.resource().path(self.scope.namespace.as_deref()))
    }

    /// All pages of a list.
    async fn list(&mut self, client: &Client) -> Result<Step, Stop> {
        let mut next = None;
        let mut first = true;
        loop {
            let parameters = ListParams {
                field_selector: self.fields.clone(),
                limit: Some(PAGE),
                continue_token: next.take(),
                ..ListParams::default()
            };
            let request = self
                .request()
                .list(&parameters)
                .map_err(kube::Error::BuildRequest)?;
            let page: Page<Received> = in_time(self.patience.page, client.request(request)).await??;
            if std::mem::take(&mut first) {
                self.fine().await?;
                self.say(Said::Listing).await?;
            }
            for item in page.items.unwrap_or_default() {
                if let Some((version, text)) = self.take_in(item) {
                    self.say(Said::Object(version, text)).await?;
                }
            }
            if page.metadata.next.is_empty() {
                self.say(Said::Listed).await?;
                self.known = Some(page.metadata.resource_version);
                return Ok(Step::Said);
            }
            next = Some(page.metadata.next);
        }
    }

    /// What happens after `since`; all that is there, and what happens then, where that is `None`.
    async fn watch(&mut self, client: &Client, since: Option<String>) -> Result<Step, Stop> {
        let parameters = WatchParams {
            field_selector: self.fields.clone(),
            timeout: Some(self.patience.watch),
            send_initial_events: since.is_none(),
            ..WatchParams::default()
        };
        let request = self
            .request()
            .watch(&parameters, since.as_deref().unwrap_or_default())
            .map_err(kube::Error::BuildRequest)?;
        let events = in_time(self.patience.answer, client.request_events::<Received>(request)).await??;
        self.fine().await?;
        if since.is_none() {
            self.say(Said::Listing).await?;
        }
        let mut step = Step::Silent;
        pin_mut!(events);
        while let Ok(Some(event)) = timeout(self.patience.silence, events.next()).await {
            self.event(event?).await?;
            step = Step::Said;
        }
        if self.known.is_none() {
            // Something on the way may not let such a list through.
            self.streams = false;
            return Err(Failure::Unreachable("a list broke off".to_owned()).into());
        }
        Ok(step)
    }

    fn take_in(&mut self, received: Received) -> Option<(Version, ObjectText)> {
        let (mut version, text) = self.resource().take_in(self.scope.kind, received)?;
        // Lists come in the order of namespaces.
        let namespace = &mut version.id.name.namespace;
        if *namespace == self.namespace {
            *namespace = self.namespace.clone();
        } else {
            self.namespace = namespace.clone();
        }
        Some((version, text))
    }

    async fn event(&mut self, event: WatchEvent<Received>) -> Result<(), Stop> {
        let (gone, received) = match event {
            WatchEvent::Added(received) | WatchEvent::Modified(received) => (false, received),
            WatchEvent::Deleted(received) => (true, received),
            WatchEvent::Bookmark(bookmark) => {
                let metadata = bookmark.metadata;
                if self.known.is_some() {
                    self.known = Some(metadata.resource_version);
                } else if metadata.annotations.contains_key(INITIAL_END) {
                    self.known = Some(metadata.resource_version);
                    self.say(Said::Listed).await?;
                }
                return Ok(());
            }
            WatchEvent::Error(status) => {
                return Err(Failure::of_status(status.code, &status.reason, &status.message, 0).into());
            }
        };
        let Some((version, text)) = self.take_in(received) else {
            return Ok(());
        };
        if self.known.is_some() {
            self.known = Some(version.resource_version.to_string());
        }
        self.say(if gone {
            Said::Deleted(version.id)
        } else {
            Said::Object(version, text)
        })
        .await
    }
}

async fn in_time<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, Failure> {
    let late = |_| Failure::Unreachable(format!("no answer within {limit:?}"));
    timeout(limit, answer).await.map_err(late)
}
