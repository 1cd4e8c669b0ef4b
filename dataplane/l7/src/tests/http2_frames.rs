//! HTTP/2 by its frames: what the sections of RFC 9113 ask for, row by row, and what is done about those who abuse it.

mod rows;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{World, answer_with, mirror, upstream};
use crate::Limits;
use headgate_net::phase::Phase;
use headgate_net::record::{Class, HttpCount};
use headgate_tcp::TcpStream;
use headgate_tcp::network::run;
use rows::{Row, rows};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
/// The flag of HEADERS.
pub(super) const PRIORITIZED: u8 = 0x20;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a row comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The connection ends for this reason.
    Lost(u32),
    /// A stream does.
    Reset(u32, u32),
    /// A stream is answered.
    Answer(u32, u16),
    /// Nothing but the answer to a ping that is sent at the end.
    Alive,
}

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The block of a GET of `/`.
pub(super) fn get() -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84];
    block.extend(literal(":authority", "web.example"));
    block
}

/// The same with POST.
pub(super) fn post() -> Vec<u8> {
    let mut block = get();
    block[0] = 0x83;
    block
}

/// A field that no table knows.
pub(super) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, name.len() as u8];
    field.extend(name.as_bytes());
    field.push(value.len() as u8);
    field.extend(value.as_bytes());
    field
}

/// A connection that has said what one begins with.
async fn open(world: &World) -> TcpStream {
    let mut stream = world.connect(80).await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, [])).await.unwrap();
    stream
}

/// The next frame: kind, flags, stream and payload.
async fn next(stream: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], id, payload))
}

fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload.first_chunk().copied().unwrap())
}

/// The status that stands first in a block.
fn status(block: &[u8]) -> u16 {
    match block {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [_, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        _ => panic!("no status stands first in {block:?}"),
    }
}

/// What becomes of a connection by the next frame that says so.
async fn outcome(stream: &mut TcpStream) -> Option<Outcome> {
    loop {
        let (kind, flags, id, payload) = next(stream).await?;
        return Some(match kind {
            HEADERS => Outcome::Answer(id, status(&payload)),
            RST_STREAM => Outcome::Reset(id, number(&payload)),
            GOAWAY => Outcome::Lost(number(&payload[4..])),
            PING if flags == ACK && payload == b"the last" => Outcome::Alive,
            _ => continue,
        });
    }
}

#[test]
fn what_frames_come_to() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut wrong = Vec::new();
        for Row {
            section,
            what,
            frames,
            comes_to,
        } in rows()
        {
            let mut stream = open(&world).await;
            stream.write_all(&frames.concat()).await.unwrap();
            stream.write_all(&frame(PING, 0, 0, b"the last")).await.unwrap();
            let mut seen = Vec::new();
            while let Some(outcome) = outcome(&mut stream).await {
                seen.push(outcome);
                if matches!(outcome, Outcome::Lost(_)) || outcome == comes_to {
                    break;
                }
                if seen.len() > 4 {
                    break;
                }
            }
            if seen.last() != Some(&comes_to) || comes_to == Outcome::Alive && seen.len() > 1 {
                wrong.push(format!("{section} {what}: {seen:?} in place of {comes_to:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        world.quiet().await;
    });
}

#[test]
fn what_is_no_preface_ends_the_connection() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        // What begins as one does and is none; something else than SETTINGS behind it.
        for bytes in [
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
            [PREFACE, &frame(PING, 0, 0, [0; 8])].concat(),
            [PREFACE, &frame(SETTINGS, ACK, 0, [])].concat(),
            [PREFACE, &frame(HEADERS, END_HEADERS | END_STREAM, 1, get())].concat(),
        ] {
            let mut stream = world.connect(80).await;
            stream.write_all(&bytes).await.unwrap();
            assert_eq!(outcome(&mut stream).await, Some(Outcome::Lost(1)));
            assert_eq!(next(&mut stream).await, None);
        }
        world.quiet().await;
    });
}

