//! Two gateways of one cluster: one of them writes, whatever becomes of either.

use std::net::SocketAddr;

use headgate_apiserver::{Entry, Rule, Settings, User};
use headgate_lab::{Gateway, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::bed::{ADDRESS, Bed, ingress};

/// As whom each of them asks.
const USERS: [&str; 2] = ["gateway-a", "gateway-b"];
/// Ingresses of each step.
const STEP: usize = 20;

struct Pair {
    gateways: [Gateway; 2],
    bed: Bed,
}

impl Pair {
    fn start() -> Self {
        let bed = Bed::without_gateway(Settings::default());
        bed.apply_all();
        let gateways = USERS.map(|user| {
            bed.server.grant(user, User::new(user), None);
            let directory = bed.directory().join(user);
            std::fs::create_dir(&directory).unwrap();
            let kubeconfig = directory.join("kubeconfig");
            std::fs::write(&kubeconfig, bed.server.kubeconfig_with(user)).unwrap();
            let address = ADDRESS.parse().unwrap();
            let http = SocketAddr::from((address, free_port(&[address], 28_180).unwrap()));
            let gateway = bed.start(
                &directory,
                kubeconfig,
                http,
                &["--publish-status-address=203.0.113.9"],
            );
            bed.until("a leader", || !holder(&lease(&bed)).is_empty());
            gateway
        });
        Self { gateways, bed }
    }

    fn control_plane(&self, of: usize) -> Pid {
        let (_, id) = self.gateways[of].planes().unwrap();
        Pid::from_raw(id.try_into().unwrap()).unwrap()
    }

    /// Applies some Ingresses, and waits until their status has an address.
    fn step(&self, step: usize) {
        let names = (0..STEP).map(|n| format!("step-{step}-{n}")).collect::<Vec<_>>();
        let store = self.bed.server.store();
        for name in &names {
            store
                .apply(&ingress(name, &format!("{name}.example.com"), "web"))
                .unwrap();
        }
        self.bed.until("addresses", || {
            names.iter().all(|name| {
                let object = store.get("Ingress", "shop", name).unwrap();
                object["status"]["loadBalancer"]["ingress"] == json!([{"ip": "203.0.113.9"}])
            })
        });
    }

    /// Waits until one has asked for the Lease so many times more.
    fn wait_for_asking(&self, of: usize, times: usize) {
        let asks =
            |entry: &Entry| entry.user == USERS[of] && entry.resource == "leases" && entry.verb == "get";
        let so_far = self.bed.server.journal().count(asks);
        self.bed.until("it asks for the Lease", || {
            self.bed.server.journal().count(asks) >= so_far + times
        });
    }

    /// Who has written a status, in order.
    fn writers(&self) -> Vec<String> {
        let entries = self.bed.server.journal().entries().into_iter();
        let writes = entries.filter(|entry| entry.resource == "ingresses/status" && entry.status == 200);
        writes.map(|entry| entry.user).collect()
    }

    fn until_another_holds_it(&self, before: &Value) -> Value {
        self.bed.until("another leader", || {
            let now = holder(&lease(&self.bed));
            !now.is_empty() && now != holder(before)
        });
        lease(&self.bed)
    }
}

fn lease(bed: &Bed) -> Value {
    let lease = bed.server.store().get("Lease", "default", "headgate-leader");
    lease.unwrap_or_default()
}

fn holder(lease: &Value) -> String {
    lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn of_two_gateways_one_writes_and_the_lease_does_not_flap() {
    let pair = Pair::start();
    let first = lease(&pair.bed);
    pair.step(0);

    // The leader stands still, and does not know it.
    kill_process(pair.control_plane(0), Signal::STOP).unwrap();
    let second = pair.until_another_holds_it(&first);
    pair.step(1);
    kill_process(pair.control_plane(0), Signal::CONT).unwrap();
    pair.wait_for_asking(0, 4);
    pair.step(2);
    assert_eq!(holder(&lease(&pair.bed)), holder(&second), "it keeps what it has");

    // The other one cannot renew it for a while.
    let renewals = Rule::user(USERS[1]).verbs(["update"]).resources(["leases"]);
    pair.bed.server.deny(renewals);
    let third = pair.until_another_holds_it(&second);
    assert_eq!(holder(&third), holder(&first));
    pair.step(3);
    pair.bed.server.allow_again();
    pair.wait_for_asking(1, 4);
    // A server that is away for less than the Lease lasts changes nothing.
    pair.bed.server.restart().unwrap();
    pair.wait_for_asking(0, 4);
    pair.wait_for_asking(1, 4);
    pair.step(4);

    let last = lease(&pair.bed);
    let transitions = last["spec"]["leaseTransitions"].as_u64();
    assert_eq!((holder(&last), transitions), (holder(&third), Some(2)));
    // Each status once, and nobody in between; the Ingress that was there from the beginning is one more.
    let expected = [(USERS[0], 1 + STEP), (USERS[1], 2 * STEP), (USERS[0], 2 * STEP)];
    let expected: Vec<_> = expected
        .iter()
        .flat_map(|(user, times)| vec![*user; *times])
        .collect();
    assert_eq!(pair.writers(), expected);
    for gateway in pair.gateways {
        let log = gateway.log();
        assert!(gateway.stop().unwrap().success(), "{log}");
    }
}
