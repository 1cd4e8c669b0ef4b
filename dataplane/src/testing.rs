//! Network namespaces for tests that need the real kernel. They need root.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that goes with this value.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// An empty one, its loopback up.
    pub(crate) fn new(tag: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = Self {
            name: format!("hg-runtime-{tag}-{}-{count}", std::process::id()),
        };
        run(Command::new("ip").args(["netns", "add", &namespace.name]));
        namespace.ip("link set lo up");
        // Addresses are good at once, not after a second or two of asking whether others have them.
        namespace
            .inside(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0"))
            .unwrap();
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `ip ARGUMENTS` inside, arguments split at spaces.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        run(Command::new("ip")
            .args(["-n", &self.name])
            .args(arguments.split(' ')))
    }

    /// Moves the calling thread inside for good: give it a thread of its own.
    pub(crate) fn enter(&self) {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).expect("the namespace is there");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns needs root");
    }

    /// Runs `work` on a thread inside.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `test` on a thread inside, on a tokio runtime.
    pub(crate) fn block_on<T: Send>(&self, test: impl AsyncFnOnce() -> T + Send) -> T {
        self.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let test = tokio::time::timeout(std::time::Duration::from_secs(20), test());
                test.await.expect("the kernel did not do it within 20 s")
            })
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Runs a command that must succeed and gives what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?} failed (these tests need root): {said}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
