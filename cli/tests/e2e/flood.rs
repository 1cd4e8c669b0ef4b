//! SYNs that nobody means, and clients who mean it.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use headgate_lab::{Impairment, Injector, Remote, Shop, address};

use crate::{malformed::mac, support::Bed};

/// SYNs a second; more where the environment asks for them.
const RATE: u64 = 50_000;
/// Different SYNs; after the last the first comes again, as of a client that was not answered.
const SYNS: u32 = 1 << 16;
/// Clients at a time, and connections of each.
const CLIENTS: usize = 12;
const CONNECTIONS: usize = 5;
/// One way.
const DELAY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(20);

/// Adds 16-bit words as Internet checksums do (RFC 1071).
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    words.sum()
}

fn checksum(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// As Linux writes it: with MSS, SACK, timestamp and window scale.
fn syn(
    (from_mac, to_mac): ([u8; 6], [u8; 6]),
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    number: u32,
) -> Vec<u8> {
    let mut tcp = Vec::with_capacity(40);
    tcp.extend(from.1.to_be_bytes());
    tcp.extend(to.1.to_be_bytes());
    tcp.extend(number.to_be_bytes());
    tcp.extend([0; 4]);
    tcp.extend([10 << 4, 2, 0xfa, 0xf0, 0, 0, 0, 0]);
    tcp.extend([2, 4, 5, 0xb4, 4, 2, 8, 10]);
    tcp.extend(number.to_be_bytes());
    tcp.extend([0, 0, 0, 0, 1, 3, 3, 7]);
    let pseudo = sum(&from.0.octets()) + sum(&to.0.octets()) + 6 + 40;
    let check = checksum(sum(&tcp) + pseudo);
    tcp[16..18].copy_from_slice(&check);
    let mut ip = vec![0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0];
    ip.extend(from.0.octets());
    ip.extend(to.0.octets());
    let check = checksum(sum(&ip));
    ip[10..12].copy_from_slice(&check);
    [&to_mac[..], &from_mac, &[8, 0], &ip, &tcp].concat()
}

/// Sends them at a rate until told to stop, and counts them.
fn flood(bed: &Bed, rate: u64, stop: &AtomicBool, sent: &AtomicU64) {
    let (IpAddr::V4(to), macs) = (
        Shop::INGRESS.0,
        (mac(&bed.lab.clients, "c0"), mac(&bed.lab.gateway, "g0")),
    ) else {
        unreachable!("the first is of IPv4")
    };
    let frames: Vec<_> = (0..SYNS)
        .map(|n| {
            let from = Ipv4Addr::from(0xc612_0000 | n.wrapping_mul(0x9e37) & 0xffff);
            syn(
                macs,
                (from, 1024 + (n >> 2) as u16),
                (to, 80),
                n.wrapping_mul(0x9e37_79b1),
            )
        })
        .collect();
    let mut injector = Injector::open(&bed.lab.clients, "c0").unwrap();
    let (start, mut next) = (Instant::now(), frames.iter().cycle());
    while !stop.load(Ordering::Relaxed) {
        let due = start.elapsed().as_micros() as u64 * rate / 1_000_000;
        let batch = due.saturating_sub(sent.load(Ordering::Relaxed)).min(512);
        if batch < 32 {
            thread::yield_now();
            continue;
        }
        injector
            .send(next.by_ref().take(batch as usize).map(Vec::as_slice))
            .unwrap();
        sent.fetch_add(batch, Ordering::Relaxed);
    }
}

/// One request over a connection of its own.
fn visit() -> io::Result<()> {
    let to: SocketAddr = (Shop::INGRESS.0, 80).into();
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(io::Error::other(answer))
    }
}

/// How long each request took of distant clients, and how many SYNs a second were sent meanwhile.
fn visits_under_flood(bed: &Bed, remote: &Remote, rate: u64) -> (Vec<Duration>, u64) {
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(bed, rate, &stop, &sent));
        // Those before are remembered; it is cookies from here on.
        while sent.load(Ordering::Relaxed) < 20_000 && !flooding.is_finished() {
            thread::yield_now();
        }
        let client = || {
            let timed = |_| {
                let start = Instant::now();
                visit().map(|()| start.elapsed())
            };
            (0..CONNECTIONS).map(timed).collect::<Vec<_>>()
        };
        let clients = || {
            thread::scope(|scope| {
                let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
                let visits = clients.into_iter().flat_map(|client| client.join().unwrap());
                visits.collect::<io::Result<Vec<_>>>()
            })
        };
        let visits = remote.namespace.enter(clients);
        stop.store(true, Ordering::Relaxed);
        let took = begun.elapsed();
        flooding.join().unwrap();
        let sent = sent.load(Ordering::Relaxed) * 1_000;
        (visits.unwrap().unwrap(), sent / took.as_millis() as u64)
    })
}

#[test]
fn a_flood_of_syns_costs_no_distant_client_its_connection() {
    let Some(bed) = Bed::make() else { return };
    let rate = std::env::var("HEADGATE_E2E_SYNS")
        .ok()
        .and_then(|rate| rate.parse().ok());
    let distant = Impairment {
        delay: DELAY,
        ..Impairment::NONE
    };
    let remote = bed.lab.add_remote(distant).unwrap();
    // Where the SYNs seem to come from; nobody is there.
    let via = address::client(0).0;
    bed.lab
        .gateway
        .ip(&[format!("route add 198.18.0.0/16 via {via} dev g0")])
        .unwrap();
    bed.lab
        .clients
        .ip(&["route add blackhole 198.18.0.0/16"])
        .unwrap();
    let (mut times, flooded) = visits_under_flood(&bed, &remote, rate.unwrap_or(RATE));
    assert_eq!(times.len(), CLIENTS * CONNECTIONS);
    times.sort();
    let of_workers = |name: &str| bed.sum_of_workers(&format!("/l7/tcp/{name}"));
    let told = format!(
        "{} SYNs a second; requests took {:?} to {:?}, the middle one {:?}; answered {}, cookies {} sent and {} \
         accepted, half open {}; {:#}",
        flooded,
        times[0],
        times[times.len() - 1],
        times[times.len() / 2],
        of_workers("counters/syns"),
        of_workers("counters/cookies_sent"),
        of_workers("counters/cookies_accepted"),
        of_workers("half_open"),
        bed.gateway.status().unwrap()["totals"]["drops"],
    );
    // Nobody to tell where standard error is closed.
    let _ = writeln!(io::stderr(), "{told}");
    assert!(of_workers("counters/cookies_accepted") > 0, "{told}");
}
