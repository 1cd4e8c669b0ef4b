//! A gateway that ends in order: who uses it notices nothing, or only what was longer than the limit.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use headgate_lab::{Gateway, GatewayOptions, Lab, Namespace, Pair, Shop, wait_until};
use rustix::process::Signal;

use crate::support::{Bed, lab, options, options_on_sockets};

const SOON: Duration = Duration::from_secs(10);
/// A SYN that is left to another gateway is sent again after 1 s, and once more after 2 s.
const CONNECT: Duration = Duration::from_secs(8);
const PROBES: u16 = 9711;
/// Between two requests of a client: 16 of them send some 2,000 a second.
const THINKS: Duration = Duration::from_millis(8);

/// What clients have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    served: AtomicU64,
    /// Responses that ask the client to come again.
    dismissed: AtomicU64,
    /// Connections that were closed while they waited for a request: clients open another, and send it there.
    reopened: AtomicU64,
}

impl Seen {
    fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    fn wait_for_more(&self, more: u64) {
        let aim = self.served() + more;
        wait_until("requests go on", SOON, || self.served() >= aim).unwrap();
    }

    /// One client: requests over a kept connection, one after the other, until it is told to stop.
    fn client(&self, to: SocketAddr) -> io::Result<()> {
        let mut kept: Option<TcpStream> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let used = kept.is_some();
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => connect(to)?,
            };
            match exchange(&mut stream, GET) {
                Ok(dismissed) => {
                    self.served.fetch_add(1, Ordering::Relaxed);
                    self.dismissed.fetch_add(u64::from(dismissed), Ordering::Relaxed);
                    kept = (!dismissed).then_some(stream);
                    std::thread::sleep(THINKS);
                }
                // RFC 9112, section 9.3.1: nothing has come of it, and so it may be sent again.
                Err((_, false)) if used => {
                    self.reopened.fetch_add(1, Ordering::Relaxed);
                }
                Err((error, _)) => return Err(error),
            }
        }
        Ok(())
    }
}

pub(crate) fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, CONNECT)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n";

/// Whether the response, which must be 200, asks for the end of the connection; an error says whether a part of the response
/// had come.
pub(crate) fn exchange(stream: &mut TcpStream, request: &[u8]) -> Result<bool, (io::Error, bool)> {
    stream.write_all(request).map_err(|error| (error, false))?;
    let mut got = Vec::new();
    loop {
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(0) => return Err((io::ErrorKind::UnexpectedEof.into(), !got.is_empty())),
            Ok(length) => got.extend_from_slice(&part[..length]),
            Err(error) => return Err((error, !got.is_empty())),
        }
        let text = String::from_utf8_lossy(&got).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if length.is_some_and(|length: usize| body.len() >= length) {
            return match head.starts_with("http/1.1 200") {
                true => Ok(head.lines().any(|line| line == "connection: close")),
                false => Err((io::Error::other(head.to_owned()), true)),
            };
        }
    }
}