#[test]
fn more_than_the_windows_allow_ends_the_stream_or_the_connection() {
    run(async {
        let mut world = World::new(Limits::default());
        // A pod that answers nothing: nothing is taken from a client before there is a connection.
        world.objects.upstreams = vec![upstream("web", &[30])];
        world.configure(&world.objects);
        let body = |stream, pieces| frame(DATA, 0, stream, vec![b'x'; 16_384]).repeat(pieces);
        let begin = |stream| frame(HEADERS, END_HEADERS, stream, post());
        let mut stream = open(&world).await;
        stream.write_all(&[begin(1), body(1, 9)].concat()).await.unwrap();
        assert_eq!(outcome(&mut stream).await, Some(Outcome::Reset(1, 3)));
        // What lay there for it is nobody's any more: others have the room.
        let within = [
            begin(3),
            body(3, 8),
            begin(5),
            body(5, 7),
            frame(PING, 0, 0, b"the last"),
        ];
        stream.write_all(&within.concat()).await.unwrap();
        assert_eq!(outcome(&mut stream).await, Some(Outcome::Alive));
        stream.write_all(&[begin(7), body(7, 1)].concat()).await.unwrap();
        assert_eq!(outcome(&mut stream).await, Some(Outcome::Lost(3)));
    });
}

#[test]
fn padding_is_counted_once() {
    run(async {
        let mut world = World::new(Limits::default());
        // A pod that answers nothing, so that nothing but padding makes room.
        world.objects.upstreams = vec![upstream("web", &[30])];
        world.configure(&world.objects);
        let mut stream = open(&world).await;
        let padded = [&[255][..], b"x", &[0; 255]].concat();
        let frames = [
            frame(HEADERS, END_HEADERS, 1, post()),
            frame(DATA, PADDED, 1, &padded).repeat(1_000),
            frame(PING, 0, 0, b"the last"),
        ];
        stream.write_all(&frames.concat()).await.unwrap();
        let (sent, mut allowed) = (1_000 * padded.len(), 65_535);
        loop {
            let (kind, flags, id, payload) = next(&mut stream).await.unwrap();
            match (kind, id) {
                (WINDOW_UPDATE, 0) => allowed += number(&payload) as usize,
                (PING, 0) if flags == ACK => break,
                _ => {}
            }
        }
        assert!(
            allowed - sent <= 256 << 10,
            "{allowed} bytes allowed, and {sent} sent"
        );
    });
}

#[test]
fn what_a_client_had_sent_of_a_stream_that_is_cut_ends_nothing_else() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut pod| async move {
            let part = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\na part";
            pod.write_all(part).await.unwrap();
            std::future::pending::<()>().await;
        });
        let mut stream = open(&world).await;
        let begin = frame(HEADERS, END_HEADERS, 1, post());
        stream.write_all(&begin).await.unwrap();
        assert_eq!(outcome(&mut stream).await, Some(Outcome::Answer(1, 200)));
        world.deny(&[10, 11, 12], true);
        assert_eq!(outcome(&mut stream).await, Some(Outcome::Reset(1, 2)));
        let late = [
            frame(DATA, 0, 1, b"late"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, literal("x", "y")),
            frame(PING, 0, 0, b"the last"),
        ];
        stream.write_all(&late.concat()).await.unwrap();
        assert_eq!(outcome(&mut stream).await, Some(Outcome::Alive));
    });
}

