//! Random manifests through all of Headgate's code, from their text to the compiled tables, against Kubernetes' rules
//! read off the same manifests by an evaluator that shares nothing with it.
//!
//! A case is a cluster and some changes of it, and after each change every address connects to every other over all
//! protocols and ports: thousands of verdicts, each with the policy and the rule that says so.
//! `PROPTEST_CASES=500 cargo test -p headgate --test oracle` makes millions.

mod chain;
mod cluster;
mod oracle;
mod tiers;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use chain::Chain;
use oracle::{Connection, Oracle};

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn tables_say_what_the_manifests_say(steps in vec(cluster::cluster(), 1..4)) {
        let mut chain = Chain::default();
        for objects in &steps {
            chain.change(objects);
            compare(&chain, objects)?;
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(16)
}

fn compare(chain: &Chain, objects: &[Value]) -> Result<(), TestCaseError> {
    let oracle = Oracle { objects };
    for connection in cluster::connections(objects) {
        let Connection {
            src,
            dst,
            protocol,
            port,
        } = connection;
        prop_assert_eq!(
            chain.decide(connection),
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
