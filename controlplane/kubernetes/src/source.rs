//! The API of a cluster as a source.
//!
//! One thread with a runtime of its own holds all that waits for the network: a [`Reflector`] for each list and its
//! watch, and the [`Intake`], which makes changes of what they say. What has come while the compiler was at work is
//! taken in as one batch.
//!
//! Nothing that the server does, or fails to do, ends the source: what was known stays known, and a line says what is
//! the matter.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{GetParams, Request};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::access::ApiConnection;
use crate::access::{Access, AccessError};
use crate::admission::{self, Admission, Answering};
use crate::backoff::Backoff;
use crate::health;
use crate::intake::{Intake, Order, Reaction};
use crate::received::Received;
use crate::reflector::{Message, Patience, Reflector, Said};
use crate::reply::Failure;
use crate::resource::resources;
use crate::writing::{Ears, Seen, WritingOptions, write};
use headgate_controlplane::feedback::{Feedback, mailbox};
use headgate_controlplane::model::Id;
use headgate_controlplane::problem::Version;
use headgate_controlplane::source::{Batch, Change, ObjectText, Scope, Source, Stopper};

/// Messages of streams that wait for the intake at most.
const MESSAGES: usize = 32;
/// Changes of a batch, about: more wait with the streams, and they with the server.
const BATCH: usize = 1 << 11;

/// How long it may take to say goodbye: to clear the status, and to give back the Lease.
const FAREWELL: Duration = Duration::from_secs(5);

/// What to follow, and how.
#[derive(Clone, Debug)]
pub struct Watching {
    /// How the API server is reached.
    pub access: Access,
    /// The namespaces to look at; none for all.
    pub namespaces: Vec<String>,
    /// Secrets and ConfigMaps that flags name.
    pub named: Vec<Id>,
    /// Where to say whether this is healthy and ready; `None` for nowhere.
    pub health: Option<SocketAddr>,
    /// What to write back; `None` for nothing.
    pub writing: Option<WritingOptions>,
    /// How to answer whoever asks whether objects are good; `None` for not at all.
    pub admission: Option<Admission>,
}

/// Why the source cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address or the credentials.
    #[error("the Kubernetes API: {0}")]
    Access(#[from] AccessError),
    /// No thread or descriptor is left.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// `--healthz-host` and `--healthz-port`.
    #[error("cannot listen at {0} for /healthz: {1}")]
    Health(SocketAddr, io::Error),
    /// `--validating-webhook`.
    #[error("cannot listen at {0} for the admission webhook: {1}")]
    Admission(SocketAddr, io::Error),
}

impl Watching {
    /// Listens for who asks whether this is healthy, and whether objects are good.
    fn listen(&self) -> Result<(Option<TcpListener>, Option<Answering>), StartError> {
        let health = self
            .health
            .map(|address| health::bind(address).map_err(|error| StartError::Health(address, error)));
        let answering = self.admission.as_ref().map(|admission| {
            admission::answer(admission).map_err(|error| StartError::Admission(admission.address, error))
        });
        Ok((health.transpose()?, answering.transpose()?))
    }
}

/// Follows the objects of a cluster.
#[derive(Debug)]
pub struct Kubernetes {
    batches: mpsc::Receiver<Batch>,
    stop: Arc<Notify>,
    leave: watch::Sender<bool>,
    feedback: Option<Feedback>,
}

impl Kubernetes {
    /// Starts following. That the server cannot be reached is no error: it is tried until it can.
    ///
    /// # Errors
    ///
    /// Where it is not known whom to ask, and as whom.
    pub fn start(options: Watching) -> Result<Self, StartError> {
        Self::patiently(options, Patience::default())
    }

    pub(crate) fn patiently(options: Watching, patience: Patience) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (runtime, connection) = open(runtime, options.access.clone(), patience)?;
        let (health, answering) = options.listen()?;
        // One batch waits here, the next is gathered.
        let (give, batches) = mpsc::channel(1);
        let (stop, rung) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (leave, leaving) = watch::channel(false);
        let bell = rung.clone();
        let (feedback, mailbox) = mailbox(move || bell.notify_one());
        let source = Self {
            batches,
            stop: stop.clone(),
            leave,
            feedback: (options.writing.is_some() || health.is_some()).then_some(feedback),
        };
        let thread = move || {
            runtime.block_on(async {
                let (tell, seen) = mpsc::unbounded_channel();
                let end = Arc::new(Notify::new());
                let (leads, leading) = watch::channel(false);
                let answering = answering.inspect(|answering| answering.attend(&connection, leading));
                if let Some(listener) = health {
                    tokio::spawn(health::serve(listener, mailbox.clone(), leaving.clone()));
                }
                let writer = options.writing.clone().map(|writing| {
                    let ears = Ears {
                        seen,
                        mailbox,
                        rung,
                        end: end.clone(),
                        leaving,
                        leads,
                    };
                    tokio::spawn(write(writing, connection.clone(), ears))
                });
                tokio::select! {
                    () = serve(&options, connection, patience, give.clone(), tell, answering) => {}
                    () = stop.notified() => {}
                }
                end.notify_one();
                if let Some(writer) = writer {
                    // It has come to its end, or time is over.
                    let _ = timeout(FAREWELL, writer).await;
                }
            });
            // Only now the source has ended.
            drop(give);
            // Requests that are under way are cut off.
            runtime.shutdown_background();
        };
        std::thread::Builder::new()
            .name("kubernetes".to_owned())
            .spawn(thread)?;
        Ok(source)
    }
}

