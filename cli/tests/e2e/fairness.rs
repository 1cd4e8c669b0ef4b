//! A bottleneck that clients share: some load through Headgate, others from a kernel that uses CUBIC, over the same line.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use headgate_lab::{Impairment, Remote, Shop};

use crate::support::Bed;

/// The near end of the line, in a namespace whose kernel sends.
const KERNEL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const PORT: u16 = 9_100;
/// Until the first losses are over and for how long bytes are counted, in seconds. On a fast line windows take longer to come
/// together than a test may: `dataplane/tcp/src/tests/goodput.rs` has those.
const TIMES: [u64; 2] = [3, 8];
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends to whoever connects, until they leave.
fn serve(listener: &TcpListener, clients: usize) {
    thread::scope(|scope| {
        for _ in 0..clients {
            let (mut stream, _) = listener.accept().unwrap();
            scope.spawn(move || while stream.write_all(&[b'x'; 65_536]).is_ok() {});
        }
    });
}

/// Reads until it is told to leave.
fn load(mut stream: TcpStream, bytes: &AtomicU64, over: &AtomicU64) {
    stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    let mut buffer = [0; 65_536];
    while over.load(Ordering::Relaxed) == 0 {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "a download ended");
        bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// A download of so many bytes, which has begun: the pod makes all of them before it sends the first.
fn through_headgate(length: u64) -> TcpStream {
    let mut stream = TcpStream::connect(SocketAddr::new(Shop::INGRESS.0, 80)).unwrap();
    stream
        .write_all(
            format!("GET /bytes/{length}?seed=3 HTTP/1.1\r\nHost: shop.example.com\r\n\r\n").as_bytes(),
        )
        .unwrap();
    stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    stream.peek(&mut [0]).unwrap();
    stream
}

/// Percent of a line's bytes that come through Headgate, of `each` downloads of either kind at the same time.
fn share(remote: &Remote, each: usize, length: u64) -> f64 {
    let [before, counted] = TIMES;
    let (bytes, over) = ([AtomicU64::new(0), AtomicU64::new(0)], AtomicU64::new(0));
    remote
        .namespace
        .enter(|| {
            thread::scope(|scope| {
                let begun: Vec<_> = (0..each).map(|_| through_headgate(length)).collect();
                for ours in begun {
                    let theirs = TcpStream::connect((KERNEL, PORT)).unwrap();
                    let (bytes, over) = (&bytes, &over);
                    scope.spawn(move || load(ours, &bytes[0], over));
                    scope.spawn(move || load(theirs, &bytes[1], over));
                }
                thread::sleep(Duration::from_secs(before));
                bytes.iter().for_each(|bytes| bytes.store(0, Ordering::Relaxed));
                thread::sleep(Duration::from_secs(counted));
                over.store(1, Ordering::Relaxed);
            });
        })
        .unwrap();
    let [ours, theirs] = bytes.map(|bytes| bytes.into_inner() as f64);
    assert!(ours + theirs > 0.0, "nothing arrived");
    ours / (ours + theirs) * 100.0
}

/// A queue of one bandwidth-delay product, as RFC 9438's own comparisons have it.
fn shared(mbits: f64, rtt: u64, each: usize) {
    let rtt = Duration::from_millis(rtt);
    let Some(bed) = Bed::make() else { return };
    let rate = mbits * 1e6;
    let remote = bed
        .lab
        .add_remote(Impairment {
            delay: rtt / 2,
            rate: Some(rate),
            queue: (rate / 8.0 * rtt.as_secs_f64()) as usize,
            ..Impairment::NONE
        })
        .unwrap();
    let clients = &bed.lab.clients;
    clients
        .ip(&["route replace 203.0.113.0/24 dev w0 congctl cubic"])
        .unwrap();
    let listener = clients
        .enter(|| TcpListener::bind((KERNEL, PORT)))
        .unwrap()
        .unwrap();
    let server = thread::spawn(move || serve(&listener, each));
    // Twice what one of them could get.
    let length = (rate / 8.0 * 2.0 * TIMES.iter().sum::<u64>() as f64) as u64;
    let share = share(&remote, each, length);
    server.join().unwrap();
    assert!((35.0..=65.0).contains(&share), "Headgate's share is {share:.0}%");
}

#[test]
fn a_slow_line_is_shared_with_cubic() {
    shared(20.0, 20, 1);
}

#[test]
fn two_and_two_share_a_long_line() {
    shared(20.0, 50, 2);
}
