//! From a source's batches to what is published: the store, the compiler, and the lines about both.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::compile::{Compiler, Settings};
use crate::feedback::{Outcome, Outcomes, Standing};
use crate::model::{Id, Kind};
use crate::problem::{Problem, Reporter, Severity};
use crate::publish::link::Publisher;
use crate::source::store::{Store, Update};
use crate::source::{Batch, Change};

/// How far the control plane is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// The source has not yet given all that there is; nothing is published.
    #[default]
    Listing,
    /// It is not known what these files hold, and `--strict-manifests` is given; nothing is published.
    Held(Vec<String>),
    /// What the source says is published. It stays so, whatever comes.
    Serving,
}

/// As a line says it.
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listing => f.write_str("not all objects are known yet: nothing is published"),
            Self::Held(files) => write!(
                f,
                "--strict-manifests: nothing is published while it is not known what these hold: {}",
                files.join(", ")
            ),
            Self::Serving => f.write_str("serving"),
        }
    }
}

/// A readiness that other threads can see.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Readiness>>);

impl Progress {
    /// As it is now.
    #[must_use]
    pub fn now(&self) -> Readiness {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, readiness: Readiness) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = readiness;
    }
}

/// Follows one source.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    compiler: Compiler,
    reporter: Reporter,
    strict: bool,
    progress: Progress,
    /// Objects that there is news of, while nothing is published.
    news: BTreeSet<Id>,
}

impl Follower {
    /// Of no objects. With `strict` it does not begin to publish while there are files of which it is not known what
    /// they hold.
    #[must_use]
    pub fn new(settings: Settings, strict: bool) -> Self {
        Self {
            store: Store::keeping(settings.port_maps.each().map(|(_, map)| map.clone()).collect()),
            compiler: Compiler::new(settings),
            reporter: Reporter::default(),
            strict,
            progress: Progress::default(),
            news: BTreeSet::new(),
        }
    }

    /// How far it is, from now on.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Takes in a batch and publishes what it changes. `now` is in seconds since 1970, for the expiry of certificates.
    pub fn take(&mut self, batch: Batch, publisher: &Publisher, now: i64) {
        if !batch.is_empty() && batch.iter().all(|change| matches!(change, Change::Inquiry(_))) {
            // Nothing changes by it.
            self.store.apply(batch);
            return;
        }
        let (start, units) = (Instant::now(), batch.len());
        let served = self.progress.now() == Readiness::Serving;
        let mut update = self.store.apply(batch);
        let objects = update.changed.len();
        let serves = self.may_serve();
        let first = serves && !served;
        if first {
            update = self.all();
        }
        let changes = serves.then(|| {
            let compiler = &mut self.compiler;
            publisher.with_state(|state| compiler.update(state, self.store.model(), &update.changed, now))
        });
        let news = self.reporter.update(self.problems());
        let reassigned = self.compiler.take_reassigned();
        match changes {
            None => self.news.extend(news.objects().cloned()),
            Some(changes) => {
                let mut touched = std::mem::take(&mut update.touched);
                touched.append(&mut std::mem::take(&mut self.news));
                touched.extend(news.objects().cloned());
                touched.extend(reassigned);
                publisher.publish_with(changes, |tried_again| {
                    let ids = touched.union(tried_again);
                    ids.map(|id| (id.clone(), self.outcome(id))).collect::<Outcomes>()
                });
            }
        }
        if first {
            self.store.pack();
            self.compiler.pack();
        }
        tracing::debug!(
            "{units} changes, {objects} objects with them, compiled in {:.1?}",
            start.elapsed()
        );
        news.log();
    }

    /// All that there is at the start, as if it came now; to be told of are the objects that somebody waits for an answer about.
    /// That a pod is in force as it is written is no news to anybody.
    fn all(&self) -> Update {
        let awaited = |id: &&Id| matches!(id.kind, Kind::Ingress | Kind::IngressClass | Kind::Service);
        Update {
            changed: self.store.model().ids().cloned().collect(),
            touched: self.store.ids().filter(awaited).cloned().collect(),
        }
    }

    /// Whether what is known may be published; says so when that changes.
    fn may_serve(&self) -> bool {
        let before = self.progress.now();
        if before == Readiness::Serving {
            return true;
        }
        let unknown = || self.store.unknown().map(ToString::to_string).collect::<Vec<_>>();
        let readiness = if !self.store.is_complete() {
            Readiness::Listing
        } else if self.strict && self.store.unknown().next().is_some() {
            Readiness::Held(unknown())
        } else {
            Readiness::Serving
        };
        let serves = readiness == Readiness::Serving;
        if readiness != before {
            match (&readiness, &before) {
                (Readiness::Held(_), _) => tracing::error!("{readiness}"),
                (Readiness::Serving, Readiness::Held(_)) => {
                    tracing::info!("it is known what all files hold: publishing begins");
                }
                _ => {}
            }
            self.progress.set(readiness);
        }
        serves
    }

    fn problems(&self) -> Vec<Problem> {
        let mut all = self.store.problems();
        all.extend(self.compiler.problems().into_iter().map(|mut problem| {
            problem.origin = problem.object.as_ref().and_then(|id| self.store.origin(id));
            problem
        }));
        all
    }

    /// How an object stands once the dataplane has taken the state.
    fn outcome(&self, id: &Id) -> Outcome {
        let problems: Vec<_> = self.reporter.of(id).cloned().collect();
        let standing = match self.store.standing(id) {
            Standing::InForce | Standing::Partly | Standing::LastGood if !self.compiler.serves(id) => {
                if problems.is_empty() {
                    Standing::Foreign
                } else {
                    Standing::LeftOut
                }
            }
            Standing::InForce if problems.iter().any(|p| p.severity == Severity::Error) => Standing::Partly,
            standing => standing,
        };
        Outcome {
            standing,
            origin: self.store.origin(id),
            problems,
            balanced: self.compiler.balances(id),
        }
    }
}
