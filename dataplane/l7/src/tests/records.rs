//! TLS records: how long those are that clients get, and that those of clients may be of any length and be cut anywhere.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, SupportedProtocolVersion, version};
use std::io::{Read, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tls;
use super::world::{World, answer_with};
use headgate_tcp::TcpStream;
use headgate_tcp::network::run;

/// Data in a full segment of the virtual network.
const SEGMENT: usize = 1448;
/// A record's header.
const HEADER: usize = 5;

/// A client whose records are made and read by hand.
struct Hand {
    stream: TcpStream,
    tls: ClientConnection,
    /// What came and was not looked at.
    bytes: Vec<u8>,
    /// Lengths of the records that came, headers included, since the hands were shaken.
    records: Vec<usize>,
    plain: Vec<u8>,
}

impl Hand {
    async fn shake(world: &World, version: &'static SupportedProtocolVersion) -> Self {
        let certificate = world.objects.certificates[0].clone();
        let config = tls::client(&[&certificate], &[version]);
        let name = ServerName::try_from("one.example").unwrap();
        let mut tls = ClientConnection::new(config, name).unwrap();
        tls.set_buffer_limit(None);
        let mut hand = Self {
            stream: world.connect(443).await,
            tls,
            bytes: Vec::new(),
            records: Vec::new(),
            plain: Vec::new(),
        };
        while hand.tls.is_handshaking() {
            let hello = hand.take();
            hand.stream.write_all(&hello).await.unwrap();
            if hand.tls.is_handshaking() {
                hand.receive().await;
            }
        }
        let last = hand.take();
        hand.stream.write_all(&last).await.unwrap();
        hand.records.clear();
        hand
    }

    /// What the library would send.
    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Reads some more.
    async fn receive(&mut self) {
        let mut piece = [0; 4096];
        let count = self.stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "the gateway has closed");
        self.bytes.extend_from_slice(&piece[..count]);
        while let Some(length) = whole(&self.bytes) {
            let record: Vec<u8> = self.bytes.drain(..length).collect();
            // Tickets are the handshake's.
            if record[0] == 23 {
                self.records.push(length);
            }
            let mut rest = &record[..];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).unwrap();
            }
            self.tls.process_new_packets().unwrap();
            // Would block at its end.
            let _ = self.tls.reader().read_to_end(&mut self.plain);
        }
    }

    async fn ask(&mut self, length: usize) {
        let request = "GET / HTTP/1.1\r\nhost: one.example\r\n\r\n";
        self.tls.writer().write_all(request.as_bytes()).unwrap();
        let bytes = self.take();
        self.stream.write_all(&bytes).await.unwrap();
        self.plain.clear();
        while self.plain.len() < length {
            self.receive().await;
        }
    }
}

fn whole(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, high, low, ..] = bytes else {
        return None;
    };
    let length = HEADER + usize::from(u16::from_be_bytes([*high, *low]));
    (bytes.len() >= length).then_some(length)
}

fn world() -> World {
    let certificate = tls::certificate("ns/one", &["one.example"], &["one.example"]);
    let world = tls::world(vec![certificate]);
    world.serve(|_, request| match request.method().as_str() {
        "GET" => answer_with(request, 600_000),
        _ => super::mirror(([10, 244, 1, 10], 8080).into(), request),
    });
    world
}

#[test]
fn the_first_records_fill_a_segment_each_and_those_of_a_large_window_many() {
    for version in [&version::TLS13, &version::TLS12] {
        run(async {
            let world = world();
            let mut client = Hand::shake(&world, version).await;
            for _ in 0..2 {
                client.records.clear();
                client.ask(600_000).await;
                // In TLS 1.3 a ticket comes first.
                let first: Vec<usize> = client.records.iter().copied().skip(1).take(5).collect();
                assert_eq!(first, [SEGMENT; 5], "{:?}", client.records);
                let most = client.records.iter().copied().max().unwrap();
                assert!(most >= 4 * SEGMENT, "{:?}", client.records);
                // After a pause nothing is known of the path any more.
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            drop(client);
            world.quiet().await;
        });
    }
}

/// A body in records of these lengths, sent in pieces of those, is read as it was written.
async fn upload(version: &'static SupportedProtocolVersion, records: &[usize], pieces: &[usize]) {
    let world = world();
    let mut client = Hand::shake(&world, version).await;
    let total: usize = records.iter().sum();
    let body: String = (0..total)
        .map(|n| char::from(b'a' + u8::try_from(n * n % 23).unwrap()))
        .collect();
    let head = format!("POST / HTTP/1.1\r\nhost: one.example\r\ncontent-length: {total}\r\n\r\n");
    client.tls.writer().write_all(head.as_bytes()).unwrap();
    let mut rest = body.as_bytes();
    for length in records {
        let (record, after) = rest.split_at(*length);
        client.tls.writer().write_all(record).unwrap();
        rest = after;
    }
    let bytes = client.take();
    let mut rest = &bytes[..];
    let mut lengths = pieces.iter().cycle();
    while let Some(length) = lengths.next().filter(|_| !rest.is_empty()) {
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        client.stream.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        rest = after;
    }
    while !client.plain.ends_with(body.as_bytes()) {
        client.receive().await;
    }
    drop(client);
    world.quiet().await;
}

#[test]
fn records_of_clients_may_have_any_length_and_be_cut_anywhere() {
    let lengths = prop_oneof![1..40_usize, 1..3000_usize, 16_000..=16_384_usize];
    let pieces = prop_oneof![1..30_usize, 1..5000_usize, 10_000..70_000_usize];
    let cases = (
        prop::collection::vec(lengths, 1..12),
        prop::collection::vec(pieces, 2..10),
        any::<bool>(),
    );
    let config = Config::with_cases(24);
    let run_one = |(records, pieces, new): (Vec<usize>, Vec<usize>, bool)| {
        // Single bytes all the way would take long.
        prop_assume!(pieces.iter().sum::<usize>() > 1000);
        let version = if new { &version::TLS13 } else { &version::TLS12 };
        run(upload(version, &records, &pieces));
        Ok(())
    };
    TestRunner::new(config).run(&cases, run_one).unwrap();
}
