//! Requests one after the other, of which none may fail.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Asks for the shop's page over a kept connection until it is stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    requests: AtomicU64,
    failed: Mutex<Option<String>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::spawn(move || {
            if let Err(error) = theirs.ask(address) {
                *theirs.failed.lock().unwrap() = Some(error.to_string());
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// That none has failed so far.
    pub(crate) fn check(&self, after: &str) {
        let failed = self.shared.failed.lock().unwrap();
        assert!(failed.is_none(), "after {after}: {failed:?}");
    }

    /// How many requests there were.
    pub(crate) fn stop(mut self) -> u64 {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.check("all");
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn ask(&self, address: SocketAddr) -> std::io::Result<()> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut stream = BufReader::new(stream);
        while !self.stop.load(Ordering::Relaxed) {
            stream
                .get_mut()
                .write_all(b"GET / HTTP/1.1\r\nHost: web.example.com\r\n\r\n")?;
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head)? == 0 {
                    return Err(std::io::Error::other(format!(
                        "the connection ended after {head:?}"
                    )));
                }
            }
            if !head.starts_with("HTTP/1.1 200 ") {
                return Err(std::io::Error::other(head));
            }
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            });
            std::io::copy(
                &mut stream.by_ref().take(length.unwrap_or(0)),
                &mut std::io::sink(),
            )?;
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
