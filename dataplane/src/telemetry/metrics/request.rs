//! An HTTP/1 request for metrics: its head alone, since none has a body.

use std::io::Read;

use super::Format;

/// The longest head.
const HEAD_BYTES: usize = 8 << 10;
/// The most headers.
const HEADERS: usize = 64;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Without a query.
    pub(super) path: String,
    /// HEAD: no body is wanted.
    pub(super) head: bool,
    /// Of metrics.
    pub(super) format: Format,
}

/// Why there is no request, for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadRequest {
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
}

const fn refusal(status: &'static str, reason: &'static str) -> BadRequest {
    BadRequest { status, reason }
}

impl Request {
    /// Reads a request; `None` where the client has gone or says nothing.
    pub(super) fn read(mut client: impl Read) -> Option<Result<Self, BadRequest>> {
        let mut head = vec![0; HEAD_BYTES];
        let mut length = 0;
        loop {
            match client.read(&mut head[length..]) {
                Ok(0) => return None,
                Ok(more) => length += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) if length == 0 => return None,
                Err(_) => {
                    return Some(Err(refusal(
                        "408 Request Timeout",
                        "the request did not come in time",
                    )));
                }
            }
            if let Some(request) = Self::parse(&head[..length]) {
                return Some(request);
            }
            if length == HEAD_BYTES {
                let reason = "the head of the request is longer than 8 KiB";
                return Some(Err(refusal("431 Request Header Fields Too Large", reason)));
            }
        }
    }

    /// `None` where there is more to come.
    fn parse(head: &[u8]) -> Option<Result<Self, BadRequest>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Partial) => None,
            Ok(httparse::Status::Complete(_)) => Some(Self::of(&request)),
            Err(httparse::Error::TooManyHeaders) => Some(Err(refusal(
                "431 Request Header Fields Too Large",
                "there are more than 64 header fields",
            ))),
            Err(_) => Some(Err(refusal("400 Bad Request", "this is not an HTTP/1 request"))),
        }
    }

    fn of(request: &httparse::Request<'_, '_>) -> Result<Self, BadRequest> {
        let header = |name: &'static str| {
            let fields = request.headers.iter();
            fields
                .filter(move |field| field.name.eq_ignore_ascii_case(name))
                .map(|field| String::from_utf8_lossy(field.value).into_owned())
        };
        // RFC 9112, section 3.2: exactly one in a request of HTTP/1.1.
        if request.version == Some(1) && header("host").count() != 1 {
            return Err(refusal("400 Bad Request", "a request has one Host header"));
        }
        let method = request.method.unwrap_or_default();
        if !matches!(method, "GET" | "HEAD") {
            return Err(refusal(
                "405 Method Not Allowed",
                "only GET and HEAD are answered here",
            ));
        }
        let target = request.path.unwrap_or_default();
        let accept: Vec<String> = header("accept").collect();
        Ok(Self {
            path: target.split('?').next().unwrap_or_default().to_owned(),
            head: method == "HEAD",
            format: Format::accepted(&accept.join(",")),
        })
    }
}
