//! A pod that writes down what it gets, byte for byte where it matters.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use headgate_lab::Namespace;

use crate::framing_table::{Act, Row, sent};

/// Requests for this path are answered and not written down.
pub(super) const FENCE: &str = "/fence";
/// Their answers, and no others, have this field.
pub(super) const FENCE_FIELD: &str = "fence";
/// The Host that is not worth a word.
pub(super) const HOST: &str = "web.example";
/// What gateways add.
const ADDED: [&str; 11] = [
    "content-length",
    "host",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-real-ip",
    "x-request-id",
    "x-scheme",
];

/// A listening pod; it ends when dropped.
pub(super) struct RecordingPod {
    listener: TcpListener,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    seen: Vec<String>,
    script: Option<Script>,
}

/// What a pod answers.
#[derive(Clone)]
pub(super) struct Script {
    bytes: Vec<u8>,
    /// Ends the connection after it.
    closes: bool,
    /// Bytes that are sent in one piece.
    piece: usize,
}

impl Script {
    pub(super) fn of(row: &Row, piece: usize) -> Option<Self> {
        row.is_about_response().then(|| Self {
            bytes: sent(&row.answer),
            closes: row.answer.contains(&Act::End),
            piece,
        })
    }
}

impl RecordingPod {
    pub(super) fn listen(pods: &Namespace, address: SocketAddr) -> io::Result<Self> {
        let listener = pods.enter(|| TcpListener::bind(address))??;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (incoming, with) = (listener.try_clone()?, Arc::clone(&shared));
        thread::spawn(move || {
            for stream in incoming.incoming() {
                let Ok(stream) = stream else { return };
                let with = Arc::clone(&with);
                thread::spawn(move || serve(&stream, &with));
            }
        });
        Ok(Self { listener, shared })
    }

    /// Another row begins: what has been seen is forgotten. Where there is no script, answers have no body.
    pub(super) fn begin(&self, script: Option<Script>) {
        let seen = Vec::new();
        *locked(&self.shared) = Shared { seen, script };
    }