#[test]
fn streams_that_wait_for_each_other_on_a_slow_line_are_not_slow() {
    const STREAMS: u32 = 40;
    run(async {
        let world = World::new(Limits::default());
        world.serve(|_, request| answer_with(request, 100_000));
        let mut stream = open(&world).await;
        let wide = 1_u32 << 24;
        let mut asked = frame(WINDOW_UPDATE, 0, 0, wide.to_be_bytes());
        asked.extend(frame(SETTINGS, 0, 0, [&[0, 4][..], &wide.to_be_bytes()].concat()));
        for place in 0..STREAMS {
            asked.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * place + 1, get()));
        }
        stream.write_all(&asked).await.unwrap();
        // Each has its turn every two minutes.
        let mut bytes = Vec::new();
        for _ in 0..300 {
            let mut piece = [0; 5_000];
            stream.read_exact(&mut piece).await.unwrap();
            bytes.extend(piece);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut piece = vec![0; 16_384];
        let (mut at, mut ended) = (0, 0);
        while ended < STREAMS {
            let rest = &bytes[at..];
            let length = rest
                .first_chunk()
                .map(|head: &[u8; 3]| 9 + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize);
            match length.filter(|length| rest.len() >= *length) {
                Some(length) => {
                    assert_ne!(rest[3], RST_STREAM);
                    ended += u32::from(rest[3] == DATA && rest[4] & END_STREAM != 0);
                    at += length;
                }
                None => {
                    let count = stream.read(&mut piece).await.unwrap();
                    assert!(count > 0);
                    bytes.extend_from_slice(&piece[..count]);
                }
            }
        }
    });
}

#[test]
fn a_tunnel_ends_in_order_although_others_are_before_it() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut pod| async move {
            let mut head = [0; 2_048];
            let length = pod.read(&mut head).await.unwrap();
            if String::from_utf8_lossy(&head[..length]).contains("upgrade: websocket") {
                let switch = b"HTTP/1.1 101 Fine\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                pod.write_all(switch).await.unwrap();
                // Until the client has ended its side.
                drop(pod.read_to_end(&mut Vec::new()).await);
            } else {
                let answer = b"HTTP/1.1 200 Fine\r\ncontent-length: 1000000\r\n\r\n";
                pod.write_all(answer).await.unwrap();
                drop(pod.write_all(&vec![b'x'; 1_000_000]).await);
            }
        });
        let mut stream = open(&world).await;
        let wide = 1_u32 << 24;
        let connect = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "web.example"),
        ];
        let connect: Vec<u8> = connect
            .iter()
            .flat_map(|(name, value)| literal(name, value))
            .collect();
        let asked = [
            frame(WINDOW_UPDATE, 0, 0, wide.to_be_bytes()),
            frame(SETTINGS, 0, 0, [&[0, 4][..], &wide.to_be_bytes()].concat()),
            frame(HEADERS, END_HEADERS, 1, connect),
        ];
        stream.write_all(&asked.concat()).await.unwrap();
        assert_eq!(outcome(&mut stream).await, Some(Outcome::Answer(1, 200)));
        let large = frame(HEADERS, END_HEADERS | END_STREAM, 3, get());
        stream.write_all(&large).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let end = frame(DATA, END_STREAM, 1, []);
        stream.write_all(&end).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        loop {
            let (kind, flags, id, _) = next(&mut stream).await.unwrap();
            if id == 1 {
                assert_eq!((kind, flags), (DATA, END_STREAM));
                break;
            }
        }
    });
}

#[test]
fn interim_responses_without_end_wait_for_the_client() {
    run(async {
        let world = World::new(Limits::default());
        let written = Rc::new(Cell::new(0));
        let count = Rc::clone(&written);
        world.script(move |mut pod| {
            let count = Rc::clone(&count);
            async move {
                let early = format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", "x".repeat(1_000));
                while count.get() < 8 << 20 && pod.write_all(early.as_bytes()).await.is_ok() {
                    count.set(count.get() + early.len());
                }
                let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                drop(pod.write_all(answer).await);
            }
        });
        let mut stream = open(&world).await;
        let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, get());
        stream.write_all(&request).await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(written.get() < 1 << 20, "{} bytes", written.get());
        // All of it comes to who reads.
        let mut early = 0;
        while outcome(&mut stream).await == Some(Outcome::Answer(1, 103)) {
            early += 1;
        }
        assert!(early > 8_000, "{early}");
    });
}

