use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::network::{Channel, Network, Random, run};
use super::segment::Segment;
use super::too_big::TooBig;
use super::*;
use headgate_net::record::{TcpCount, TcpGauge};
use headgate_net::wire::{Parsed, parse_packet};

const CLIENT: &str = "192.0.2.10";
const SERVER: &str = "198.51.100.10";
const CLIENT6: &str = "2001:db8:c::10";
const SERVER6: &str = "2001:db8:f::10";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn headers(packet: &[u8]) -> Option<Headers> {
    match parse_packet(packet) {
        Ok(Parsed::Ip(headers)) => Some(headers),
        _ => None,
    }
}

/// Gives a packet to a stack, if it is well-formed; whether it was.
fn give(stack: &Stack, packet: &[u8], now: Nanos) -> bool {
    headers(packet)
        .map(|headers| stack.ingress(packet, &headers, now))
        .is_some()
}

fn segment_of(packet: &[u8]) -> Option<Segment<'_>> {
    Segment::of(packet, &headers(packet)?).ok()
}

fn too_big(packet: &[u8]) -> Option<TooBig> {
    TooBig::of(packet, &headers(packet)?)
}

fn config() -> StackConfig {
    let source: SourceAddress =
        Rc::new(|remote| Some(if remote.is_ipv4() { ip(CLIENT) } else { ip(CLIENT6) }));
    StackConfig {
        buffer: 64 << 10,
        ..StackConfig::new(40_000..=49_999, source)
    }
}

fn server(ports: &[u16]) -> Stack {
    let stack = Stack::new(config());
    let addresses = [ip(SERVER), ip(SERVER6)];
    stack.listen(
        addresses
            .iter()
            .flat_map(|a| ports.iter().map(|p| SocketAddr::new(*a, *p))),
    );
    stack
}

/// A client and a server on port 80, joined.
fn pair(channel: Channel, seed: u64) -> (Stack, Stack, Network) {
    pair_with(&config(), channel, seed)
}

fn pair_with(config: &StackConfig, channel: Channel, seed: u64) -> (Stack, Stack, Network) {
    let (client, server) = (Stack::new(config.clone()), Stack::new(config.clone()));
    server.listen([ip(SERVER), ip(SERVER6)].map(|address| SocketAddr::new(address, 80)));
    let mut network = Network::new(channel, seed);
    network.join(client.clone(), [ip(CLIENT), ip(CLIENT6)]);
    network.join(server.clone(), [ip(SERVER), ip(SERVER6)]);
    (client, server, network)
}

/// Opens a connection to the server of a [`pair`].
async fn call(client: &Stack) -> TcpStream {
    let connecting = client.connect("198.51.100.10:80".parse().unwrap());
    connecting.unwrap().await.unwrap()
}

/// Both ends of a connection.
async fn connected(client: &Stack, server: &Stack) -> (TcpStream, TcpStream) {
    (call(client).await, server.accept().await)
}

fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed | 1);
    (0..length.div_ceil(8))
        .flat_map(|_| random.draw().to_le_bytes())
        .take(length)
        .collect()
}

/// Waits until nothing of any connection is left.
async fn quiet(stacks: &[&Stack]) {
    let busy = |s: &Stack| {
        let status = s.status();
        status.now[TcpGauge::Connections] + status.now[TcpGauge::HalfOpen] + status.now[TcpGauge::TimeWait]
            > 0
    };
    while stacks.iter().any(|s| busy(s)) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for stack in stacks {
        let inner = stack.shared.inner.borrow();
        assert!(inner.is_empty(), "something is left behind");
    }
}