    /// What has come whole since then, in order.
    pub(super) fn seen(&self) -> Vec<String> {
        locked(&self.shared).seen.clone()
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for RecordingPod {
    fn drop(&mut self) {
        // Ends the thread that accepts; there is nobody to tell of an error.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}

/// Answers the requests of a connection until it ends, or brings what is no request.
fn serve(stream: &TcpStream, with: &Mutex<Shared>) {
    // Without it pieces wait for each other; a connection that is gone already ends below.
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    loop {
        let answer = match Request::read(&mut reader) {
            Ok(request) if request.line.contains(FENCE) => {
                Script::plain(&format!("200 OK\r\n{FENCE_FIELD}: 1"), false)
            }
            Ok(request) => {
                let mut shared = locked(with);
                shared.seen.push(request.to_string());
                shared
                    .script
                    .clone()
                    .unwrap_or_else(|| Script::plain("200 OK", false))
            }
            Err(Trouble::Cut) => return,
            Err(Trouble::Garbage(what)) => {
                locked(with).seen.push(format!("garbage {what}"));
                Script::plain("400 Bad Request\r\nConnection: close", true)
            }
        };
        let mut writer = stream;
        let mut pieces = answer.bytes.chunks(answer.piece);
        if pieces.any(|piece| writer.write_all(piece).is_err()) || answer.closes {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

impl Script {
    fn plain(status_and_fields: &str, closes: bool) -> Self {
        let text = format!("HTTP/1.1 {status_and_fields}\r\nContent-Length: 0\r\n\r\n");
        Self {
            bytes: text.into_bytes(),
            closes,
            piece: usize::MAX,
        }
    }
}

/// Why there is no further request.
enum Trouble {
    /// The connection has ended, perhaps amid a request.
    Cut,
    /// What came is not what this strict reader takes for a request.
    Garbage(String),
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Self {
        Self::Cut
    }
}

#[derive(Default)]
struct Request {
    line: String,
    host: Vec<String>,
    fields: BTreeMap<String, String>,
    chunked: bool,
    length: Option<usize>,
    body: Vec<u8>,
    trailers: Vec<String>,
}

impl Request {
    fn read(from: &mut BufReader<&TcpStream>) -> Result<Self, Trouble> {
        let mut request = Self {
            line: escaped(&line(from)?),
            ..Self::default()
        };
        loop {
            let field = line(from)?;
            if field.is_empty() {
                break;
            }
            request.field(&field)?;
        }
        if request.fields.contains_key("expect") {
            let mut writer: &TcpStream = from.get_ref();
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.read_body(from)?;
        Ok(request)
    }

    fn field(&mut self, field: &[u8]) -> Result<(), Trouble> {
        let garbage = || Trouble::Garbage(escaped(field));
        let colon = field.iter().position(|b| *b == b':').ok_or_else(garbage)?;
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        let strange = |b: &u8| b.is_ascii_whitespace() || b.is_ascii_control();
        if name.is_empty() || name.iter().any(strange) {
            return Err(garbage());
        }
        let name = escaped(name).to_ascii_lowercase();
        match name.as_str() {
            "host" => self.host.push(escaped(value)),
            "transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") && !self.chunked => {
                self.chunked = true;
            }
            "content-length" if self.length.is_none() => {
                let digits = std::str::from_utf8(value).ok().filter(|v| !v.starts_with('+'));
                self.length = Some(digits.and_then(|d| d.parse().ok()).ok_or_else(garbage)?);
            }
            "transfer-encoding" | "content-length" => return Err(garbage()),
            "connection" if matches!(value, b"close" | b"keep-alive") => {}
            name if ADDED.contains(&name) => {}
            _ => {
                let all = self.fields.entry(name).or_default();
                let comma = if all.is_empty() { "" } else { "," };
                *all = format!("{all}{comma}{}", escaped(value));
            }
        }
        if self.chunked && self.length.is_some() {
            return Err(garbage());
        }
        Ok(())
    }

    fn read_body(&mut self, from: &mut BufReader<&TcpStream>) -> Result<(), Trouble> {
        if let Some(length) = self.length {
            self.read_piece(from, length)?;
        }
        while self.chunked {
            let size = line(from)?;
            let number = std::str::from_utf8(&size).ok().filter(|s| !s.starts_with('+'));
            let number = number.and_then(|s| usize::from_str_radix(s, 16).ok());
            match number.ok_or_else(|| Trouble::Garbage(format!("chunk {}", escaped(&size))))? {
                0 => break,
                number => self.read_piece(from, number)?,
            }
            let after = line(from)?;
            if !after.is_empty() {
                return Err(Trouble::Garbage(format!("after a chunk {}", escaped(&after))));
            }
        }
        while self.chunked {
            let trailer = line(from)?;
            if trailer.is_empty() {
                break;
            }
            self.trailers.push(escaped(&trailer).to_ascii_lowercase());
        }
        Ok(())
    }

    fn read_piece(&mut self, from: &mut BufReader<&TcpStream>, length: usize) -> Result<(), Trouble> {
        let before = self.body.len();
        from.take(length as u64).read_to_end(&mut self.body)?;
        if self.body.len() - before == length {
            Ok(())
        } else {
            Err(Trouble::Cut)
        }
    }
}

/// A line up to CR LF, without it; a CR or LF alone is a part of it.
fn line(from: &mut impl BufRead) -> Result<Vec<u8>, Trouble> {
    let mut line = Vec::new();
    loop {
        if from.read_until(b'\n', &mut line)? == 0 || !line.ends_with(b"\n") {
            return Err(Trouble::Cut);
        }
        if line.ends_with(b"\r\n") {
            line.truncate(line.len() - 2);
            return Ok(line);
        }
    }
}

/// Printable, without what separates things in a row; long texts cut.
pub(super) fn escaped(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let escape = |b: &u8| match b {
        b'|' | b'"' => format!("\\x{b:02x}"),
        b => b.escape_ascii().to_string(),
    };
    let text: String = bytes.iter().take(SHOWN).map(escape).collect();
    match bytes.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{text}… {more} more"),
        _ => text,
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.line.strip_suffix(" HTTP/1.1").unwrap_or(&self.line))?;
        if self.host != [HOST] {
            write!(f, " host={}", self.host.join(" and "))?;
        }
        for (name, value) in &self.fields {
            write!(f, " {name}={value}")?;
        }
        if self.chunked {
            write!(f, " chunked")?;
        }
        if self.chunked || self.length.is_some() {
            write!(f, " \"{}\"", escaped(&self.body))?;
        }
        for trailer in &self.trailers {
            write!(f, " trailer {trailer}")?;
        }
        Ok(())
    }
}
