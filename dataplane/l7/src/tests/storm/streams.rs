//! The same with streams of HTTP/2, of clients and to pods.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use headgate_ring::message::UpstreamProtocol;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep, timeout};

use super::super::world::{Objects, World, full, host, upstream};
use super::hostile::{hostile, pause};
use super::plan::{Asked, Plan, Shape, below, byte, bytes, rarely, size};
use super::{Ledger, seeds};
use crate::Limits;
use headgate_net::record::TcpGauge;
use headgate_tcp::TcpStream;
use headgate_tcp::network::{Channel, Random, run};

/// No client and no request takes longer, whatever the pod does.
const LONGEST: Duration = Duration::from_secs(400);
/// Said by pods that keep to what they are asked for: of HTTP/2, and of HTTP/1.1.
const HONEST: [&str; 2] = ["x-honest", "x-pod"];

/// What a pod does about a request, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Refuse,
    Reset,
    Silent,
    Early,
    TooLittle,
    TooMuch,
    Cut,
    Late,
    Good,
}

fn random_of(seed: u64) -> Random {
    Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
}

fn deed(number: u64) -> (Deed, Random) {
    let mut random = random_of(number);
    random.draw();
    let deeds = [
        Deed::Refuse,
        Deed::Reset,
        Deed::Silent,
        Deed::Early,
        Deed::TooLittle,
        Deed::TooMuch,
        Deed::Cut,
        Deed::Late,
    ];
    let deed = deeds.get(below(&mut random, 16)).copied();
    (deed.unwrap_or(Deed::Good), random)
}

fn reason(random: &mut Random) -> Reason {
    [
        Reason::NO_ERROR,
        Reason::INTERNAL_ERROR,
        Reason::CANCEL,
        Reason::ENHANCE_YOUR_CALM,
    ][below(random, 4)]
}

/// A pod's connection.
async fn pod(stream: TcpStream, mut random: Random, ledger: Rc<Ledger>) {
    match below(&mut random, 10) {
        0 => return hostile(stream, random, false).await,
        1 => return sleep(Duration::from_millis(below(&mut random, 90_000) as u64)).await,
        _ => {}
    }
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams([1, 2, 10, 100][below(&mut random, 4)])
        .initial_window_size([0, 100, 1_000, 65_535, 1 << 20][below(&mut random, 5)]);
    let reset = stream.reset();
    let Ok(mut connection) = builder.handshake(stream).await else {
        return;
    };
    let leaves = below(&mut random, 40);
    let (mut count, abrupt) = (0, rarely(&mut random, 2));
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::task::spawn_local(answer(request, respond, Rc::clone(&ledger)));
        count += 1;
        if count == leaves {
            if abrupt {
                return reset.now();
            }
            connection.graceful_shutdown();
        }
    }
}

/// An answer of an honest pod.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, ledger: Rc<Ledger>) {
    let mut parts = request.uri().path()[1..].split('/');
    let number = u64::from_str_radix(parts.next().unwrap(), 16).unwrap();
    let length: usize = parts.next().unwrap().parse().unwrap();
    let (deed, mut random) = deed(number);
    if deed == Deed::Refuse {
        return respond.send_reset(Reason::REFUSED_STREAM);
    }
    if request.method() == "POST" {
        ledger.seen(number);
    }
    pause(&mut random, 2_000).await;
    match deed {
        Deed::Reset => return respond.send_reset(reason(&mut random)),
        Deed::Silent => return sleep(Duration::from_secs(100)).await,
        Deed::Late => sleep(Duration::from_millis(below(&mut random, 80_000) as u64)).await,
        _ => {}
    }
    let mut body = request.into_body();
    if deed != Deed::Early && !takes(number, &mut body, &mut random, &ledger).await {
        return;
    }
    let mut response = Response::builder().header(HONEST[0], "yes");
    response = match deed {
        Deed::TooLittle => response.header("content-length", length + 5),
        Deed::TooMuch => response.header("content-length", length.saturating_sub(3)),
        _ if rarely(&mut random, 2) => response.header("content-length", length),
        _ => response,
    };
    let trailers = rarely(&mut random, 3);
    let none = length == 0 && deed != Deed::Cut && !trailers;
    let Ok(stream) = respond.send_response(response.body(()).unwrap(), none) else {
        return;
    };
    if !none {
        gives(number, length, stream, (deed, trailers), random).await;
    }
}

