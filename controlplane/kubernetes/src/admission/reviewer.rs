//! From a request to its answer, within bounds of size and time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use headgate_controlplane::admission::{Judgement, Proposal, Surroundings};
use headgate_controlplane::compile::Settings;
use headgate_controlplane::source::Inquiry;
use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::review::Review;

/// Reviews that are read and judged at one time.
pub(super) const AT_ONCE: usize = 4;
/// The API server takes no larger request itself (`MaxRequestBodyBytes`).
const LARGEST: usize = 3 << 20;
/// What is larger than this is cut off.
const FORGIVEN: usize = 4 * LARGEST;
/// For a whole request to come.
const READING: Duration = Duration::from_secs(5);
/// For what is known of the cluster: the source or the compiler may be in the midst of something.
const LOOKING: Duration = Duration::from_secs(1);

/// What is not JSON, or none at all.
type Complaint = (StatusCode, String);

/// Answers reviews.
pub(super) struct Reviewer {
    ask: mpsc::Sender<Inquiry>,
    settings: Arc<Settings>,
    room: Semaphore,
    /// How many objects have been let through unseen since one was not.
    unseen: AtomicU64,
}

impl Reviewer {
    pub(super) fn new(ask: mpsc::Sender<Inquiry>, settings: Arc<Settings>) -> Self {
        Self {
            ask,
            settings,
            room: Semaphore::new(AT_ONCE),
            unseen: AtomicU64::new(0),
        }
    }

    /// Whatever the request is, there is an answer.
    pub(super) async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answered = match self.read(request).await {
            Ok(review) => Ok(self.review(review).await),
            Err(complaint) => Err(complaint),
        };
        let (status, text, kind) = match answered {
            Ok(answer) => (StatusCode::OK, answer, "application/json"),
            Err((status, text)) => (status, text + "\n", "text/plain; charset=utf-8"),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }

    async fn read(&self, request: Request<Incoming>) -> Result<Review, Complaint> {
        if request.method() != Method::POST {
            return Err((
                StatusCode::METHOD_NOT_ALLOWED,
                "POST an AdmissionReview".to_owned(),
            ));
        }
        if !is_json(request.headers()) {
            let text = "the Content-Type must be application/json".to_owned();
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let reading = async {
            // Others wait, so that the memory for all of them is bounded, too.
            let _room = self.room.acquire().await;
            let body = collect(request.into_body()).await?;
            Review::read(&body).map_err(|text| (StatusCode::BAD_REQUEST, text))
        };
        timeout(READING, reading).await.unwrap_or_else(|_| {
            let text = format!("the request has not come within {READING:?}");
            Err((StatusCode::REQUEST_TIMEOUT, text))
        })
    }

    async fn review(&self, mut review: Review) -> String {
        let judgement = match review.proposal() {
            Ok(Some(proposal)) => self.judge(proposal).await,
            Ok(None) => Judgement::default(),
            Err(text) => Judgement {
                warnings: vec![text],
                ..Judgement::default()
            },
        };
        if !judgement.refusals.is_empty() {
            let (operation, name, user) = (review.operation(), review.name(), review.user());
            let why = judgement.refusals.join("; ");
            let line = format!("admission webhook: {operation} of {name} by {user} is refused: {why}");
            // One line, whatever somebody has put into the object.
            tracing::info!("{}", line.replace(char::is_control, " "));
        }
        review.answer(&judgement)
    }

    async fn judge(&self, proposal: Proposal) -> Judgement {
        let proposal = Arc::new(proposal);
        let around = if proposal.has_surroundings() {
            match self.look(&proposal).await {
                Ok(around) => around,
                Err(why) => return self.unseen(&proposal, why),
            }
        } else {
            Surroundings::default()
        };
        let (settings, judged) = (self.settings.clone(), proposal.clone());
        let judging = move || {
            let judge = || judged.judge(&around, &settings, now());
            catch_unwind(AssertUnwindSafe(judge)).ok()
        };
        match tokio::task::spawn_blocking(judging).await {
            Ok(Some(judgement)) => {
                let unseen = self.unseen.swap(0, Ordering::Relaxed);
                if unseen > 0 {
                    tracing::info!("admission webhook: objects are checked again; {unseen} were not");
                }
                judgement
            }
            _ => self.unseen(&proposal, "the check itself has failed"),
        }
    }

    /// What the object meets, or why that is not known.
    async fn look(&self, proposal: &Arc<Proposal>) -> Result<Surroundings, &'static str> {
        let (tell, told) = oneshot::channel();
        let (proposal, settings) = (proposal.clone(), self.settings.clone());
        let inquiry = Inquiry::new(move |model| {
            // Whoever has given up waiting costs nothing more.
            if !tell.is_closed() {
                let _ = tell.send(model.map(|model| Surroundings::of(model, &settings, &proposal)));
            }
        });
        if self.ask.try_send(inquiry).is_err() {
            return Err("too many objects are to be checked at once");
        }
        match timeout(LOOKING, told).await {
            Ok(Ok(Some(around))) => Ok(around),
            Ok(Ok(None)) => Err("not all objects of the cluster are known yet"),
            Ok(Err(_)) => Err("the gateway is about to end"),
            Err(_) => Err("the gateway has been busy for a second"),
        }
    }

    /// Lets an object through; a line tells of the first of several.
    fn unseen(&self, proposal: &Proposal, why: &str) -> Judgement {
        if self.unseen.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "admission webhook: {} is let through unchecked: {why}",
                proposal.id()
            );
        }
        Judgement {
            warnings: vec![format!("Headgate has not checked this: {why}")],
            ..Judgement::default()
        }
    }
}

/// All of a body. Of one that is too large the rest is read as well, as far as that has an end: who sends still would
/// not see the answer.
async fn collect(mut body: Incoming) -> Result<Vec<u8>, Complaint> {
    let (mut bytes, mut size) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let broken = |error| (StatusCode::BAD_REQUEST, format!("the request broke off: {error}"));
        let data = frame.map_err(broken)?.into_data().unwrap_or_default();
        size += data.len();
        if size <= LARGEST {
            bytes.extend_from_slice(&data);
        } else if size > FORGIVEN {
            break;
        }
    }
    if size > LARGEST {
        let text = format!("a review of more than {} MiB is not read", LARGEST >> 20);
        return Err((StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