fn open(
    runtime: Runtime,
    access: Access,
    patience: Patience,
) -> Result<(Runtime, ApiConnection), AccessError> {
    match runtime.block_on(ApiConnection::open(access, patience.credentials)) {
        Ok(connection) => Ok((runtime, connection)),
        Err(error) => {
            // A plugin that does not end is not waited for at the end either.
            runtime.shutdown_background();
            Err(error)
        }
    }
}

impl Source for Kubernetes {
    fn next(&mut self) -> Option<Batch> {
        self.batches.blocking_recv()
    }

    fn stopper(&self) -> Stopper {
        let stop = self.stop.clone();
        Box::new(move || stop.notify_one())
    }

    fn leaving(&self) -> Stopper {
        let leave = self.leave.clone();
        Box::new(move || {
            leave.send_replace(true);
        })
    }

    fn feedback(&self) -> Option<Feedback> {
        self.feedback.clone()
    }

    fn farewell(&self) -> Duration {
        FAREWELL
    }
}

/// Gathers what the streams say, and gives it on when it is asked for; ends when nobody asks any more.
async fn serve(
    options: &Watching,
    connection: ApiConnection,
    patience: Patience,
    give: mpsc::Sender<Batch>,
    tell: mpsc::UnboundedSender<Seen>,
    mut answering: Option<Answering>,
) {
    let (say, mut heard) = mpsc::channel(MESSAGES);
    let mut streams = Streams {
        connection,
        patience,
        say,
        running: BTreeMap::new(),
        tasks: JoinSet::new(),
        tell: options.writing.is_some().then_some(tell),
    };
    let (mut intake, first) = Intake::new(&options.namespaces, options.named.iter().cloned());
    let mut gathered = streams.carry_out(first);
    loop {
        while gathered.len() < BATCH
            && let Ok((scope, said)) = heard.try_recv()
        {
            gathered.append(&mut streams.carry_out(intake.take(&scope, said)));
        }
        tokio::select! {
            biased;
            permit = give.reserve(), if !gathered.is_empty() => match permit {
                Ok(permit) => permit.send(std::mem::take(&mut gathered)),
                Err(_) => return,
            },
            () = give.closed() => return,
            // Not more than fits while nobody asks.
            message = heard.recv(), if gathered.len() < BATCH => match message {
                Some((scope, said)) => gathered.append(&mut streams.carry_out(intake.take(&scope, said))),
                None => pending().await,
            },
            inquiry = Answering::inquiry(&mut answering), if gathered.len() < BATCH => gathered.push(Change::Inquiry(inquiry)),
        }
        while streams.tasks.try_join_next().is_some() {}
    }
}

/// The tasks that ask the server.
struct Streams {
    connection: ApiConnection,
    patience: Patience,
    say: mpsc::Sender<Message>,
    running: BTreeMap<Scope, tokio::task::AbortHandle>,
    tasks: JoinSet<()>,
    /// To who writes status, if anybody does.
    tell: Option<mpsc::UnboundedSender<Seen>>,
}

impl Streams {
    /// Starts and stops what has to be; gives the changes.
    fn carry_out(&mut self, reaction: Reaction) -> Batch {
        for order in reaction.orders {
            match order {
                Order::Start(scope, fields) => {
                    let (connection, say) = (self.connection.clone(), self.say.clone());
                    let follower = Reflector::new(scope.clone(), fields, connection, self.patience, say);
                    let task = self.tasks.spawn(follower.run());
                    self.running.insert(scope, task);
                }
                Order::Stop(scope) => {
                    if let Some(task) = self.running.remove(&scope) {
                        task.abort();
                    }
                }
                Order::Fetch(id) => {
                    let fetching = fetch(id, self.connection.clone(), self.patience, self.say.clone());
                    self.tasks.spawn(fetching);
                }
            }
        }
        for seen in reaction.seen {
            // Where nobody writes any more, nobody wants to know.
            let _ = self.tell.as_ref().map(|tell| tell.send(seen));
        }
        reaction.changes
    }
}

/// Asks for one object until there is an answer.
async fn fetch(id: Id, connection: ApiConnection, patience: Patience, say: mpsc::Sender<Message>) {
    let mut backoff = Backoff::between(patience.pauses);
    let said = loop {
        let answer = timeout(patience.answer, get(&id, &connection)).await;
        match answer.unwrap_or_else(|_| Err(Failure::Unreachable("no answer".to_owned()))) {
            Ok(found) => break Said::Fetched(found),
            Err(failure @ Failure::Forbidden(_)) => break Said::Trouble(failure),
            Err(Failure::Unauthorized(_) | Failure::Unreachable(_)) => connection.renew().await,
            Err(_) => {}
        }
        tokio::time::sleep(backoff.pause()).await;
    };
    // Where nobody listens any more, nobody misses it.
    let _ = say.send((Scope::one(&id), said)).await;
}

async fn get(id: &Id, connection: &ApiConnection) -> Result<Option<(Version, ObjectText)>, Failure> {
    let resource = resources(id.kind)[0];
    let namespace = id.kind.namespaced().then_some(id.name.namespace.as_str());
    let request = Request::new(resource.path(namespace))
        .get(&id.name.name, &GetParams::default())
        .map_err(|error| Failure::of(&kube::Error::BuildRequest(error)))?;
    match connection.client().await.request::<Received>(request).await {
        Ok(received) => Ok(resource.take_in(id.kind, received)),
        Err(error) => match Failure::of(&error) {
            Failure::Missing => Ok(None),
            failure => Err(failure),
        },
    }
}