/// Reads a body; whether it came to its end.
async fn takes(number: u64, body: &mut RecvStream, random: &mut Random, ledger: &Ledger) -> bool {
    let mut at = 0;
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else { return false };
        for (place, byte_) in piece.iter().enumerate() {
            if *byte_ != byte(!number, at + place) {
                ledger.wrong(format!("a body of {number:x} is another's"));
                return false;
            }
        }
        at += piece.len();
        pause(random, 100).await;
        drop(body.flow_control().release_capacity(piece.len()));
    }
    body.trailers().await.is_ok()
}

/// Sends a body.
async fn gives(
    number: u64,
    length: usize,
    mut stream: SendStream<Bytes>,
    (deed, trailers): (Deed, bool),
    mut random: Random,
) {
    let body = bytes(number, length);
    let cut = if deed == Deed::Cut { length / 2 } else { length };
    for piece in body[..cut].chunks(1 + length / 20 + below(&mut random, 30_000)) {
        if stream.send_data(piece.to_vec().into(), false).is_err() {
            return;
        }
        pause(&mut random, 300).await;
    }
    if deed == Deed::Cut {
        return stream.send_reset(reason(&mut random));
    }
    if trailers {
        let mut fields = HeaderMap::new();
        fields.insert("x-sum", number.into());
        drop(stream.send_trailers(fields));
    } else {
        drop(stream.send_data(Bytes::new(), true));
    }
}

