//! More connections at once than anything small has room for: those of an attacker, and those of many clients.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use headgate_lab::{Shop, address, wait_until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use crate::draining::connect;
use crate::support::Bed;

/// An address of the pods' network that nobody has.
const OWN: &str = "10.244.1.250";

/// Lets this process and those it starts have as many files as they may; how many that are.
fn many_files() -> usize {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: most,
            maximum: most,
        },
    )
    .unwrap();
    most.map_or(usize::MAX, |most| most as usize)
}

/// Connections of clients that have each sent this.
fn crowd(bed: &Bed, size: usize, request: &[u8]) -> Vec<TcpStream> {
    const THREADS: usize = 4;
    let to: SocketAddr = (Shop::INGRESS.0, 80).into();
    let one = || -> io::Result<TcpStream> {
        let mut stream = connect(to)?;
        stream.write_all(request)?;
        Ok(stream)
    };
    let all = || {
        thread::scope(|scope| {
            let part = || (0..size / THREADS).map(|_| one()).collect::<io::Result<Vec<_>>>();
            let parts: Vec<_> = (0..THREADS).map(|_| scope.spawn(part)).collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap().unwrap())
                .collect()
        })
    };
    bed.lab.clients.enter(all).unwrap()
}

/// Resident memory of the dataplane, in MiB.
fn resident(bed: &Bed) -> u64 {
    let (dataplane, _) = bed.gateway.planes().unwrap();
    let status = fs::read_to_string(format!("/proc/{dataplane}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

fn tell(what: &str) {
    // Nobody to tell where standard error is closed.
    let _ = writeln!(io::stderr(), "{what}");
}

/// Requests one after the other, each over a connection of its own, until told to stop: how many, those that were not answered
/// 200, and the longest time.
fn visits(bed: &Bed, stop: &AtomicBool) -> (usize, Vec<String>, Duration) {
    let (mut count, mut failed, mut longest) = (0, Vec::new(), Duration::ZERO);
    let curl = bed
        .curl()
        .from(address::client(2).0)
        .args(&["-H", "Connection: close"]);
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let answer = curl.get("http://blog.example.com/");
        longest = longest.max(start.elapsed());
        count += 1;
        match answer {
            Ok(answer) if answer.status == 200 => {}
            other => failed.push(format!("{other:?}")),
        }
    }
    (count, failed, longest)
}

/// A server at the port of the shop's pod for `blog.example.com`: 10 MB of zeros at `/large`, few bytes elsewhere. It costs
/// little: it is not the pod that is tried here. All of its connections end with it.
struct LightPod {
    stop: Option<oneshot::Sender<()>>,
    server: Option<thread::JoinHandle<()>>,
}

impl LightPod {
    fn start(bed: &mut Bed) -> Self {
        bed.shop.pods.retain(|pod| pod.name() != "blog-1");
        let bind = || TcpListener::bind((address::pod(5).0, 8080));
        let listener = bed.lab.pods.enter(bind).unwrap().unwrap();
        listener.set_nonblocking(true).unwrap();
        // Of the standard library's 128, a crowd's SYNs overflow.
        rustix::net::listen(&listener, 4096).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(answer(stream));
            }
        };
        let until_stopped = async {
            tokio::select! {
                () = serve => {}
                _ = stopped => {}
            }
        };
        let server = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            tokio::task::LocalSet::new().block_on(&runtime.unwrap(), until_stopped);
        });
        Self {
            stop: Some(stop),
            server: Some(server),
        }
    }
}

impl Drop for LightPod {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            // Its panic has been printed.
            let _ = server.join();
        }
    }
}

async fn answer(mut stream: tokio::net::TcpStream) -> io::Result<()> {
    const PIECE: [u8; 1_000] = [0; 1_000];
    let mut head = Vec::new();
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        if head.starts_with(b"GET /large ") {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n")
                .await?;
            for _ in 0..10_000 {
                stream.write_all(&PIECE).await?;
            }
        } else {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await?;
        }
    }
}