/// The status line and the body.
fn probe(clients: &Namespace, gateway: Ipv4Addr, path: &str) -> io::Result<String> {
    clients.enter(|| {
        let mut stream = TcpStream::connect_timeout(&(gateway, PROBES).into(), Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })?
}

fn is_off(clients: &Namespace, gateway: Ipv4Addr) -> bool {
    probe(clients, gateway, "/readyz")
        .is_ok_and(|text| text.starts_with("HTTP/1.1 503") && text.contains("draining"))
}

fn ingress() -> SocketAddr {
    (Shop::INGRESS.0, 80).into()
}

/// Whether nobody answers for an address on the clients' link any more.
fn is_left(clients: &Namespace, address: IpAddr) -> bool {
    let known = || {
        clients
            .run_ok("ip", &["neigh", "show", &address.to_string()])
            .unwrap()
    };
    assert!(known().contains("lladdr"), "it was answered for");
    clients.ip(&[format!("neigh del {address} dev c0")]).unwrap();
    // What cannot be sent has the kernel ask.
    let sent = || TcpStream::connect_timeout(&(address, 7).into(), Duration::from_millis(500));
    clients.enter(sent).unwrap().is_err() && !known().contains("lladdr")
}

/// An echo's connection, which its client keeps.
struct Echo(TcpStream);

impl Echo {
    fn open(clients: &Namespace, to: IpAddr) -> Self {
        let mut echo = Self(clients.enter(|| connect((to, 7).into())).unwrap().unwrap());
        // It greets.
        assert!(echo.0.read(&mut [0; 64]).unwrap() > 0);
        echo
    }

    fn works(&mut self) -> bool {
        let mut back = [0; 4];
        self.0.write_all(b"ping").is_ok() && self.0.read_exact(&mut back).is_ok() && &back == b"ping"
    }
}

#[test]
fn termination_under_load_fails_no_request_and_cuts_no_flow() {
    let flags = [
        "--drain-delay",
        "2s",
        "--drain-time",
        "20s",
        "--metrics",
        "192.0.2.1:9711",
    ];
    let apart = [&flags[..], &["--workers", "2", "--l7-cores", "1"]].concat();
    let apart = std::iter::once_with(|| Bed::make_with(|_| (), &apart));
    for bed in Bed::on_each_with(&flags).chain(apart.flatten()) {
        terminate_under_load(&bed);
        let log = bed.gateway.log();
        for line in [
            "SIGTERM: draining",
            "SIGTERM while draining: it goes on",
            "nothing is cut",
        ] {
            assert!(log.contains(line), "no {line:?} in\n{log}");
        }
    }
}

/// Ends the load when this is dropped, so that a check that fails ends the test and does not wait for it.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn terminate_under_load(bed: &Bed) {
    let (clients, seen) = (&bed.lab.clients, Seen::default());
    let on_link = (!bed.on_sockets()).then_some(Shop::ECHO_ON_LINK.0);
    assert!(on_link.is_none_or(|address| Echo::open(clients, address).works()));
    let mut echo = (!bed.on_sockets()).then(|| Echo::open(clients, Shop::ECHO.0));
    std::thread::scope(|scope| {
        let _stops = Stops(&seen.stop);
        let load = (0..8).map(|_| scope.spawn(|| clients.enter(|| seen.client(ingress())).unwrap()));
        let load: Vec<_> = load.collect();
        seen.wait_for_more(200);
        let slow = scope.spawn(|| bed.curl().get("http://shop.example.com/slow/6000").unwrap());
        wait_until("the slow request is under way", SOON, || {
            bed.sum_of_workers("/l7/active") >= 1
        })
        .unwrap();
        bed.gateway.signal(Signal::TERM).unwrap();
        wait_until("it is not ready", SOON, || is_off(clients, [192, 0, 2, 1].into())).unwrap();
        assert!(
            probe(clients, [192, 0, 2, 1].into(), "/healthz")
                .unwrap()
                .starts_with("HTTP/1.1 200")
        );
        if let Some(address) = on_link {
            assert!(is_left(clients, address), "its ARP is left to others");
        }
        bed.gateway.signal(Signal::TERM).unwrap();
        // New connections are served for the delay, in which whoever spreads clients sends them elsewhere.
        seen.wait_for_more(100);
        seen.stop.store(true, Ordering::Relaxed);
        let ends: Vec<_> = load.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
        assert!(
            seen.dismissed.load(Ordering::Relaxed) >= 8,
            "clients that were there are dismissed"
        );
        let closed = || {
            let new = || TcpStream::connect_timeout(&ingress(), Duration::from_millis(300));
            clients.enter(new).unwrap().is_err()
        };
        wait_until("new clients are left to others", SOON, closed).unwrap();
        assert!(echo.as_mut().is_none_or(Echo::works), "the flow goes on");
        assert_eq!(slow.join().unwrap().status, 200, "the request is answered");
    });
    assert!(echo.as_mut().is_none_or(Echo::works), "it still does");
    drop(echo);
    assert!(
        bed.gateway.ends_within(SOON).unwrap(),
        "nothing is left to wait for"
    );
}