/// A client's connection.
async fn client(world: Rc<World>, pods: UpstreamProtocol, mut random: Random, ledger: Rc<Ledger>) {
    sleep(Duration::from_millis(below(&mut random, 20_000) as u64)).await;
    match below(&mut random, 8) {
        0 => return hostile(world.connect(80).await, random, true).await,
        1 if pods == UpstreamProtocol::Http2 => return of_http11(&world, random, &ledger).await,
        _ => {}
    }
    let stream = world.connect(80).await;
    let reset = stream.reset();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size([100, 1_000, 65_535, 1 << 20][below(&mut random, 4)]);
    let Ok((sender, connection)) = builder.handshake(stream).await else {
        return;
    };
    let connection = tokio::task::spawn_local(async move { drop(connection.await) });
    let tasks: Vec<_> = (0..1 + below(&mut random, 20))
        .map(|_| {
            let (sender, ledger) = (sender.clone(), Rc::clone(&ledger));
            let mut random = Random(random.draw() | 1);
            tokio::task::spawn_local(async move {
                pause(&mut random, 10_000).await;
                let request = Wanted::draw(ledger.number(), pods, &mut random);
                if timeout(LONGEST, ask(sender, request, random, &ledger))
                    .await
                    .is_err()
                {
                    ledger.wrong(format!("{request:x?} has no end"));
                }
            })
        })
        .collect();
    drop(sender);
    if rarely(&mut random, 4) {
        sleep(Duration::from_millis(below(&mut random, 5_000) as u64)).await;
        if rarely(&mut random, 2) {
            reset.now();
        } else {
            connection.abort();
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    number: u64,
    pods: UpstreamProtocol,
    /// Bytes of its body, and of the answer's, as far as that is up to the client.
    up: usize,
    down: usize,
}

impl Wanted {
    fn draw(number: u64, pods: UpstreamProtocol, random: &mut Random) -> Self {
        let (down, up) = (size(random), size(random));
        let up = if rarely(random, 2) { up } else { 0 };
        Self {
            number,
            pods,
            up,
            down,
        }
    }

    fn method(&self) -> &'static str {
        if self.up > 0 { "POST" } else { "GET" }
    }

    /// A pod of HTTP/1.1 wants to know how much comes, and knows how much goes.
    fn path(&self) -> String {
        let length = match self.pods {
            UpstreamProtocol::Http1 => self.up,
            UpstreamProtocol::Http2 => self.down,
        };
        format!("/{:x}/{length}", self.number)
    }

    /// What stands against it that an answer of so many bytes is whole; `None` where nobody can say.
    fn is_wrong(&self, at: usize) -> Option<bool> {
        if self.pods == UpstreamProtocol::Http1 {
            let mut asked = Asked::draw(self.number, &mut Random(1));
            (asked.method, asked.length) = (self.method(), self.up);
            let plan = Plan::of(&asked);
            return match plan.shape {
                Shape::UntilClose => None,
                Shape::Nothing(_) => Some(at > 0),
                Shape::Length | Shape::Chunked => Some(at != plan.length),
            };
        }
        Some(match deed(self.number).0 {
            Deed::TooMuch => at != self.down.saturating_sub(3),
            Deed::Cut | Deed::TooLittle => true,
            _ => at != self.down,
        })
    }
}

/// Asks for something, whatever becomes of it.
async fn ask(sender: SendRequest<Bytes>, asks: Wanted, mut random: Random, ledger: &Ledger) {
    let Wanted { number, up, .. } = asks;
    let mut request = Request::builder()
        .method(asks.method())
        .uri(format!("http://web.example{}", asks.path()))
        .header("te", "trailers");
    if up > 0 && rarely(&mut random, 2) {
        request = request.header("content-length", up);
    }
    let Ok(mut sender) = sender.ready().await else {
        return;
    };
    let Ok((response, body)) = sender.send_request(request.body(()).unwrap(), up == 0) else {
        return;
    };
    drop(sender);
    let mut uploads = Random(random.draw() | 1);
    let upload = tokio::task::spawn_local(async move {
        if up > 0 {
            uploads_body(number, up, body, &mut uploads).await;
        }
    });
    if !rarely(&mut random, 12)
        && let Ok(response) = response.await
    {
        reads(asks, response, random, ledger).await;
    }
    upload.abort();
}

async fn uploads_body(number: u64, length: usize, mut body: SendStream<Bytes>, random: &mut Random) {
    let bytes = bytes(!number, length);
    let stops = if rarely(random, 8) {
        below(random, length)
    } else {
        length
    };
    for piece in bytes[..stops].chunks(1 + length / 20 + below(random, 30_000)) {
        if body.send_data(piece.to_vec().into(), false).is_err() {
            return;
        }
        pause(random, 500).await;
    }
    match below(random, 3) {
        _ if stops == length => drop(body.send_data(Bytes::new(), true)),
        0 => body.send_reset(Reason::CANCEL),
        1 => sleep(LONGEST).await,
        _ => {}
    }
    // Without it, it is reset.
    sleep(LONGEST).await;
}

/// Reads a response: what an honest pod sends is right, and whole if it seems so.
async fn reads(asks: Wanted, response: Response<RecvStream>, mut random: Random, ledger: &Ledger) {
    let number = asks.number;
    let honest = HONEST.iter().any(|name| response.headers().contains_key(*name));
    let honest = honest && asks.is_wrong(0).is_some();
    let mut body = response.into_body();
    let stops = if rarely(&mut random, 8) {
        below(&mut random, asks.down + 1)
    } else {
        usize::MAX
    };
    let mut at = 0;
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else { return };
        if honest && (0..piece.len()).any(|place| piece[place] != byte(number, at + place)) {
            return ledger.wrong(format!("the answer to {number:x} is another's"));
        }
        at += piece.len();
        if at >= stops {
            // It is cancelled, or nobody reads on for a while.
            return pause(&mut random, 200_000).await;
        }
        pause(&mut random, 300).await;
        drop(body.flow_control().release_capacity(piece.len()));
    }
    if honest && body.trailers().await.is_ok() {
        is_whole(asks, at, ledger);
    }
}

