//! Flows that are watched packet by packet.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use headgate_lab::{Namespace, wait_until};
use rustix::net::{AddressFamily, SocketType};

/// How long an answer that is due may take.
const DUE: Duration = Duration::from_secs(3);
/// The pace of a flow that gets no answers.
const PACE: Duration = Duration::from_millis(1);

/// What a flow's next datagram stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nothing is sent.
    Paused,
    /// The policies change: it may pass or not.
    Undecided,
    /// It is acknowledged that the flow is allowed.
    Open,
    /// It is acknowledged that the flow is denied.
    Closed,
    /// The flow is over.
    Ended,
}

/// Datagrams one after the other, each marked with the phase in which it was sent.
pub(super) struct Flow {
    socket: UdpSocket,
    /// Locked while a datagram is marked and sent, so that none carries the mark of a phase that is over.
    phase: Mutex<Phase>,
    sent: AtomicU64,
    answered: AtomicU64,
    passed_though_closed: AtomicU64,
}

impl Flow {
    pub(super) fn new(socket: UdpSocket) -> Self {
        socket.set_read_timeout(Some(PACE)).unwrap();
        Self {
            socket,
            phase: Mutex::new(Phase::Paused),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            passed_though_closed: AtomicU64::new(0),
        }
    }

    pub(super) fn set(&self, phase: Phase) {
        *self.phase.lock().unwrap() = phase;
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    pub(super) fn passed_though_closed(&self) -> u64 {
        self.passed_though_closed.load(Ordering::SeqCst)
    }

    /// Sends and receives until the phase is [`Phase::Ended`].
    pub(super) fn run(&self) {
        while self.send() {
            let mut answer = [0; 64];
            // A timeout is the pace; an error tells that an earlier datagram was refused.
            let Ok(length @ 1..) = self.socket.recv(&mut answer) else {
                continue;
            };
            self.answered.fetch_add(1, Ordering::SeqCst);
            if answer[length - 1] == Phase::Closed as u8 {
                self.passed_though_closed.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Whether the flow goes on.
    fn send(&self) -> bool {
        let phase = self.phase.lock().unwrap();
        let sending = !matches!(*phase, Phase::Paused | Phase::Ended);
        if sending && self.socket.send(&[*phase as u8]).is_ok() {
            self.sent.fetch_add(1, Ordering::SeqCst);
        }
        *phase != Phase::Ended
    }
}

/// A UDP socket from `from` to a Service.
pub(super) fn datagrams(namespace: &Namespace, from: IpAddr, to: IpAddr, port: u16) -> UdpSocket {
    let socket = namespace.enter(|| UdpSocket::bind((from, 0)).unwrap()).unwrap();
    socket.connect((to, port)).unwrap();
    socket
}

/// A TCP connection from `from`.
pub(super) fn connect(namespace: &Namespace, from: IpAddr, to: IpAddr, port: u16) -> TcpStream {
    let open = || {
        let family = if from.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::new(from, 0)).unwrap();
        rustix::net::connect(&socket, &SocketAddr::new(to, port)).unwrap();
        TcpStream::from(socket)
    };
    let stream = namespace.enter(open).unwrap();
    stream.set_read_timeout(Some(DUE)).unwrap();
    stream
}

/// One numbered datagram at a time until `stop`; each must come back, once. Returns how many did.
pub(super) fn echo_datagrams(socket: &UdpSocket, pod: &str, stop: &AtomicBool) -> u64 {
    socket.set_read_timeout(Some(DUE)).unwrap();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        socket.send(&number.to_be_bytes()).unwrap();
        let mut answer = [0; 64];
        let length = socket
            .recv(&mut answer)
            .unwrap_or_else(|error| panic!("datagram {number} is lost: {error}"));
        let expected = [pod.as_bytes(), b" ", &number.to_be_bytes()].concat();
        assert_eq!(answer[..length], expected, "datagram {number}");
    }
    number
}

/// Numbers through a stream and back until `stop`; returns how many chunks came back in order.
pub(super) fn echo_stream(mut stream: TcpStream, stop: &AtomicBool) -> u64 {
    exchange(&stream, "x/a\n");
    let mut chunks = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let chunk: Vec<u8> = (0..100).flat_map(|n| (chunks * 100 + n).to_be_bytes()).collect();
        stream.write_all(&chunk).unwrap();
        let mut echo = vec![0; chunk.len()];
        stream
            .read_exact(&mut echo)
            .unwrap_or_else(|error| panic!("chunk {chunks} is lost: {error}"));
        assert_eq!(echo, chunk, "chunk {chunks}");
        chunks += 1;
    }
    chunks
}

/// Reads the greeting.
pub(super) fn exchange(mut stream: &TcpStream, greeting: &str) {
    let mut read = vec![0; greeting.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, greeting.as_bytes());
}

/// Writes into a connection that is closed by policy: it is counted as denied, and nothing comes back.
pub(super) fn nothing_passes(mut stream: &TcpStream, denied: impl Fn() -> u64) {
    let before = denied();
    stream.write_all(b"late").unwrap();
    wait_until("the late segment is denied", DUE, || denied() > before).unwrap();
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0; 16]);
    let silent = matches!(&read, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset));
    assert!(silent, "passed after the acknowledgement: {read:?}");
}

/// Requests over one connection that is kept.
pub(super) struct Requests {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Requests {
    pub(super) fn open(namespace: &Namespace, from: IpAddr, (to, port): (IpAddr, u16), host: String) -> Self {
        let stream = BufReader::new(connect(namespace, from, to, port));
        Self { stream, host }
    }

    /// The status of the next request's answer.
    pub(super) fn status(&mut self) -> u16 {
        write!(
            self.stream.get_mut(),
            "GET / HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.host
        )
        .unwrap();
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            assert!(
                self.stream.read_line(&mut line).unwrap() > 0,
                "the connection was closed after {head:?}"
            );
            if line.trim_end().is_empty() {
                break;
            }
            head.push(line.to_ascii_lowercase());
        }
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or_else(|| panic!("no length in {head:?}"))];
        self.stream.read_exact(&mut body).unwrap();
        head[0]
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap()
    }
}