#[test]
fn a_flow_beyond_the_limit_is_cut_and_told() {
    let Some(bed) = Bed::make_with(|_| (), &["--drain-time", "3s"]) else {
        return;
    };
    let mut echo = Echo::open(&bed.lab.clients, Shop::ECHO.0);
    let started = std::time::Instant::now();
    bed.gateway.signal(Signal::TERM).unwrap();
    assert!(!bed.gateway.ends_within(Duration::from_secs(2)).unwrap() && echo.works());
    assert!(bed.gateway.ends_within(SOON).unwrap());
    assert!(started.elapsed() >= Duration::from_secs(3));
    let log = bed.gateway.log();
    assert!(
        log.contains("the rest is cut") && log.contains("flows=1"),
        "{log}"
    );
}

/// Starts a gateway of the pair.
fn start(pair: &Pair<'_>, which: usize, lab: &Lab, given: &GatewayOptions) -> Gateway {
    let directory = lab.directory().join(format!("gateway-{which}"));
    std::fs::create_dir_all(&directory).unwrap();
    let mut options = given.clone();
    let metrics = SocketAddr::from((Pair::ADDRESSES[which], PROBES));
    for words in [
        ["--drain-delay", "3s"],
        ["--drain-time", "20s"],
        ["--metrics", &metrics.to_string()],
    ] {
        options.arguments.extend(words.map(str::to_owned));
    }
    Gateway::start_in(pair.gateways()[which], &directory, &options).unwrap()
}

/// Both gateways are replaced, one after the other, while clients go on: what spreads connections asks /readyz, as balancers
/// do, and keeps those that are there where they are.
#[test]
fn a_rolling_restart_of_two_gateways_fails_no_request() {
    for on_sockets in [false, true] {
        let Some((lab, _turn)) = lab() else { return };
        let shop = Shop::open(&lab, lab.directory()).unwrap();
        let pair = Pair::build(&lab).unwrap();
        let options = if on_sockets {
            Lab::host_vip_in(pair.gateways()[1], Shop::INGRESS).unwrap();
            options_on_sockets(&lab, shop.manifests())
        } else {
            options(shop.manifests())
        };
        let mut gateways = [0, 1].map(|which| Some(start(&pair, which, &lab, &options)));
        let (clients, seen) = (&lab.clients, Seen::default());
        std::thread::scope(|scope| {
            let _stops = Stops(&seen.stop);
            let load = (0..16).map(|_| scope.spawn(|| clients.enter(|| seen.client(ingress())).unwrap()));
            let load: Vec<_> = load.collect();
            seen.wait_for_more(500);
            for which in [0, 1] {
                let old = gateways[which].take().unwrap();
                old.signal(Signal::TERM).unwrap();
                let address = Pair::ADDRESSES[which];
                wait_until("it is not ready", SOON, || is_off(clients, address)).unwrap();
                // It goes on to take new connections until the front has noticed.
                seen.wait_for_more(200);
                pair.use_gateways([which != 0, which != 1]).unwrap();
                assert!(old.ends_within(Duration::from_secs(15)).unwrap(), "{}", old.log());
                assert!(old.log().contains("nothing is cut"), "{}", old.log());
                gateways[which] = Some(start(&pair, which, &lab, &options));
                pair.use_gateways([true, true]).unwrap();
                seen.wait_for_more(500);
            }
            seen.stop.store(true, Ordering::Relaxed);
            let ends: Vec<_> = load.into_iter().map(|client| client.join().unwrap()).collect();
            assert!(ends.iter().all(Result::is_ok), "of {}: {ends:?}", seen.served());
        });
        let [dismissed, reopened] = [&seen.dismissed, &seen.reopened].map(|n| n.load(Ordering::Relaxed));
        let figures = format!(
            "{} requests, {dismissed} dismissed, {reopened} sent again",
            seen.served()
        );
        // Nobody to tell where standard error is closed.
        let _ = writeln!(io::stderr(), "{figures}, 0 failed");
        assert!(dismissed >= 16, "{figures}");
    }
}
