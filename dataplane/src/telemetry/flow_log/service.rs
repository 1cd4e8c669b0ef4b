//! The log's thread.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use headgate_ring::ThreadBell;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::explain::{Explainer, States};
use super::file::{Writer, WrittenLines};
use super::followers::Followers;
use super::line::{Flow, Loss, Lost};
use super::repeats::Repeats;
use super::time::Moment;
use super::{FlowLog, FlowLogStatus, Record, Recorded, Target};
use crate::config::Tables;
use crate::service::{Failing, Thread};
use headgate_net::clock::{Clock, Nanos};

/// How often the workers' records are collected: workers ring no bell, which would be a system call of theirs.
const COLLECT: Duration = Duration::from_millis(20);
/// The same where nobody follows.
const COLLECT_SLOWLY: Duration = Duration::from_millis(100);
/// Records of a worker that are taken before the next worker's.
const BATCH: usize = 256;
/// Lines that are kept for those who ask later.
const HISTORY: usize = 4_096;
/// How often losses and repetitions are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// What the log looks things up in.
pub struct Sources {
    /// The state in force.
    pub tables: Arc<ArcSwap<Tables>>,
    /// Whether every worker works by this publication or a later one.
    pub all_see: Box<dyn Fn(u64) -> bool + Send>,
    /// The workers' clock.
    pub clock: Clock,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum FlowLogError {
    /// The socket cannot be made.
    #[error("flow log socket {}: {error}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file of `--flow-log` cannot be opened.
    #[error("flow log {target}: {error}; give a file that can be written, or - for standard output")]
    Target {
        /// `--flow-log`.
        target: Target,
        /// Why.
        error: io::Error,
    },
    /// The system has no thread or descriptor left.
    #[error("flow log: {0}")]
    Thread(io::Error),
}

/// Collects, explains and hands out until it is dropped.
pub struct FlowLogService {
    _thread: Thread,
    log: Arc<FlowLog>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    written: Arc<WrittenLines>,
    followers: AtomicUsize,
    unfollowed: AtomicU64,
}

impl FlowLogService {
    /// Opens `target` if there is one, binds the socket, which is open to the group, and starts the thread.
    ///
    /// # Errors
    /// See [`FlowLogError`].
    pub fn start(
        log: Arc<FlowLog>,
        sources: Sources,
        socket: &Path,
        target: Option<Target>,
    ) -> Result<Self, FlowLogError> {
        let listener = listen(socket).map_err(|error| FlowLogError::Socket {
            path: socket.to_owned(),
            error,
        })?;
        let counts = Arc::new(Counts::default());
        let writer = target
            .map(|target| {
                let started = Writer::start(target.clone(), Arc::clone(&counts.written));
                started.map_err(|error| FlowLogError::Target { target, error })
            })
            .transpose()?;
        let desk = FlowLogThread::new(Arc::clone(&log), sources, listener, writer, Arc::clone(&counts));
        let thread = Thread::start("headgate-flows", move |bell| desk.run(bell));
        Ok(Self {
            _thread: thread.map_err(FlowLogError::Thread)?,
            log,
            counts,
        })
    }

