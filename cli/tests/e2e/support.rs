//! What every test stands on.

use std::{
    collections::BTreeMap,
    io::Write,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headgate_lab::{
    Gateway, GatewayOptions, Lab, LabOptions, Objects, Shop, client::Curl, privileged, wait_until,
};
use serde_json::Value;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_headgate");

/// What is tested: another build of it, such as a release, where the environment names one.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("HEADGATE_E2E_PROGRAM").map_or_else(|| PROGRAM.into(), PathBuf::from)
}

/// A lab with the shop of `examples/` and Headgate in front of it. Fields are dropped in this order.
pub(crate) struct Bed {
    pub(crate) gateway: Gateway,
    pub(crate) shop: Shop,
    pub(crate) lab: Lab,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

/// A lab without Headgate, and the turn to use it; `None` without privileges.
pub(crate) fn lab() -> Option<(Lab, MutexGuard<'static, ()>)> {
    if !privileged() {
        return None;
    }
    // A test that panicked has taken its lab down like any other.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let lab = Lab::build(LabOptions::new(PROGRAM, &["lab", "pod"])).expect("a lab");
    Some((lab, turn))
}

/// How every test starts Headgate.
pub(crate) fn options(manifests: &Path) -> GatewayOptions {
    GatewayOptions {
        program: program(),
        ports: Lab::PORTS.map(str::to_owned).to_vec(),
        objects: Objects::Directory(manifests.to_owned()),
        ingress: vec![Shop::INGRESS.0, Shop::INGRESS.1],
        log: "info".into(),
        arguments: Vec::new(),
    }
}

/// How every test starts Headgate on the kernel's sockets: at the Ingress address, and without a single capability.
pub(crate) fn options_on_sockets(lab: &Lab, manifests: &Path) -> GatewayOptions {
    lab.host_vip(Shop::INGRESS).expect("an address of the host");
    GatewayOptions {
        program: without_capabilities(lab),
        ports: vec!["kernel".into()],
        ..options(manifests)
    }
}

/// A program that becomes Headgate without any capability; it stays this user, who can read the files of the test.
fn without_capabilities(lab: &Lab) -> PathBuf {
    let wrapper = lab.directory().join("without-capabilities");
    let script = format!(
        "#!/bin/sh\nexec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all {} \"$@\"\n",
        program().display()
    );
    std::fs::write(&wrapper, script).expect("a script");
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).expect("a script");
    wrapper
}

impl Bed {
    /// On packets; `None` without privileges.
    pub(crate) fn make() -> Option<Self> {
        Self::make_with(|_| (), &[])
    }

    /// Headgate starts after `prepare` has changed the manifests, and with these arguments besides.
    pub(crate) fn make_with(prepare: impl FnOnce(&Shop), arguments: &[&str]) -> Option<Self> {
        Self::build(false, prepare, arguments)
    }

    /// One bed after the other, for what holds whatever is below HTTP: Headgate on packets, and on the kernel's sockets. None
    /// without privileges.
    pub(crate) fn on_each() -> impl Iterator<Item = Self> {
        [false, true]
            .into_iter()
            .filter_map(|on_sockets| Self::build(on_sockets, |_| (), &[]))
    }

    /// On the kernel's sockets; `None` without privileges.
    pub(crate) fn make_on_sockets() -> Option<Self> {
        Self::build(true, |_| (), &[])
    }

    /// The same with these arguments.
    pub(crate) fn on_each_with(arguments: &[&'static str]) -> impl Iterator<Item = Self> {
        [false, true]
            .into_iter()
            .filter_map(|on_sockets| Self::build(on_sockets, |_| (), arguments))
    }

    fn build(on_sockets: bool, prepare: impl FnOnce(&Shop), arguments: &[&str]) -> Option<Self> {
        let (lab, turn) = lab()?;
        let shop = Shop::open(&lab, lab.directory()).expect("the shop's pods");
        prepare(&shop);
        let mut options = if on_sockets {
            options_on_sockets(&lab, shop.manifests())
        } else {
            options(shop.manifests())
        };
        options.arguments = arguments.iter().map(|&a| a.to_owned()).collect();
        let gateway = Gateway::start(&lab, &options).expect("Headgate");
        Some(Self {
            gateway,
            shop,
            lab,
            _turn: turn,
        })
    }

    /// A curl among the clients that trusts the shop's authority and reaches every host at the Ingress address.
    pub(crate) fn curl(&self) -> Curl<'_> {
        self.curl_to(Shop::INGRESS.0)
    }

    pub(crate) fn curl_to(&self, address: IpAddr) -> Curl<'_> {
        let ca = self.shop.ca_file().display().to_string();
        Curl::new(&self.lab.clients).to(address).args(&["--cacert", &ca])
    }

    /// Whether Headgate is on the kernel's sockets.
    pub(crate) fn on_sockets(&self) -> bool {
        self.gateway.status().expect("a status")["mode"] == "sockets"
    }

    /// The sum of a number over all workers, and stages with cores of their own, by JSON pointer.
    pub(crate) fn sum_of_workers(&self, pointer: &str) -> i64 {
        sum_of_workers(&self.gateway.status().expect("a status"), pointer)
    }

    /// Waits until nothing is left of past traffic: no connection, no frame on its way.
    ///
    /// Closed TCP flows are remembered for 30 seconds, UDP flows as `--udp-timeout` says.
    pub(crate) fn wait_until_quiet(&self) {
        let leftovers = || {
            let status = self.gateway.status().expect("a status");
            let of_threads = |pointer| sum_of_workers(&status, pointer);
            [
                ("flows", number(&status, "/flows")),
                ("clients' connections", of_threads("/l7/clients")),
                ("requests", of_threads("/l7/active")),
                ("requests to pods", of_threads("/l7/upstream_busy")),
                ("frames held", number(&status, "/frames/held")),
                ("frames unaccounted", number(&status, "/frames/unaccounted")),
            ]
        };
        let quiet = wait_until("nothing is left of past traffic", Duration::from_secs(60), || {
            leftovers().iter().all(|(_, count)| *count == 0)
        });
        if let Err(error) = quiet {
            panic!(
                "{error}: {:?}\n{:#}",
                leftovers(),
                self.gateway.status().expect("a status")
            );
        }
    }
}

fn number(value: &Value, pointer: &str) -> i64 {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_else(|| panic!("no {pointer} in the status"))
}

/// Over workers, and stages with cores of their own.
fn sum_of_workers(status: &Value, pointer: &str) -> i64 {
    let lists = ["workers", "stages"].map(|list| status[list].as_array().expect("a list"));
    let threads = lists.into_iter().flatten();
    threads.map(|thread| number(thread, pointer)).sum()
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let status = self
                .gateway
                .status()
                .map(|s| format!("{s:#}"))
                .unwrap_or_default();
            let log = self.gateway.log();
            // Nobody to tell where standard error is closed.
            let _ = writeln!(
                std::io::stderr(),
                "--- what Headgate logged\n{log}--- its status\n{status}"
            );
        }
    }
}

/// How often each pod answered.
pub(crate) type Tally = BTreeMap<String, u32>;

/// Runs `ask` so often and counts the pods that it names.
pub(crate) fn tally(times: u32, mut ask: impl FnMut() -> String) -> Tally {
    let mut tally = Tally::new();
    for _ in 0..times {
        *tally.entry(ask()).or_default() += 1;
    }
    tally
}

pub(crate) fn names(tally: &Tally) -> Vec<&str> {
    tally.keys().map(String::as_str).collect()
}
