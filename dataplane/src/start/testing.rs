//! A dataplane that runs while a test asks it.

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use headgate_ring::ControlSession;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
use tokio::sync::mpsc::UnboundedSender;

use super::{Ask, run_until};
use crate::options::Options;
use crate::telemetry::Status;

/// How long anything may take that another thread or process has yet to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: Options,
}

/// The run directory of a dataplane, which goes with the test.
pub(super) struct Home(tempfile::TempDir);

impl Home {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Options as from the command line, with this run directory.
    pub(super) fn options(&self, words: &[&str]) -> Options {
        let run_dir = self.file("").display().to_string();
        let head = ["headgate", "--run-dir", &run_dir];
        Program::try_parse_from(head.iter().chain(words)).unwrap().options
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("run").join(name)
    }

    /// Runs the dataplane while `test` runs, on a thread that calls `prepare` first. It ends at once.
    pub(super) fn with_dataplane<T: Send>(
        &self,
        words: &[&str],
        prepare: impl FnOnce() + Send,
        test: impl FnOnce() -> T + Send,
    ) -> T {
        self.with_dataplane_and_asks(words, prepare, |_| test())
    }

    /// The same, and the test may ask for the end in other ways.
    pub(super) fn with_dataplane_and_asks<T: Send>(
        &self,
        words: &[&str],
        prepare: impl FnOnce() + Send,
        test: impl FnOnce(&UnboundedSender<Ask>) -> T + Send,
    ) -> T {
        let options = self.options(words);
        let (end, mut asks) = tokio::sync::mpsc::unbounded_channel();
        std::thread::scope(|scope| {
            let dataplane = scope.spawn(move || {
                prepare();
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(run_until(&options, &mut asks))
            });
            let tested = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&end)));
            // Where nobody is left to ask for it, the end comes at once.
            drop(end);
            dataplane.join().unwrap().expect("the dataplane runs to its end");
            tested.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(super) fn connect(&self) -> ControlSession {
        until("the control socket", || {
            headgate_ring::connect(&self.file("control.sock")).ok()
        })
    }

    pub(super) fn status(&self) -> Status {
        let mut text = String::new();
        let mut stream = until("the status socket", || {
            UnixStream::connect(self.file("status.sock")).ok()
        });
        stream.read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// An address of loopback that nobody listens at, and that the kernel gives to nobody else while the tests run: a socket
/// that is bound and does not listen keeps its port from all but those who ask for this one.
pub(crate) fn free() -> SocketAddr {
    let keeper = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&keeper, true).unwrap();
    bind(&keeper, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = getsockname(&keeper).unwrap().try_into().unwrap();
    std::mem::forget(keeper);
    address
}

/// Asks again until there is an answer: for what another process or thread has yet to do.
pub(super) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