    /// Tells how the log fares, now and later.
    pub fn status(&self) -> impl Fn() -> FlowLogStatus + Send + Sync + use<> {
        let (log, counts) = (Arc::clone(&self.log), Arc::clone(&self.counts));
        move || FlowLogStatus {
            written: counts.written.written.load(Ordering::Relaxed),
            unwritten: counts.written.unwritten.load(Ordering::Relaxed),
            followers: counts.followers.load(Ordering::Relaxed),
            unfollowed: counts.unfollowed.load(Ordering::Relaxed),
            ..log.status()
        }
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Everything of the thread.
struct FlowLogThread {
    log: Arc<FlowLog>,
    sources: Sources,
    listener: UnixListener,
    writer: Option<Writer>,
    counts: Arc<Counts>,
    states: States,
    explainer: Explainer,
    repeats: Repeats,
    history: VecDeque<Arc<Flow>>,
    followers: Followers,
    /// What was told of losses.
    told: FlowLogStatus,
    looked: Nanos,
    failing: Failing,
}

impl FlowLogThread {
    fn new(
        log: Arc<FlowLog>,
        sources: Sources,
        listener: UnixListener,
        writer: Option<Writer>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            looked: sources.clock.now(),
            log,
            sources,
            listener,
            writer,
            counts,
            states: States::default(),
            explainer: Explainer::default(),
            repeats: Repeats::default(),
            history: VecDeque::new(),
            followers: Followers::default(),
            told: FlowLogStatus::default(),
            failing: Failing::default(),
        }
    }

    fn run(mut self, end: &ThreadBell) {
        while self.wait(end) {
            self.accept();
            self.collect();
            if self.sources.clock.now().since(self.looked) >= LOOK {
                self.look();
            }
            self.serve();
        }
        // What workers have said until now still goes to the file.
        self.collect();
        self.look();
    }

    /// False when it is time to end.
    fn wait(&self, end: &ThreadBell) -> bool {
        let pause = match (self.followers.is_empty(), self.log.settings().recorded) {
            (true, Recorded::None) => None,
            (true, _) if self.writer.is_none() => Some(COLLECT_SLOWLY),
            _ => Some(COLLECT),
        };
        let timeout = pause.and_then(|pause| Timespec::try_from(pause).ok());
        let mut fds = vec![
            PollFd::new(end, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let polls = self.followers.polls();
        fds.extend(polls.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        // An interrupted wait finds nothing.
        let _ = poll(&mut fds, timeout.as_ref());
        fds[0].revents().is_empty()
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    // Whoever asked may be gone; that is no event.
                    let _ = self.followers.add(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    let tell = || tracing::warn!("the flow log's socket cannot accept: {error}");
                    return self.failing.recover(tell);
                }
            }
        }
    }

    /// Takes the workers' records, in turns, until there are no more; for one pause's time at most, so that readers are
    /// served meanwhile.
    fn collect(&mut self) {
        self.states.see(&self.sources.tables.load_full());
        let newest = self.states.newest().map_or(0, |tables| tables.publication);
        let settled = (self.sources.all_see)(newest);
        let begun = self.sources.clock.now();
        let log = Arc::clone(&self.log);
        loop {
            let mut taken = 0;
            for (worker, channel) in (0..).zip(log.channels()) {
                for record in std::iter::from_fn(|| channel.pop()).take(BATCH) {
                    taken += 1;
                    self.take(&record, worker);
                }
            }
            if taken == 0 {
                if settled {
                    self.let_go();
                }
                return;
            }
            if self.sources.clock.now().since(begun) >= COLLECT {
                return;
            }
        }
    }

    /// Old policies can be large: nothing here keeps them longer than records of theirs may come.
    fn let_go(&mut self) {
        self.states.forget_old();
        if let Some(newest) = self.states.newest() {
            self.explainer.keep_to(&newest.policy);
        }
    }

    fn take(&mut self, record: &Record, worker: u8) {
        if self.repeats.is_first(record, worker) {
            self.publish(record, worker, 1);
        }
    }

    fn publish(&mut self, record: &Record, worker: u8, count: u64) {
        // A worker may have seen a state before this thread has.
        if self
            .states
            .newest()
            .is_none_or(|t| t.publication < record.publication)
        {
            self.states.see(&self.sources.tables.load_full());
        }
        let sample = if record.event.is_allowed() {
            self.log.settings().sample
        } else {
            1
        };
        let time = self.time(record.at);
        let Some(flow) = self.explainer.explain(record, &self.states, time, worker, sample) else {
            return;
        };
        let flow = Arc::new(Flow { count, ..flow });
        let kind = if record.event.is_allowed() {
            Recorded::All
        } else {
            Recorded::Denied
        };
        if let Some(writer) = self
            .writer
            .as_mut()
            .filter(|_| self.log.settings().recorded >= kind)
            && let Ok(line) = serde_json::to_vec(&*flow)
        {
            writer.line(&line);
        }
        self.followers.publish(&flow);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(flow);
    }

    /// The wall clock's time of a reading of the workers' clock.
    fn time(&self, at: Nanos) -> String {
        let age = self.sources.clock.now().since(at);
        let then = SystemTime::now().checked_sub(age);
        Moment::from(then.unwrap_or(SystemTime::UNIX_EPOCH)).to_string()
    }

    /// Tells of repetitions and losses.
    fn look(&mut self) {
        let now = self.sources.clock.now();
        self.looked = now;
        if !self.repeats.is_empty() {
            let mut ended = Vec::new();
            self.repeats
                .ended(now, |record, worker, count| ended.push((record, worker, count)));
            for (record, worker, count) in ended {
                self.publish(&record, worker, count);
            }
        }
        let counts = self.log.status();
        let told = std::mem::replace(&mut self.told, counts);
        self.tell_lost(Loss::Rate, counts.over_rate - told.over_rate);
        self.tell_lost(Loss::QueueFull, counts.queue_full - told.queue_full);
    }

    /// One line for all that was lost since the last; not in the history, where it would push out what was not lost.
    fn tell_lost(&mut self, reason: Loss, count: u64) {
        if count == 0 {
            return;
        }
        let lost = Lost {
            time: self.time(self.looked),
            reason,
            count,
        };
        if let Ok(line) = serde_json::to_vec(&lost) {
            if let Some(writer) = &mut self.writer {
                writer.line(&line);
            }
            self.followers.tell(&line);
        }
    }

    fn serve(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.flush();
        }
        let now = || Moment::from(SystemTime::now()).to_string();
        self.followers.serve(&self.history, &now);
        let wanted = if self.followers.want_allowed() {
            Recorded::All
        } else {
            self.log.settings().recorded
        };
        self.log.set_recorded(wanted);
        if wanted == Recorded::None {
            self.states = States::default();
            self.explainer = Explainer::default();
        }
        self.counts
            .followers
            .store(self.followers.reading(), Ordering::Relaxed);
        self.counts
            .unfollowed
            .store(self.followers.lost, Ordering::Relaxed);
    }
}
