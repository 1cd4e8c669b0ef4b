//! On the kernel's sockets, where peers go on while we are at work.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use headgate_ring::message::{Listener, ListenerProtocol, Upstream, UpstreamProtocol};

use super::world::host;
use crate::{Changes, Config, DescriptorShare, HttpConfig, Limits, Sockets};
use headgate_net::clock::Clock;
use headgate_net::record::Recorder;

/// Serves in a thread of its own, for as long as the process lives.
fn gateway(pod: SocketAddr) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let listener = Listener {
            address,
            protocol: ListenerProtocol::Http,
            balancers: Vec::new(),
        };
        let (host, upstream) = (
            host("", &[("/", "web")]),
            Upstream {
                name: "web".into(),
                protocol: UpstreamProtocol::default(),
                endpoints: vec![pod],
            },
        );
        let changes = Changes {
            listeners: vec![(address, Some(&listener))],
            hosts: vec![("", Some(&host))],
            upstreams: vec![("web", Some(&upstream))],
            ..Changes::default()
        };
        let config = Config::empty().unwrap().with(&changes).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let http = HttpConfig {
                limits: Limits::default(),
                recorder: Recorder::off(),
                record: Arc::default(),
            };
            let mut sockets = Sockets::new(http, Clock::start(), DescriptorShare::of(400));
            sockets.configure(Arc::new(config), Rc::new(|_, _| true), 1);
            sockets.listen(address, socket).unwrap();
            std::future::pending::<()>().await;
        });
    });
    address
}

/// Answers `/` and, to everything else, says for ever that the answer is to come.
fn pod() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in socket.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let count = stream.read(&mut head).unwrap();
                if head[..count].starts_with(b"GET / ") {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    return stream.write_all(answer).unwrap();
                }
                let more = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000);
                while stream.write_all(&more).is_ok() {}
            });
        }
    });
    address
}

fn ask(gateway: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: web.example\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[test]
fn a_pod_that_never_stops_takes_nobody_elses_turn() {
    let gateway = gateway(pod());
    let endless = ask(gateway, "/endless");
    for _ in 0..20 {
        let mut stream = ask(gateway, "/");
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("ok"), "{answer:?}");
    }
    // Its client leaves, and so does the thread of the pod.
    drop(endless);
}