#[test]
fn what_is_asked_too_late_ends_nothing_that_is_under_way() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|local, request| {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                mirror(local, request).await
            })
        });
        let mut stream = open(&world).await;
        let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, get());
        stream.write_all(&request).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.stage.borrow_mut().enter(Phase::Leaving);
        let ping = loop {
            let (kind, flags, _, payload) = next(&mut stream).await.unwrap();
            if kind == PING && flags == 0 {
                break payload;
            }
        };
        // RFC 9113, section 6.8: nothing is known any more of what comes behind the last one.
        let late = [
            frame(PING, ACK, 0, ping),
            frame(HEADERS, END_HEADERS, 3, post()),
            frame(WINDOW_UPDATE, 0, 3, 1_u32.to_be_bytes()),
            frame(DATA, 0, 3, b"late"),
            frame(RST_STREAM, 0, 3, [0, 0, 0, 8]),
            frame(DATA, END_STREAM, 5, b"late"),
        ];
        stream.write_all(&late.concat()).await.unwrap();
        assert_eq!(outcome(&mut stream).await, Some(Outcome::Lost(0)));
        assert_eq!(outcome(&mut stream).await, Some(Outcome::Answer(1, 200)));
        drop(stream);
        world.quiet().await;
    });
}

#[test]
fn a_client_with_a_smaller_table_is_told_once_that_none_is_used() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut stream = open(&world).await;
        let table = |size: u32| [&[0, 1], &size.to_be_bytes()[..]].concat();
        // RFC 7541, section 4.2; RFC 9113, section 4.3.1.
        for (settings, told) in [
            (vec![], false),
            (table(8_192), false),
            (table(100), true),
            (table(0), false),
            (table(4_096), false),
        ] {
            for told in [told, false] {
                let settings = frame(SETTINGS, 0, 0, &settings);
                stream.write_all(&settings).await.unwrap();
                let id = world.status().counters.requests[Class::Success] as u32 * 2 + 1;
                let request = frame(HEADERS, END_HEADERS | END_STREAM, id, get());
                stream.write_all(&request).await.unwrap();
                let block = loop {
                    let (kind, _, _, payload) = next(&mut stream).await.unwrap();
                    if kind == HEADERS {
                        break payload;
                    }
                };
                let (told_now, block) = match block.split_first() {
                    Some((0x20, block)) => (true, block),
                    _ => (false, &block[..]),
                };
                assert_eq!((told_now, status(block)), (told, 200));
            }
        }
        drop(stream);
        world.quiet().await;
    });
}

/// Sends the same without end, until the connection does; how often that was.
async fn flood(
    world: &World,
    before: &[u8],
    bytes: impl Fn(u32) -> Vec<u8> + 'static,
    rounds: u32,
) -> Option<Outcome> {
    let mut stream = open(world).await;
    stream.write_all(before).await.unwrap();
    let (mut reads, mut writes) = tokio::io::split(stream);
    let writer = tokio::task::spawn_local(async move {
        for round in 0..rounds {
            if writes.write_all(&bytes(round)).await.is_err() {
                return;
            }
        }
        // Held until the other half has seen the end.
        drop(writes.flush().await);
        std::future::pending::<()>().await;
    });
    let mut lost = None;
    loop {
        let mut head = [0; 9];
        if reads.read_exact(&mut head).await.is_err() {
            break;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if reads.read_exact(&mut payload).await.is_err() {
            break;
        }
        if head[3] == GOAWAY {
            lost = Some(Outcome::Lost(number(&payload[4..])));
            break;
        }
    }
    writer.abort();
    lost
}

#[test]
fn small_messages_may_be_taken_with_a_ping_and_room_in_both_windows_each() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|_, request| {
            Box::pin(async move { Response::new(request.into_body().map_err(|_| unreachable!()).boxed()) })
        });
        let mut stream = open(&world).await;
        let begin = frame(HEADERS, END_HEADERS, 1, post());
        stream.write_all(&begin).await.unwrap();
        let room = 5_u32.to_be_bytes();
        let taken = [
            frame(PING, 0, 0, b"how long"),
            frame(WINDOW_UPDATE, 0, 0, room),
            frame(WINDOW_UPDATE, 0, 1, room),
        ];
        for round in 0..2_000 {
            stream.write_all(&frame(DATA, 0, 1, b"hello")).await.unwrap();
            loop {
                let (kind, _, _, payload) = next(&mut stream).await.unwrap();
                assert_ne!(kind, GOAWAY, "in round {round}");
                if kind == DATA && payload == b"hello" {
                    break;
                }
            }
            stream.write_all(&taken.concat()).await.unwrap();
        }
        // Whoever takes it byte by byte is no such client (CVE-2019-9511).
        let narrow = frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0]);
        let begun = [narrow, frame(HEADERS, END_HEADERS, 1, post())].concat();
        let body = frame(DATA, 0, 1, [b'x'; 16_384]).repeat(4);
        let byte = |_| frame(WINDOW_UPDATE, 0, 1, 1_u32.to_be_bytes());
        let lost = flood(&world, &[begun, body].concat(), byte, 10_000).await;
        assert_eq!(lost, Some(Outcome::Lost(0xb)));
    });
}

