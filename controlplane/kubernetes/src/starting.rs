//! Whether a server means what it refuses, or says that it lacks.
//!
//! A server answers before it knows everything: until its roles are read it forbids what they allow, and until its
//! CustomResourceDefinitions are, it has none of their objects. `/readyz`, which everybody may ask, waits for both
//! (`informer-sync`, `autoregister-completion`). Who believes it sooner takes policies out of force that stand.

use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, timeout};

use super::reply::Failure;

/// What was heard of the server's readiness since it last gave a good answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Doubt {
    since: Option<Instant>,
    over: bool,
}

impl Doubt {
    /// Whether a failure counts that came after this: `None` where it does, else what to do with it.
    pub(crate) async fn about(
        &mut self,
        failure: &Failure,
        client: &Client,
        answer: Duration,
        longest: Duration,
    ) -> Option<NotYet> {
        if matches!(failure, Failure::Unreachable(_) | Failure::Later(..)) {
            // Who comes back may have started anew.
            *self = Self::default();
        }
        if self.over || !matches!(failure, Failure::Missing | Failure::Forbidden(_)) {
            return None;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        match ready(client, answer).await {
            // It may have become so since it refused.
            Ok(()) => {
                self.over = true;
                Some(NotYet::AskAgain)
            }
            // Some never are, and serve.
            Err(_) if since.elapsed() >= longest => {
                self.over = true;
                None
            }
            Err(failure) => Some(NotYet::NotReady(failure)),
        }
    }
}

/// What becomes of a refusal that does not count.
#[derive(Debug)]
pub(crate) enum NotYet {
    /// The server is ready by now: it may say something else.
    AskAgain,
    /// It is not ready, for this reason.
    NotReady(Failure),
}

/// Whether the server is ready. One that does not say, or not to us, is taken for ready.
pub(crate) async fn ready(client: &Client, answer: Duration) -> Result<(), Failure> {
    let request = http::Request::get("/readyz")
        .body(Vec::new())
        .map_err(|error| Failure::Invalid(error.to_string()))?;
    let Ok(told) = timeout(answer, client.request_text(request)).await else {
        return Err(Failure::Unreachable(format!("no answer within {answer:?}")));
    };
    match told.map_err(|error| Failure::of(&error)) {
        // The text is a table of all that is looked at.
        Err(Failure::Later(_, wait)) => Err(Failure::Later("the API server is not ready".to_owned(), wait)),
        Err(failure @ Failure::Unreachable(_)) => Err(failure),
        Ok(_) | Err(_) => Ok(()),
    }
}
