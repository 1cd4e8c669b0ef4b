//! Scripts of segments that come and segments that must go, in the manner of packetdrill.
//!
//! ```text
//! 0.000 < S 0:0 win 65535 <mss 1460,sackOK,wscale 7>     a segment of the peer
//! 0.000 > S. 0:0 ack 1                                    a segment of ours
//! 0.010 < . 1:1 ack 1 win 512
//! 0.010 accept                                            what the application does: connect, accept, write N, read N,
//! 0.010 write 2000                                        close, drop, abort
//! 0.010 > . 1:1461 ack 1
//! 0.010 > P. 1461:2001 ack 1
//! 0.500 eof                                               what it sees: eof, error reset|timeout|refused, unread N, room
//! ```
//!
//! Times are seconds. Numbers count from each side's first; `start:end` of a SYN is `0:0`. Flags are `S`, `F`, `R`, `P`, `.`
//! for ACK, `E` for ECE and `W` for CWR. What routers are told stands before them, `[ect0]`, `[ect1]` or `[ce]`, or nothing. `TS val N ecr @0.010` says our timestamp of that time. A segment of ours may leave out its window; options
//! that are not named are not looked at, but `sack`, which must be there as written or not at all. Whatever is sent must
//! stand in the script, at its millisecond.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;

use super::packets::Written;
use super::{SERVER, config, give, ip, segment_of};
use crate::option::{TcpOptions, Timestamps};
use crate::segment::{ACK, CWR, ECE, FIN, PSH, RST, SYN};
use crate::{Connecting, SourceAddress, Stack, StackConfig, TcpStream};
use headgate_net::clock::Nanos;
use headgate_net::wire::ecn;

/// The peer's initial sequence number: one that wraps soon.
const PEER: u32 = u32::MAX - 2_000;
const PORT: u16 = 5_000;
const START: u64 = 1_000_000_000;
/// By the values of the field.
const ECN: [&str; 4] = ["", "[ect1]", "[ect0]", "[ce]"];
/// Letters of flags, as they are written.
const FLAGS: [(u8, char); 7] = [
    (SYN, 'S'),
    (FIN, 'F'),
    (RST, 'R'),
    (PSH, 'P'),
    (ACK, '.'),
    (ECE, 'E'),
    (CWR, 'W'),
];
/// In place of a number that is not compared.
const ANY: u32 = u32::MAX;

/// Runs a script, and says at which line it went wrong.
pub(super) fn play(text: &str) {
    play_with(config(), text);
}

pub(super) fn play_with(config: StackConfig, text: &str) {
    let source: SourceAddress = std::rc::Rc::new(|_| Some(ip(super::CLIENT)));
    let stack = Stack::new(StackConfig {
        source_address: source,
        source_ports: PORT..=PORT,
        ..config
    });
    stack.listen([SocketAddr::new(ip(SERVER), 80)]);
    let mut stage = Stage::new(stack);
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim());
    for line in lines.filter(|line| !line.is_empty()) {
        stage.line(line);
    }
    let rest: Vec<_> = stage
        .sent
        .iter()
        .map(|(at, sent)| format!("{} {sent}", seconds(*at)))
        .collect();
    assert!(rest.is_empty(), "sent after the last line: {rest:#?}");
}

/// A segment as a script says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    ecn: u8,
    flags: u8,
    start: u32,
    length: u32,
    ack: u32,
    window: Option<u16>,
    mss: Option<u16>,
    scale: Option<u8>,
    sack_permitted: bool,
    timestamps: Option<(u32, u32)>,
    sacks: Vec<(u32, u32)>,
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", ECN[usize::from(self.ecn)])?;
        FLAGS
            .iter()
            .filter(|(flag, _)| self.flags & flag != 0)
            .try_for_each(|(_, letter)| write!(f, "{letter}"))?;
        write!(
            f,
            " {}:{} ack {}",
            self.start,
            self.start.wrapping_add(self.length),
            self.ack
        )?;
        write!(
            f,
            " win {:?} sack {:?} TS {:?}",
            self.window, self.sacks, self.timestamps
        )
    }
}