#[test]
fn who_sends_without_end_what_brings_nobody_anything_is_told_to_calm_down() {
    const CALM: Option<Outcome> = Some(Outcome::Lost(0xb));
    run(async {
        let world = World::new(Limits::default());
        world.serve(|_, _| Box::pin(std::future::pending()));
        let request = |round: u32| frame(HEADERS, END_HEADERS | END_STREAM, 2 * round + 1, get());
        // CVE-2023-44487: asked for and reset at once.
        let reset = move |round: u32| {
            let cancel = frame(RST_STREAM, 0, 2 * round + 1, 8_u32.to_be_bytes());
            [request(round), cancel].concat()
        };
        assert_eq!(flood(&world, &[], reset, 1_000).await, CALM);
        // CVE-2025-8671: asked for, and then we are made to reset it.
        let made = move |round: u32| {
            let wrong = frame(WINDOW_UPDATE, 0, 2 * round + 1, [0; 4]);
            [request(round), wrong].concat()
        };
        assert_eq!(flood(&world, &[], made, 1_000).await, CALM);
        assert_eq!(
            flood(&world, &[], |_| frame(PING, 0, 0, [0; 8]), 10_000).await,
            CALM
        );
        assert_eq!(
            flood(&world, &[], |_| frame(SETTINGS, 0, 0, []), 10_000).await,
            CALM
        );
        for answer in [
            frame(PING, ACK, 0, [0; 8]),
            frame(SETTINGS, ACK, 0, []),
            frame(GOAWAY, 0, 0, [0; 8]),
        ] {
            assert_eq!(flood(&world, &[], move |_| answer.clone(), 10_000).await, CALM);
        }
        // A frame of as many as there may be, each of which is about all streams.
        let settings = |_| frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0].repeat(2_730));
        assert_eq!(flood(&world, &[], settings, 50).await, CALM);
        // Trailers of a stream that we have reset.
        let malformed = frame(HEADERS, END_HEADERS | END_STREAM, 1, [0x82]);
        let late = |_| frame(HEADERS, END_HEADERS | END_STREAM, 1, literal("x", "y"));
        assert_eq!(flood(&world, &malformed, late, 10_000).await, CALM);
        let priority = |round: u32| frame(PRIORITY, 0, 2 * round + 1, [0, 0, 0, 0, 1]);
        assert_eq!(flood(&world, &[], priority, 10_000).await, CALM);
        let update = |_| frame(WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes());
        assert_eq!(flood(&world, &[], update, 10_000).await, CALM);
        assert_eq!(flood(&world, &[], |_| frame(0xbe, 0, 0, []), 10_000).await, CALM);
        let open = frame(HEADERS, END_HEADERS, 1, post());
        assert_eq!(
            flood(&world, &open, |_| frame(DATA, 0, 1, []), 10_000).await,
            CALM
        );
        // CVE-2024-27316.
        let begun = frame(HEADERS, 0, 1, get());
        assert_eq!(
            flood(&world, &begun, |_| frame(CONTINUATION, 0, 1, []), 10_000).await,
            CALM
        );
        let more = |_| frame(CONTINUATION, 0, 1, literal("x", "y").repeat(1_000));
        assert_eq!(flood(&world, &begun, more, 100).await, CALM);
        assert_eq!(world.status().counters.events[HttpCount::Http2Failed], 15);
    });
}
