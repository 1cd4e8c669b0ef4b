//! From one random state to the next, with real packets: whatever the way, what holds is what the API says of the last state.

#[path = "../policy/random/draw.rs"]
#[allow(dead_code, reason = "some of it is for the test `policy`")]
mod draw;
#[path = "../policy/random/reading.rs"]
mod reading;

use std::{collections::BTreeMap, net::IpAddr};

use headgate_lab::address;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::Value;

use crate::cluster::{Bed, HTTP_PORT, PODS};
use crate::probe::{Kind, Probe};
use crate::truth::Cell;
use reading::World;

const STEPS: usize = 40;

/// By kind and name: in these clusters two objects differ in one of them.
type Objects = BTreeMap<(String, String), Value>;

#[test]
fn random_changes_end_where_the_api_says() {
    let Some(mut bed) = Bed::make() else { return };
    let mut runner = TestRunner::default();
    let mut objects = Objects::new();
    let mut denied = 0;
    for step in 0..STEPS {
        let before = manifests(&objects);
        change(&mut objects, &mut runner);
        let now = manifests(&objects);
        let probes = probes(&World::read(&objects.values().cloned().collect::<Vec<_>>()));
        denied += probes.iter().filter(|(_, cell)| *cell != Cell::Allowed).count();
        bed.apply_text(&now);
        let wrong = bed.probe(&probes).join("\n");
        assert!(
            wrong.is_empty(),
            "step {step}: {wrong}\n--- before\n{before}--- now\n{now}"
        );
    }
    assert!(denied > STEPS, "{denied}");
}

/// Replaces some objects by others that are drawn, takes some away, adds some.
fn change(objects: &mut Objects, runner: &mut TestRunner) {
    let mut draw_bit = |weight| prop::bool::weighted(weight).new_tree(runner).unwrap().current();
    objects.retain(|(kind, _), _| !kind.ends_with("NetworkPolicy") || !draw_bit(0.15));
    let drawn = draw::cluster().new_tree(runner).unwrap().current();
    for object in drawn {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
        if prop::bool::weighted(0.3).new_tree(runner).unwrap().current() {
            objects.insert(key, object);
        }
    }
}

fn manifests(objects: &Objects) -> String {
    objects.values().map(|object| format!("{object}\n")).collect()
}

/// Every address of the lab's pods and of one client, to every pod: what of it is a Pod in the cluster is drawn.
fn probes(world: &World) -> Vec<(Probe, Cell)> {
    let kinds = [
        (Kind::Udp, "UDP", 80, true),
        (Kind::Udp, "UDP", 81, false),
        (Kind::Tcp, "TCP", 80, true),
        (Kind::Http, "TCP", HTTP_PORT, true),
    ];
    let mut all = Vec::new();
    for (kind, protocol, port, v4) in kinds {
        let family = |(four, six)| if v4 { four } else { six };
        for from in draw::ADDRESSES
            .iter()
            .map(|address| address.parse::<IpAddr>().unwrap())
        {
            for to in (1..).take(PODS.len()) {
                let address = family(address::pod(to));
                if from.is_ipv4() == v4 {
                    let cell = world.decide(from, address, protocol, port);
                    all.push((Probe { from, to, port, kind }, cell));
                }
            }
        }
    }
    all
}