fn is_whole(asks: Wanted, at: usize, ledger: &Ledger) {
    if asks.is_wrong(at) == Some(true) {
        ledger.wrong(format!("{at} bytes are the answer to {asks:x?}"));
    } else {
        ledger.answered();
    }
}

/// A client of HTTP/1.1 that asks a few things.
async fn of_http11(world: &World, mut random: Random, ledger: &Ledger) {
    for _ in 0..1 + below(&mut random, 4) {
        let mut browser = world.browser().await;
        let asks = Wanted::draw(ledger.number(), UpstreamProtocol::Http2, &mut random);
        let number = asks.number;
        let request = Request::builder()
            .method(asks.method())
            .uri(asks.path())
            .header("host", "web.example")
            .body(full(bytes(!number, asks.up)))
            .unwrap();
        let Ok(asked) = timeout(LONGEST, browser.send_request(request)).await else {
            return ledger.wrong(format!("{asks:x?} has no end"));
        };
        let Ok(response) = asked else { continue };
        let honest = response.headers().contains_key(HONEST[0]);
        if let Ok(Ok(body)) = timeout(LONGEST, response.into_body().collect()).await
            && honest
        {
            let body = body.to_bytes();
            if body[..] != bytes(number, body.len()) {
                return ledger.wrong(format!("the answer to {number:x} is another's"));
            }
            is_whole(asks, body.len(), ledger);
        }
    }
}

fn storm(seed: u64, clients: usize, protocol: UpstreamProtocol, channel: Channel) {
    run(async {
        let mut web = upstream("web", &[10, 11, 12]);
        web.protocol = protocol;
        let objects = Objects {
            hosts: vec![host("web.example", &[("/", "web")])],
            upstreams: vec![web],
            ..Objects::default()
        };
        let world = Rc::new(World::with(objects, Limits::default(), channel));
        let ledger = Rc::new(Ledger::default());
        ledger.numbers.set(seed << 20);
        let mut random = random_of(seed);
        let (pods, drawn) = (Rc::clone(&ledger), std::cell::Cell::new(random.draw()));
        if protocol == UpstreamProtocol::Http1 {
            // What hostile clients ask for is no wonder.
            ledger.spoilt.borrow_mut().insert(0);
            world.script(move |stream| super::pod::serve(stream, Rc::clone(&pods)));
        } else {
            world.script(move |stream| {
                drawn.set(drawn.get().wrapping_add(1));
                pod(stream, random_of(drawn.get()), Rc::clone(&pods))
            });
        }
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let random = Random(random.draw() | 1);
                tokio::task::spawn_local(client(Rc::clone(&world), protocol, random, Rc::clone(&ledger)))
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let wrong = ledger.wrong.take();
        assert!(
            wrong.is_empty(),
            "seed {seed}: {} things: {wrong:#?}",
            wrong.len()
        );
        assert!(ledger.answered.get() > clients, "{}", ledger.answered.get());
        let start = Instant::now();
        world.quiet().await;
        assert!(start.elapsed() < LONGEST, "{:?}", start.elapsed());
        assert_eq!(world.status().tcp.now[TcpGauge::Buffered], 0, "seed {seed}");
        assert_eq!(world.stage.borrow().held(), 0, "seed {seed}");
    });
}

#[test]
fn nothing_is_mixed_or_left_whatever_clients_and_pods_of_http2_do() {
    for seed in seeds(4) {
        storm(seed, 60, UpstreamProtocol::Http2, Channel::perfect());
        storm(seed, 60, UpstreamProtocol::Http1, Channel::perfect());
    }
}

#[test]
fn nothing_is_mixed_or_left_of_http2_over_a_bad_network() {
    let channel = Channel {
        delay: Duration::from_millis(2),
        loss: 1,
        duplicate: 1,
        reorder: 2,
        ..Channel::perfect()
    };
    for seed in seeds(2) {
        storm(seed + 2_000, 40, UpstreamProtocol::Http2, channel);
        storm(seed + 2_000, 40, UpstreamProtocol::Http1, channel);
    }
}
