//! Random manifests through all of Headgate's code, from their text to the compiled tables, against Kubernetes' rules
//! read off the same manifests by an evaluator that shares nothing with it.
//!
//! A case is a cluster and some changes of it, and after each change every address connects to every other over all
//! protocols and ports: thousands of verdicts, each with the policy and the rule that says so.
//! `PROPTEST_CASES=500 cargo test -p headgate --test decisions random` makes millions.

mod cluster;
mod oracle;
mod tiers;

use std::collections::BTreeMap;

use headgate_controlplane::source::decode::Syntax;
use headgate_ring::message::Protocol;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::gateway::Gateway;
use oracle::{Connection, Oracle, Ruling};

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn tables_say_what_the_manifests_say(steps in vec(cluster::cluster(), 1..4)) {
        let mut directory = Directory::default();
        for objects in &steps {
            directory.change(objects);
            compare(&directory.gateway, objects)?;
        }
    }
}

/// Each object in a file of its own.
struct Directory {
    files: BTreeMap<String, String>,
    gateway: Gateway,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            gateway: Gateway::new(&[]),
        }
    }
}

impl Directory {
    /// Makes it hold these objects.
    fn change(&mut self, objects: &[Value]) {
        let file = |o: &Value| {
            (
                format!("{}-{}.json", o["kind"], o["metadata"]["name"]),
                o.to_string(),
            )
        };
        let files: BTreeMap<String, String> = objects.iter().map(file).collect();
        let gone = self.files.keys().filter(|name| !files.contains_key(*name));
        let gone = gone.map(|name| (name.as_str(), None));
        let changed = files
            .iter()
            .filter(|(name, text)| self.files.get(*name) != Some(text));
        let changed = changed.map(|(name, text)| (name.as_str(), Some(text.as_str())));
        self.gateway.change(gone.chain(changed), Syntax::Json);
        self.files = files;
        assert!(self.gateway.lines.is_empty(), "{:?}", self.gateway.lines);
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(16)
}

fn compare(gateway: &Gateway, objects: &[Value]) -> Result<(), TestCaseError> {
    let oracle = Oracle { objects };
    for connection in cluster::connections(objects) {
        let Connection {
            src,
            dst,
            protocol,
            port,
        } = connection;
        prop_assert_eq!(
            rulings(gateway, connection),
            oracle.decide(connection),
            "{} to {}, {} {}, of\n{}",
            src,
            dst,
            protocol,
            port,
            objects.iter().map(|o| format!("---\n{o}\n")).collect::<String>()
        );
    }
    Ok(())
}

/// What is said at the source, and at the destination.
fn rulings(gateway: &Gateway, connection: Connection) -> [Ruling; 2] {
    let Connection {
        src,
        dst,
        protocol,
        port,
    } = connection;
    let protocol = match protocol {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        _ => Protocol::Sctp,
    };
    let explained = gateway.explain(src, dst, protocol, port);
    [&explained.egress, &explained.ingress].map(|end| Ruling {
        allowed: end.allowed,
        by: end.by.as_ref().map(|by| {
            let number = by.rule.map(|rule| by.policy.rules[rule].number);
            (by.policy.name.clone(), number)
        }),
    })
}
