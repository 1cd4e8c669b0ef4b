//! Timeouts and limits of HTTP.

use std::time::Duration;

/// Timeouts and limits of a [`Stage`](super::Stage); `docs/l7.md` says what each of them answers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the end of one request (or the connection) to the end of the next one's head: also how long a client
    /// keeps an idle connection.
    pub header: Duration,
    /// From the SYN to the pod's answer, for each endpoint tried.
    pub connect: Duration,
    /// From the last piece of the request that came to the response's head.
    pub response: Duration,
    /// Between two pieces of a response from a pod.
    pub read: Duration,
    /// Between two pieces of a request's body from a client.
    pub body: Duration,
    /// How long a client may take nothing of what is there for it.
    pub write: Duration,
    /// Bytes a second that a client takes at least of what is there for it, and sends at least of a body whose length it has
    /// told, over each minute; 0 for no limit.
    pub rate: u64,
    /// How long an unused connection to a pod is kept.
    pub idle: Duration,
    /// Unused connections to one endpoint that are kept.
    pub max_idle: usize,
    /// Unused connections to all endpoints together that are kept.
    pub max_idle_in_all: usize,
    /// Bytes of requests that a connection of many streams may have brought and no pod has taken, at most.
    pub unread: u32,
    /// Endpoints tried for a request before it is answered 502 or 504.
    pub tries: usize,
}

impl Default for Limits {
    /// As ingress-nginx has them where it has them; pods keep connections for 60 s at the least, so that we close first.
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(60),
            connect: Duration::from_secs(5),
            response: Duration::from_secs(60),
            read: Duration::from_secs(60),
            body: Duration::from_secs(60),
            write: Duration::from_secs(60),
            rate: 256,
            idle: Duration::from_secs(30),
            max_idle: 320,
            max_idle_in_all: usize::MAX,
            unread: 16 << 20,
            tries: 3,
        }
    }
}
