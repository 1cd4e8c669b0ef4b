//! Ends that come at moments when nobody looks for them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tls;
use super::world::{Objects, World, has_line, host, mirror, read_to_end, upstream};
use crate::Limits;
use headgate_net::record::HttpCount;
use headgate_tcp::TcpStream;
use headgate_tcp::network::{Channel, run};

/// Answers each request with this as soon as its head is there, and never closes.
fn hasty(world: &World, answer: &'static str) {
    world.script(move |mut stream| async move {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer).await {
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    });
}

#[test]
fn a_client_that_closes_its_side_behind_several_requests_gets_all_answers() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut stream = world.connect(80).await;
        for path in ["/a", "/b", "/c"] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: web.example\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
        }
        stream.shutdown().await.unwrap();
        let answers = read_to_end(&mut stream).await;
        for path in ["/a", "/b", "/c"] {
            has_line(&answers, &format!("GET {path}"));
        }
        drop(stream);
        world.quiet().await;
    });
}

/// The answer is whole: what the client leaves out of its request does not take it away.
#[test]
fn a_request_that_breaks_off_behind_its_answer_costs_nobody_the_answer() {
    for rest in ["", "zz\r\n"] {
        run(async {
            let world = World::new(Limits::default());
            hasty(&world, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nanswer");
            let mut stream = world.connect(80).await;
            let head = "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 1000\r\n\r\nsome";
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            stream.write_all(rest.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert!(answer.ends_with(b"answer"), "{answer:?}");
            drop(stream);
            world.quiet().await;
        });
    }
}

/// What is encrypted already goes to the client as it makes room, though the pod says nothing more.
#[test]
fn a_slow_reader_that_has_closed_its_side_gets_all_there_is() {
    for length in (200_000..400_000).step_by(20_011) {
        run(slow_reader(length));
    }
}

async fn slow_reader(length: usize) {
    let certificate = tls::certificate("ns/web", &[""], &["web.example"]);
    let objects = Objects {
        hosts: vec![host("", &[("/", "web")])],
        upstreams: vec![upstream("web", &[10])],
        certificates: vec![certificate.clone()],
        balancers: Vec::new(),
    };
    let world = World::with(objects, Limits::default(), Channel::perfect());
    world.script(move |mut stream| async move {
        let mut buffer = [0; 4096];
        drop(stream.read(&mut buffer).await);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        stream.write_all(&vec![b'x'; length]).await.unwrap();
        // The rest never comes.
        std::future::pending::<()>().await;
    });
    let config = tls::client(&[&certificate], &[&rustls::version::TLS13]);
    let mut stream = tls::connect(&world, &config, "web.example").await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: web.example\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (mut got, start) = (0, tokio::time::Instant::now());
    let mut buffer = vec![0; 300];
    while got < length {
        got += stream.read(&mut buffer).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Reads until the connection ends; what came before it, and whether it was reset.
async fn read_to_reset(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut got = Vec::new();
    let end = stream.read_to_end(&mut got).await;
    let reset = end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
    (got, reset)
}

/// A reset takes with it what is still on its way, and the answer before it was whole.
#[test]
fn a_response_that_is_reset_costs_nobody_the_answer_before_it() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            if buffer[..length].starts_with(b"GET /whole") {
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n";
                stream.write_all(head).await.unwrap();
                stream.write_all(&[b'w'; 90_000]).await.unwrap();
                drop(stream.read(&mut buffer).await);
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nbegin").await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.abort();
        });
        let mut stream = world.connect(80).await;
        // In chunks, the end of the connection would show that something is missing.
        for line in ["/whole HTTP/1.1", "/part HTTP/1.0"] {
            let request = format!("GET {line}\r\nhost: web.example\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
        }
        // The client's window is smaller than the first answer.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (got, reset) = read_to_reset(&mut stream).await;
        let whole = got.iter().filter(|byte| **byte == b'w').count();
        let part = got.windows(5).any(|bytes| bytes == b"begin");
        assert_eq!((whole, part, reset), (90_000, true, true));
        drop(stream);
        world.quiet().await;
    });
}

const UPGRADE: &[u8] =
    b"GET / HTTP/1.1\r\nhost: web.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

#[test]
fn what_a_pod_said_before_it_reset_a_tunnel_arrives() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            drop(stream.read(&mut [0; 4096]).await);
            stream.write_all(SWITCHED).await.unwrap();
            stream.write_all(&[b'w'; 90_000]).await.unwrap();
            while stream.unacknowledged() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stream.abort();
        });
        let mut stream = world.connect(80).await;
        stream.write_all(UPGRADE).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (got, reset) = read_to_reset(&mut stream).await;
        let came = got.iter().filter(|byte| **byte == b'w').count();
        // "switching" and "websocket" have one each.
        assert_eq!((came >= 90_000, reset), (true, true), "{came}");
        drop(stream);
        world.quiet().await;
    });
}

/// As nginx and haproxy do it: it is the end of what the client says, no error of the pod's connection.
#[test]
fn a_tunnel_over_tls_may_end_without_a_word() {
    run(async {
        let certificate = tls::certificate("ns/web", &[""], &["web.example"]);
        let objects = Objects {
            hosts: vec![host("", &[("/", "web")])],
            upstreams: vec![upstream("web", &[10])],
            certificates: vec![certificate.clone()],
            balancers: Vec::new(),
        };
        let world = World::with(objects, Limits::default(), Channel::perfect());
        let ended = Rc::new(RefCell::new(None));
        let told = Rc::clone(&ended);
        world.script(move |mut stream| {
            let told = Rc::clone(&told);
            async move {
                drop(stream.read(&mut [0; 4096]).await);
                stream.write_all(SWITCHED).await.unwrap();
                let mut got = Vec::new();
                let end = stream.read_to_end(&mut got).await.map_err(|error| error.kind());
                *told.borrow_mut() = Some((end, got));
            }
        });
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = tls::client(&[&certificate], &[version]);
            let mut stream = tls::connect(&world, &config, "web.example").await.unwrap();
            stream.write_all(UPGRADE).await.unwrap();
            stream.read_exact(&mut vec![0; SWITCHED.len()]).await.unwrap();
            stream.write_all(b"last words").await.unwrap();
            stream.flush().await.unwrap();
            // No close_notify.
            drop(stream.into_inner().0);
            world.quiet().await;
            let ended = ended.borrow_mut().take();
            assert_eq!(ended, Some((Ok(10), b"last words".to_vec())));
        }
    });
}

#[test]
fn a_client_that_leaves_within_its_handshake_was_never_greeted() {
    run(async {
        let certificate = tls::certificate("ns/web", &[""], &["web.example"]);
        let world = tls::world(vec![certificate.clone()]);
        let config = tls::client(&[&certificate], &[&rustls::version::TLS12]);
        let name = "web.example".try_into().unwrap();
        let mut hello = Vec::new();
        let mut connection = rustls::ClientConnection::new(config, name).unwrap();
        connection.write_tls(&mut hello).unwrap();
        // An alert in clear: close_notify (RFC 5246, section 7.2.1).
        hello.extend_from_slice(&[21, 3, 3, 0, 2, 1, 0]);
        let mut stream = world.connect(443).await;
        stream.write_all(&hello).await.unwrap();
        drop(stream.read_to_end(&mut Vec::new()).await);
        let events = world.status().counters.events;
        assert_eq!(
            (events[HttpCount::Handshakes], events[HttpCount::HandshakesFailed]),
            (0, 1)
        );
        drop(stream);
        world.quiet().await;
    });
}