struct Stage {
    stack: Stack,
    now: Nanos,
    stream: Option<Pin<Box<TcpStream>>>,
    connecting: Option<Pin<Box<Connecting>>>,
    /// Our initial sequence number, the clock of our timestamps at `START`, and the ports, once something was sent.
    iss: Option<u32>,
    clock: Option<u32>,
    active: bool,
    sent: VecDeque<(Nanos, Said)>,
}

fn seconds(at: Nanos) -> String {
    format!("{:.3}", (at.0 - START) as f64 / 1e9)
}

impl Stage {
    fn new(stack: Stack) -> Self {
        Self {
            stack,
            now: Nanos(START),
            stream: None,
            connecting: None,
            iss: None,
            clock: None,
            active: false,
            sent: VecDeque::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let (time, rest) = line.split_once(' ').expect("a time and what happens");
        let time: f64 = time.parse().expect("seconds");
        self.pass(Nanos(START + (time * 1e9).round() as u64), line);
        match rest.trim().split_once(' ').unwrap_or((rest.trim(), "")) {
            ("<", segment) => self.gets(segment),
            (">", segment) => self.sends(segment, line),
            (word, argument) => self.does(word, argument.trim(), line),
        }
    }

    /// Time passes; timers fire on their way.
    fn pass(&mut self, to: Nanos, line: &str) {
        assert!(to >= self.now, "time goes back: {line}");
        while let Some(next) = self.stack.next_timer().filter(|next| *next <= to) {
            self.now = self.now.max(next);
            self.collect();
        }
        self.now = to;
    }

    fn collect(&mut self) {
        let mut packets = Vec::new();
        self.stack.egress(self.now, &mut |length, fill| {
            let mut packet = vec![0; length];
            fill(&mut packet);
            packets.push(packet);
            true
        });
        for packet in packets {
            let said = self.said(&packet);
            self.sent.push_back((self.now, said));
        }
    }

    fn said(&mut self, packet: &[u8]) -> Said {
        let segment = segment_of(packet).expect("we send good segments");
        let TcpOptions {
            mss,
            scale,
            sack_permitted,
            timestamps,
            sacks,
        } = segment.options;
        let iss = *self.iss.get_or_insert(segment.sequence.0);
        if let Some(timestamps) = timestamps {
            let passed = (self.now.0 / 1_000_000) as u32;
            self.clock.get_or_insert(timestamps.value.wrapping_sub(passed));
        }
        let relative = |number: u32| number.wrapping_sub(PEER);
        Said {
            ecn: segment.ecn,
            flags: segment.flags,
            start: segment.sequence.0.wrapping_sub(iss),
            length: segment.data.len() as u32,
            ack: if segment.has(ACK) {
                relative(segment.acknowledgement.0)
            } else {
                0
            },
            window: Some(segment.window),
            mss,
            scale,
            sack_permitted,
            timestamps: timestamps.map(|Timestamps { value, echo }| (value, echo)),
            sacks: sacks
                .iter()
                .map(|(start, end)| (relative(start.0), relative(end.0)))
                .collect(),
        }
    }

    /// Our timestamp at a time.
    fn stamp(&self, word: &str) -> u32 {
        match word.strip_prefix('@') {
            Some(at) => {
                let at: f64 = at.parse().expect("seconds");
                let passed = ((START as f64 + at * 1e9) / 1e6) as u32;
                self.clock.expect("we have sent a timestamp").wrapping_add(passed)
            }
            None => word.parse().expect("a timestamp"),
        }
    }

    fn parse(&self, text: &str) -> Said {
        let (head, options) = text.split_once('<').unwrap_or((text, ""));
        let mut said = Said::default();
        let mut words = head.split_ascii_whitespace().peekable();
        if let Some(word) = words.next_if(|word| word.starts_with('[')) {
            let value = ECN.iter().position(|known| *known == word);
            said.ecn = value.unwrap_or_else(|| panic!("no {word}")) as u8;
        }
        for letter in words.next().expect("flags").chars() {
            let flag = FLAGS.iter().find(|(_, known)| *known == letter);
            said.flags |= flag.unwrap_or_else(|| panic!("no flag {letter}")).0;
        }
        let (start, end) = words
            .next()
            .and_then(|range| range.split_once(':'))
            .expect("start:end");
        // Of another connection of ours, whose first number nobody knows.
        if start == "*" {
            said.start = ANY;
        } else {
            said.start = start.parse::<i64>().expect("a number") as u32;
            said.length = (end.parse::<i64>().expect("a number") as u32).wrapping_sub(said.start);
        }
        while let Some(word) = words.next() {
            let number = words.next().expect("a number");
            match word {
                "ack" => said.ack = number.parse::<i64>().expect("a number") as u32,
                "win" => said.window = Some(number.parse().expect("a window")),
                other => panic!("no {other}"),
            }
        }
        for option in options
            .trim_end_matches('>')
            .split(',')
            .filter(|option| !option.is_empty())
        {
            let words: Vec<&str> = option.split_ascii_whitespace().collect();
            match words[..] {
                ["mss", mss] => said.mss = mss.parse().ok(),
                ["wscale", scale] => said.scale = scale.parse().ok(),
                ["sackOK"] => said.sack_permitted = true,
                ["TS", "val", value, "ecr", echo] => {
                    said.timestamps = Some((self.stamp(value), self.stamp(echo)));
                }
                ["sack", ref blocks @ ..] => {
                    said.sacks = blocks
                        .iter()
                        .filter_map(|block| block.split_once(':'))
                        .map(|(start, end)| {
                            (
                                start.parse::<i64>().unwrap() as u32,
                                end.parse::<i64>().unwrap() as u32,
                            )
                        })
                        .collect();
                }
                _ => panic!("no option {option}"),
            }
        }
        said
    }

    fn gets(&mut self, text: &str) {
        let said = self.parse(text);
        let mut options = Vec::new();
        if let Some(mss) = said.mss {
            options.extend([2, 4, (mss >> 8) as u8, mss as u8]);
        }
        if said.sack_permitted {
            options.extend([1, 1, 4, 2]);
        }
        if let Some((value, echo)) = said.timestamps {
            options.extend([1, 1, 8, 10]);
            options.extend(value.to_be_bytes());
            options.extend(echo.to_be_bytes());
        }
        if let Some(scale) = said.scale {
            options.extend([1, 3, 3, scale]);
        }
        if !said.sacks.is_empty() {
            options.extend([1, 1, 5, 2 + 8 * said.sacks.len() as u8]);
            for (start, end) in &said.sacks {
                for number in [start, end] {
                    options.extend(number.wrapping_add(self.iss.unwrap_or(0)).to_be_bytes());
                }
            }
        }
        let segment = Written {
            v6: false,
            reply: self.active,
            ports: if self.active { (80, PORT) } else { (PORT, 80) },
            sequence: said.start.wrapping_add(PEER),
            acknowledgement: said.ack.wrapping_add(self.iss.unwrap_or(0)),
            flags: said.flags,
            window: said.window.unwrap_or(u16::MAX),
            options,
            payload: vec![b'x'; said.length as usize],
        };
        let mut packet = segment.packet();
        ecn::set(&mut packet, said.ecn);
        give(&self.stack, &packet, self.now);
        self.collect();
    }

    fn sends(&mut self, text: &str, line: &str) {
        let expected = self.parse(text);
        let Some((at, sent)) = self.sent.pop_front() else {
            panic!("nothing is sent: {line}");
        };
        let late = at.0.abs_diff(self.now.0);
        assert!(late <= 1_000_000, "sent at {}: {line}\n  is {sent}", seconds(at));
        let mut compared = sent.clone();
        if expected.start == ANY {
            compared.start = ANY;
        }
        compared.window = compared.window.filter(|_| expected.window.is_some());
        compared.mss = compared.mss.filter(|_| expected.mss.is_some());
        compared.scale = compared.scale.filter(|_| expected.scale.is_some());
        compared.sack_permitted &= expected.sack_permitted;
        compared.timestamps = compared.timestamps.filter(|_| expected.timestamps.is_some());
        assert!(compared == expected, "{line}\n  is {sent}");
    }

    fn does(&mut self, word: &str, argument: &str, line: &str) {
        let mut context = Context::from_waker(Waker::noop());
        let count = || argument.parse::<usize>().expect("a number");
        match word {
            "connect" => {
                self.active = true;
                let connecting = self.stack.connect(SocketAddr::new(ip(SERVER), 80));
                self.connecting = Some(Box::pin(connecting.expect("a connection")));
            }
            "accept" => {
                let stream = match &mut self.connecting {
                    Some(connecting) => match connecting.as_mut().poll(&mut context) {
                        Poll::Ready(Ok(stream)) => Some(stream),
                        other => panic!("{line}: {other:?}"),
                    },
                    None => self.stack.try_accept(),
                };
                self.connecting = None;
                self.stream = Some(Box::pin(
                    stream.unwrap_or_else(|| panic!("no connection: {line}")),
                ));
            }
            "refused" | "pending" => {
                let connecting = self.connecting.as_mut().expect("a call");
                match connecting.as_mut().poll(&mut context) {
                    Poll::Pending => assert_eq!(word, "pending", "{line}"),
                    Poll::Ready(result) => {
                        let kind = result.err().map(|error| format!("{:?}", error.kind()));
                        assert_eq!(kind.as_deref(), Some(argument), "{line}");
                    }
                }
            }
            "none" => assert!(self.stack.try_accept().is_none(), "{line}"),
            "drop" => drop((self.stream.take(), self.connecting.take())),
            "abort" => self
                .stream
                .take()
                .map_or((), |stream| Pin::into_inner(stream).abort()),
            "idle" => assert!(
                self.stack.shared.inner.borrow().is_empty(),
                "{line}: {:?}",
                self.stack
            ),
            "count" => self.counts(argument, line),
            _ => self.streams(word, argument, count, line),
        }
        self.collect();
    }

    fn counts(&self, argument: &str, line: &str) {
        let (name, number) = argument.split_once(' ').expect("a counter and its number");
        let status = serde_json::to_value(self.stack.status()).unwrap();
        let found = status
            .pointer(&format!("/counters/{name}"))
            .or(status.pointer(&format!("/{name}")));
        let found = found.and_then(serde_json::Value::as_u64);
        assert_eq!(found, number.parse().ok(), "{line}: {status}");
    }

    fn streams(&mut self, word: &str, argument: &str, count: impl Fn() -> usize, line: &str) {
        let mut context = Context::from_waker(Waker::noop());
        let stream = self
            .stream
            .as_mut()
            .unwrap_or_else(|| panic!("no stream: {line}"));
        let read = |stream: &TcpStream, most: usize, context: &mut Context<'_>| {
            let mut left = most;
            while left > 0 {
                let take = |data: &[u8]| data.len().min(left);
                match stream.poll_receive(context, take) {
                    Poll::Ready(Ok(taken @ 1..)) => left -= taken,
                    other => return Some((most - left, other)),
                }
            }
            None
        };
        match word {
            "write" => {
                let data = vec![b'y'; count()];
                let written = stream.as_mut().poll_write(&mut context, &data);
                assert!(
                    matches!(written, Poll::Ready(Ok(n)) if n == data.len()),
                    "{line}: {written:?}"
                );
            }
            "blocked" => assert!(
                stream.as_mut().poll_write(&mut context, b"y").is_pending(),
                "{line}"
            ),
            "broken" => {
                let written = stream.as_mut().poll_write(&mut context, b"y");
                let Poll::Ready(Err(error)) = written else {
                    panic!("{line}: {written:?}")
                };
                assert_eq!(format!("{:?}", error.kind()), argument, "{line}");
            }
            "read" => assert!(read(stream, count(), &mut context).is_none(), "{line}"),
            "nothing" => {
                let got = stream.poll_receive(&mut context, |data| data.len());
                assert!(got.is_pending(), "{line}: {got:?}");
            }
            "eof" => {
                let got = stream.poll_receive(&mut context, |data| data.len());
                assert!(matches!(got, Poll::Ready(Ok(0))), "{line}: {got:?}");
            }
            "error" => match stream.poll_receive(&mut context, |data| data.len()) {
                Poll::Ready(Err(error)) => assert_eq!(format!("{:?}", error.kind()), argument, "{line}"),
                other => panic!("{line}: {other:?}"),
            },
            "close" => assert!(stream.as_mut().poll_shutdown(&mut context).is_ready(), "{line}"),
            other => panic!("no {other}: {line}"),
        }
    }
}