#[test]
fn five_thousand_that_never_read_cost_others_of_the_same_pod_nothing() {
    // Of each of two workers.
    const BUDGET: i64 = 64 << 20;
    many_files();
    let Some(mut bed) = Bed::make_with(|_| (), &["--l7-memory", &BUDGET.to_string()]) else {
        return;
    };
    let _pod = LightPod::start(&mut bed);
    let stop = AtomicBool::new(false);
    let before = resident(&bed);
    let request = b"GET /large HTTP/1.1\r\nHost: blog.example.com\r\n\r\n";
    let (count, failed, longest) = thread::scope(|scope| {
        let honest = scope.spawn(|| visits(&bed, &stop));
        let begun = Instant::now();
        let attack = crowd(&bed, 5_000, request);
        tell(&format!("the attack stands after {:?}", begun.elapsed()));
        // They hold every port by now, and honest clients get theirs by taking them from there.
        let others_gave_way = || bed.sum_of_workers("/l7/counters/slow_clients") >= 20;
        wait_until("the attacker gives way", Duration::from_secs(20), others_gave_way).unwrap();
        let most = resident(&bed);
        tell(&format!(
            "{before} MiB before, {most} then; {} clients, {} requests to pods, {} bytes buffered, {} slow, {} without \
             a port",
            bed.sum_of_workers("/l7/clients"),
            bed.sum_of_workers("/l7/upstream_busy"),
            bed.sum_of_workers("/l7/tcp/buffered"),
            bed.sum_of_workers("/l7/counters/slow_clients"),
            bed.sum_of_workers("/l7/tcp/counters/ports_exhausted"),
        ));
        assert!(bed.sum_of_workers("/l7/tcp/buffered") <= 2 * BUDGET);
        // What lies in the connections, and 20 KiB for each of them and its exchange.
        assert!(most - before <= 2 * (BUDGET as u64 >> 20) + 100, "{most} MiB");
        stop.store(true, Ordering::Relaxed);
        drop(attack);
        honest.join().unwrap()
    });
    tell(&format!("{count} honest requests, the longest {longest:?}"));
    assert!(count > 20, "{count}");
    assert!(
        failed.is_empty(),
        "{} of {count} failed: {:?}",
        failed.len(),
        &failed[..3.min(failed.len())]
    );
}

#[test]
fn uploads_at_once_all_have_their_answer() {
    const UPLOADS: usize = 1_300;
    many_files();
    let Some(bed) = Bed::make() else { return };
    let begin = b"POST /upload HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 5\r\n\r\nhe";
    let all = crowd(&bed, UPLOADS, begin);
    let served = all.into_iter().filter_map(|mut stream| {
        let mut answer = [0; 1024];
        stream.write_all(b"llo").ok()?;
        let length = stream.read(&mut answer).ok()?;
        answer[..length].starts_with(b"HTTP/1.1 200 ").then_some(())
    });
    assert_eq!(served.count(), UPLOADS);
}

#[test]
fn twenty_thousand_websockets_of_one_worker_to_one_pod() {
    // The pod's server is one process, and so is this.
    let sockets = 20_000.min(many_files() - 1_000) / 4 * 4;
    let Some(bed) = Bed::make_with(|_| (), &["--source-addresses", OWN, "--workers", "1"]) else {
        return;
    };
    let request =
        b"GET /tunnel HTTP/1.1\r\nHost: blog.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let start = Instant::now();
    let mut all = crowd(&bed, sockets, request);
    let opened = start.elapsed();
    for stream in &mut all {
        let mut head = [0; 512];
        let mut length = 0;
        while !head[..length].ends_with(b"\r\n\r\n") {
            let more = stream.read(&mut head[length..]).unwrap();
            assert!(more > 0, "{}", String::from_utf8_lossy(&head[..length]));
            length += more;
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101 "),
            "{}",
            String::from_utf8_lossy(&head[..length])
        );
        stream.write_all(b"hello").unwrap();
    }
    let status = bed.gateway.status().unwrap();
    let tcp = &status["workers"][0]["l7"]["tcp"];
    tell(&format!(
        "{sockets} tunnels after {opened:?}, {:?} in all; {} MiB; source ports {} of {}",
        start.elapsed(),
        resident(&bed),
        tcp["source_ports_used"],
        tcp["source_ports_limit"]
    ));
    assert_eq!(
        tcp["source_ports_used"].as_u64(),
        Some(sockets as u64),
        "{status:#}"
    );
    for stream in &mut all {
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"hello");
    }
    drop(all);
    wait_until("no tunnel is left", Duration::from_secs(20), || {
        bed.sum_of_workers("/l7/clients") + bed.sum_of_workers("/l7/upstream_busy") == 0
    })
    .unwrap();
    tell(&format!("{:?} until all were closed", start.elapsed()));
}
