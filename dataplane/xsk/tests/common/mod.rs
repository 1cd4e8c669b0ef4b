//! Network namespaces and raw sockets for the tests that need the kernel.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

pub(crate) mod frames;
mod raw;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use headgate_xsk::{Queue, QueueConfig, Steering, Umem};
pub(crate) use raw::Raw;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `test` on a thread of its own, in a network namespace of its own, which goes with what the test leaves.
///
/// Without the privilege to make one, the test fails where the environment has `CI`, and is skipped elsewhere.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let ran = thread::spawn(move || {
        // SAFETY: the flags name the network namespace alone, so that no thread loses its file descriptors.
        let entered = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
        if let Err(error) = entered {
            assert!(
                std::env::var_os("CI").is_none(),
                "no network namespace to test in ({error}): CI must run this as root"
            );
            return false;
        }
        ip("link set lo up");
        test();
        true
    });
    match ran.join() {
        Ok(true) => {}
        #[expect(
            clippy::print_stderr,
            reason = "the only way for a test to tell that it was skipped"
        )]
        Ok(false) => eprintln!("skipped: needs root, to make a network namespace"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The steering program, with a socket on queue 0 of the loopback device.
pub(crate) fn steering_on_loopback() -> (Steering, Queue) {
    ip("link set lo mtu 1500");
    let umem = Umem::mapped(256, false).expect("memory");
    let mut config = QueueConfig::new("lo", 0);
    config.ring_size = 64;
    let queue = Queue::bind(umem, &config).expect("a queue of the loopback device");
    let mut steering = Steering::detached().expect("the program loads");
    steering.set_queue(0, &queue).expect("the socket is bound");
    (steering, queue)
}

/// Two ends of a virtual cable, each with two queues, up, and with nothing of their own to say.
pub(crate) fn veth(one: &str, other: &str) {
    let queues = "numtxqueues 2 numrxqueues 2";
    ip(&format!(
        "link add {one} {queues} type veth peer name {other} {queues}"
    ));
    for end in [one, other] {
        ip(&format!("link set {end} addrgenmode none"));
        ip(&format!("link set {end} up"));
    }
}

/// Runs `ip` in the calling thread's namespace.
pub(crate) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// Calls `attempt` until it gives something.
#[expect(clippy::disallowed_methods, reason = "the kernel has a time to do it")]
pub(crate) fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::yield_now();
    }
}
