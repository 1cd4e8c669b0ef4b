//! Answers over HTTP/1.1, one request a connection.
//!
//! On the kernel's sockets and on threads of its own: workers have no part in it. Connections are few at a time and each has
//! its time, so that slow or many clients cost memory and threads that are bounded, and nothing else.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::request::{BadRequest, Request};
use super::{Detail, families};
use crate::service::{Crew, Patient, Thread, accept_until};
use crate::telemetry::Answers;

/// For all of a request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// For all of an answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// At one time; for one more the first gives way, if it was there for long, or else it is told to come back.
const CONNECTIONS: usize = 16;
/// What was there for so long is silent or slow, since answers are there within milliseconds. It must not keep probes out,
/// for whose want of an answer the whole process would be ended.
const GIVE_WAY: Duration = Duration::from_secs(1);

/// Answers until it is dropped.
pub struct MetricsServer {
    address: SocketAddr,
    _thread: Thread,
}

impl MetricsServer {
    /// Binds the address and answers `/metrics`, with no details of `without`, `/healthz` and `/readyz` there.
    ///
    /// # Errors
    /// When the address cannot be bound, or there is no thread to be had.
    pub fn start(address: SocketAddr, answers: Arc<impl Answers>, without: Vec<Detail>) -> io::Result<Self> {
        let without: Arc<[Detail]> = without.into();
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let thread = Thread::start("headgate-metric", move |bell| {
            let mut crew = Crew::new("headgate-scrape", CONNECTIONS).that_give_way(GIVE_WAY);
            accept_until(bell, &listener, |stream: TcpStream| {
                let (answers, without) = (Arc::clone(&answers), Arc::clone(&without));
                let served = crew.serve(stream, move |stream| {
                    // A client that goes away is no event.
                    let _ = serve(stream, &*answers, &without);
                });
                if let Err(stream) = served {
                    let busy = HttpAnswer::text(
                        "503 Service Unavailable",
                        "too many connections at once; come back",
                    );
                    let _ = busy.send(&stream, false, Duration::from_millis(100));
                }
            });
        })?;
        Ok(Self {
            address,
            _thread: thread,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(stream: &TcpStream, answers: &impl Answers, without: &[Detail]) -> io::Result<()> {
    let until = Instant::now() + REQUEST_TIME;
    let Some(request) = Request::read(Patient { stream, until }) else {
        return Ok(());
    };
    let head = request.as_ref().is_ok_and(|request| request.head);
    let answer = match request {
        Ok(request) => answer(&request, answers, without),
        Err(BadRequest { status, reason }) => HttpAnswer::text(status, reason),
    };
    answer.send(stream, head, ANSWER_TIME)
}

fn answer(request: &Request, answers: &impl Answers, without: &[Detail]) -> HttpAnswer {
    match request.path.as_str() {
        "/metrics" => HttpAnswer {
            status: "200 OK",
            content_type: request.format.content_type(),
            body: request.format.render(&families(&answers.status(), without)),
        },
        "/healthz" => HttpAnswer::text("200 OK", "ok"),
        "/readyz" => match answers.ready() {
            Ok(()) => HttpAnswer::text("200 OK", "ok"),
            Err(reason) => HttpAnswer::text("503 Service Unavailable", &reason),
        },
        _ => HttpAnswer::text("404 Not Found", "here are /metrics, /healthz and /readyz"),
    }
}

struct HttpAnswer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl HttpAnswer {
    fn text(status: &'static str, line: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{line}\n"),
        }
    }

    fn send(&self, stream: &TcpStream, head: bool, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        let mut out = Patient { stream, until };
        // RFC 9110, section 15.5.6.
        let allow = if self.status.starts_with("405") {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let mut answer = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{allow}Connection: close\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len()
        );
        if !head {
            answer += &self.body;
        }
        out.write_all(answer.as_bytes())
    }
}