async fn transfer(client: &Stack, server: &Stack, remote: SocketAddr, sizes: (usize, usize)) {
    let (up, down) = (bytes(sizes.0, 1), bytes(sizes.1, 2));
    let (expected_up, sent_down) = (up.clone(), down.clone());
    let accept = server.clone();
    let serve = tokio::task::spawn_local(async move {
        let stream = accept.accept().await;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let write = async move {
            writer.write_all(&sent_down).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let read = async move {
            let mut got = Vec::new();
            reader.read_to_end(&mut got).await.unwrap();
            assert!(
                got == expected_up,
                "{} of {} bytes up",
                got.len(),
                expected_up.len()
            );
        };
        tokio::join!(read, write);
    });
    let stream = client.connect(remote).unwrap().await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async move {
        writer.write_all(&up).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let read = async move {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        assert!(got == down, "{} of {} bytes down", got.len(), down.len());
    };
    tokio::join!(read, write);
    serve.await.unwrap();
}

#[test]
fn megabytes_arrive_over_a_perfect_channel_and_nothing_is_left() {
    run(async {
        let (client, server, network) = pair(Channel::perfect(), 1);
        tokio::task::spawn_local(network.run());
        transfer(
            &client,
            &server,
            "198.51.100.10:80".parse().unwrap(),
            (4 << 20, 4 << 20),
        )
        .await;
        transfer(
            &client,
            &server,
            "[2001:db8:f::10]:80".parse().unwrap(),
            (1 << 20, 3 << 20),
        )
        .await;
        quiet(&[&client, &server]).await;
        let counters = server.status().counters;
        assert_eq!(
            (
                counters[TcpCount::Accepted],
                counters[TcpCount::ResetsIn],
                counters[TcpCount::BadChecksum]
            ),
            (2, 0, 0)
        );
        assert_eq!(client.status().counters[TcpCount::Connected], 2);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn bytes_arrive_in_order_whatever_the_channel_does(
        seed in any::<u64>(),
        loss in 0u8..8,
        duplicate in 0u8..10,
        reorder in 0u8..20,
        corrupt in 0u8..3,
        mark in 0u8..40,
        ask_ecn in any::<bool>(),
        up in 0usize..300_000,
        down in 0usize..600_000,
        v6 in any::<bool>(),
    ) {
        run(async {
            let channel = Channel { delay: Duration::from_millis(1), loss, duplicate, reorder, corrupt, mark };
            // One packet in eight is lost: patience is not what is tested.
            let config = StackConfig { user_timeout: Duration::from_secs(3_600), ask_ecn, ..config() };
            let (client, server, network) = pair_with(&config, channel, seed);
            tokio::task::spawn_local(network.run());
            let remote = SocketAddr::new(ip(if v6 { SERVER6 } else { SERVER }), 80);
            transfer(&client, &server, remote, (up, down)).await;
            quiet(&[&client, &server]).await;
        });
    }
}

#[test]
fn losses_cost_round_trips_and_not_seconds() {
    for (loss, seconds) in [(0, 1), (1, 4), (5, 30)] {
        run(async {
            let channel = Channel {
                delay: Duration::from_millis(5),
                loss,
                ..Channel::perfect()
            };
            let (client, server, network) = pair(channel, 77);
            tokio::task::spawn_local(network.run());
            let start = tokio::time::Instant::now();
            transfer(
                &client,
                &server,
                "198.51.100.10:80".parse().unwrap(),
                (0, 4 << 20),
            )
            .await;
            let took = start.elapsed();
            assert!(took < Duration::from_secs(seconds), "{loss}%: {took:?}");
            quiet(&[&client, &server]).await;
        });
    }
}

#[test]
fn a_closed_port_refuses() {
    run(async {
        let (client, server, network) = pair(Channel::perfect(), 3);
        tokio::task::spawn_local(network.run());
        let error = client
            .connect("198.51.100.10:81".parse().unwrap())
            .unwrap()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains("198.51.100.10:81"));
        assert_eq!(server.status().counters[TcpCount::ResetsOut], 1);
        quiet(&[&client, &server]).await;
    });
}

#[test]
fn a_silent_peer_times_out_and_a_dropped_connect_leaves_nothing() {
    run(async {
        let client = Stack::new(config());
        let mut network = Network::new(Channel::perfect(), 4);
        network.join(client.clone(), [ip(CLIENT)]);
        tokio::task::spawn_local(network.run());
        let remote = "198.51.100.10:80".parse().unwrap();
        drop(client.connect(remote).unwrap());
        let error = client.connect(remote).unwrap().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(client.status().counters[TcpCount::Timeouts], 1);
        quiet(&[&client]).await;
    });
}

#[test]
fn an_established_peer_that_vanishes_times_out() {
    run(async {
        let (client, server, network) = pair(Channel::perfect(), 5);
        let carrier = tokio::task::spawn_local(network.run());
        let (stream, mut accepted) = connected(&client, &server).await;
        carrier.abort();
        let mut alone = Network::new(Channel::perfect(), 6);
        alone.join(server.clone(), [ip(SERVER)]);
        tokio::task::spawn_local(alone.run());
        let before = tokio::time::Instant::now();
        let error = accepted.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(
            before.elapsed() < Duration::from_secs(140),
            "{:?}",
            before.elapsed()
        );
        drop((accepted, stream));
        quiet(&[&server]).await;
    });
}

#[test]
fn a_reset_reaches_both_directions() {
    run(async {
        let (client, server, network) = pair(Channel::perfect(), 7);
        tokio::task::spawn_local(network.run());
        let (mut stream, accepted) = connected(&client, &server).await;
        stream.write_all(b"before the reset").await.unwrap();
        accepted.abort();
        assert_eq!(
            stream.read_u8().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(
            stream.write_all(b"x").await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        drop(stream);
        quiet(&[&client, &server]).await;
        assert_eq!(client.status().counters[TcpCount::ResetsIn], 1);
    });
}

#[test]
fn a_reader_that_stops_stops_the_writer() {
    run(async {
        let (client, server, network) = pair(Channel::perfect(), 8);
        tokio::task::spawn_local(network.run());
        let (mut stream, mut accepted) = connected(&client, &server).await;
        let written = Rc::new(Cell::new(0));
        let count = Rc::clone(&written);
        let data = bytes(1 << 20, 9);
        let expected = data.clone();
        let writer = tokio::task::spawn_local(async move {
            for chunk in data.chunks(10_000) {
                stream.write_all(chunk).await.unwrap();
                count.set(count.get() + chunk.len());
            }
        });
        tokio::time::sleep(Duration::from_secs(30)).await;
        // Two buffers, ours and the peer's, and no more.
        assert!(written.get() <= 2 * (64 << 10), "{}", written.get());
        let mut got = Vec::new();
        accepted.read_to_end(&mut got).await.unwrap();
        assert!(got == expected);
        writer.await.unwrap();
        drop(accepted);
        quiet(&[&client, &server]).await;
    });
}

#[test]
fn what_was_written_before_a_drop_arrives() {
    run(async {
        let (client, server, network) = pair(
            Channel {
                delay: Duration::from_millis(20),
                ..Channel::perfect()
            },
            10,
        );
        tokio::task::spawn_local(network.run());
        let (mut stream, mut accepted) = connected(&client, &server).await;
        // The client is still sending when the server answers and goes.
        stream.write_all(&bytes(60_000, 11)).await.unwrap();
        accepted.write_all(b"too much").await.unwrap();
        drop(accepted);
        stream.write_all(&bytes(60_000, 11)).await.unwrap();
        let mut got = String::new();
        stream.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "too much");
        drop(stream);
        quiet(&[&client, &server]).await;
    });
}

#[test]
fn a_peer_that_never_closes_is_reset_after_the_linger_time() {
    run(async {
        let (client, server, network) = pair(Channel::perfect(), 12);
        tokio::task::spawn_local(network.run());
        let mut stream = call(&client).await;
        drop(server.accept().await);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        quiet(&[&server]).await;
        assert_eq!(server.status().counters[TcpCount::LingerExpired], 1);
        while client.status().counters[TcpCount::ResetsIn] == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let error = stream.write_u8(1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        drop(stream);
        quiet(&[&client]).await;
    });
}

#[test]
fn many_connections_leave_nothing() {
    run(async {
        let (client, server, network) = pair(Channel::perfect(), 13);
        tokio::task::spawn_local(network.run());
        let accept = server.clone();
        tokio::task::spawn_local(async move {
            loop {
                let mut stream = accept.accept().await;
                tokio::task::spawn_local(async move {
                    let mut buffer = [0; 100];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&buffer[..n]).await.unwrap();
                    }
                });
            }
        });
        for round in 0..20u8 {
            let clients = (0..50u8).map(|n| {
                let client = client.clone();
                tokio::task::spawn_local(async move {
                    let mut stream = call(&client).await;
                    stream.write_all(&[round, n]).await.unwrap();
                    let mut echo = [0; 2];
                    stream.read_exact(&mut echo).await.unwrap();
                    assert_eq!(echo, [round, n]);
                })
            });
            for client in clients.collect::<Vec<_>>() {
                client.await.unwrap();
            }
        }
        quiet(&[&client, &server]).await;
        assert_eq!(server.status().counters[TcpCount::Accepted], 1_000);
        assert_eq!(
            server.status().now[TcpGauge::Buffered] + client.status().now[TcpGauge::Buffered],
            0
        );
    });
}

#[test]
fn ports_in_use_or_time_wait_are_not_taken_again() {
    run(async {
        let source: SourceAddress = Rc::new(|_| Some(ip(CLIENT)));
        let client = Stack::new(StackConfig::new(50_000..=50_003, source));
        let server = server(&[80, 443]);
        let mut network = Network::new(Channel::perfect(), 14);
        network.join(client.clone(), [ip(CLIENT)]);
        network.join(server.clone(), [ip(SERVER)]);
        tokio::task::spawn_local(network.run());
        let remote: SocketAddr = "198.51.100.10:80".parse().unwrap();
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(client.connect(remote).unwrap().await.unwrap());
        }
        let ports: std::collections::HashSet<u16> = streams.iter().map(|s| s.local_addr().port()).collect();
        assert_eq!(ports.len(), 4);
        assert!(ports.iter().all(|p| (50_000..=50_003).contains(p)));
        assert_eq!(
            client.connect(remote).err().unwrap().kind(),
            ErrorKind::AddrNotAvailable
        );
        // Another destination has all ports to itself.
        let other = client
            .connect("198.51.100.10:443".parse().unwrap())
            .unwrap()
            .await
            .unwrap();
        // We close first: TIME-WAIT.
        drop((streams.pop(), other));
        for _ in 0..5 {
            drop(server.accept().await);
        }
        while client.status().now[TcpGauge::TimeWait] < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            client.connect(remote).err().unwrap().kind(),
            ErrorKind::AddrNotAvailable
        );
        assert_eq!(client.status().counters[TcpCount::PortsExhausted], 2);
        drop(streams);
        quiet(&[&client, &server]).await;
    });
}

mod congestion;
mod goodput;
mod hostile;
mod line;
mod narrow;
mod packets;
mod ports;
mod script;
mod scripts;
