//! A virtual network to try Headgate on: network namespaces for clients, gateway and pods, joined by veth
//! pairs with two queues, servers in the pods, and real clients.
//!
//! ```text
//!   clients            gateway             pods
//!   192.0.2.10…  c0 ── g0 .1   .1 g1 ── p0  10.244.1.11…
//!   2001:db8:c::10…                         fd00:10:244:1::11…
//! ```
//!
//! `Lab::build` makes it, dropping the `Lab` removes it, and a watchdog process removes it when this
//! process dies before that, of whatever cause. Names hold this process's id, so that labs do not collide; the
//! machine's own interfaces are never touched.
//!
//! Elsewhere than on Linux there are no namespaces: what is left is the shop on loopback, with its servers and clients.
#![forbid(unsafe_code)]

pub mod address;
pub mod client;
mod gateway;
#[cfg(target_os = "linux")]
mod impair;
#[cfg(target_os = "linux")]
mod inject;
pub mod malformed;
#[cfg(target_os = "linux")]
mod names;
mod namespace;
#[cfg(target_os = "linux")]
mod pair;
#[cfg(all(test, target_os = "linux"))]
mod peers;
pub mod pod;
mod process;
#[cfg(target_os = "linux")]
mod remote;
mod servers;
mod shop;
pub mod tls;
#[cfg(target_os = "linux")]
mod topology;
mod watchdog;

pub use gateway::{Gateway, GatewayOptions, Objects};
#[cfg(target_os = "linux")]
pub use impair::{Impairment, ImpairmentCounts};
#[cfg(target_os = "linux")]
pub use inject::Injector;
#[cfg(target_os = "linux")]
pub use names::{Leftover, leftovers, sweep};
pub use namespace::Namespace;
#[cfg(target_os = "linux")]
pub use pair::Pair;
pub use process::{Finished, Process, kill_and_wait, wait_until};
#[cfg(target_os = "linux")]
pub use remote::Remote;
pub use servers::{Pod, PodSpec};
pub use shop::{Shop, free_port};
#[cfg(target_os = "linux")]
pub use topology::{Lab, LabOptions};
pub use watchdog::Watchdog;

/// Whether this process may make namespaces and interfaces.
///
/// Tests that need it call this first and return when it is false.
///
/// # Panics
///
/// When it may not and the environment has `CI`: there, a test that cannot run has failed.
#[must_use]
pub fn privileged() -> bool {
    let privileged = rustix::process::geteuid().is_root();
    assert!(
        privileged || std::env::var_os("CI").is_none(),
        "this test makes network namespaces and needs root, and in CI it must not be skipped"
    );
    privileged
}
