//! Clusters and policies drawn at random: `headgate policy check` against a second reading of the API.

mod draw;
mod reading;

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::check;
use draw::ADDRESSES;
use reading::World;

proptest! {
    // PROPTEST_CASES asks for more; a cluster is some 2,000 questions.
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn two_readings_of_the_api_agree(objects in draw::cluster(), ports in draw::ports()) {
        let mut manifests = String::new();
        objects.iter().for_each(|object| writeln!(manifests, "{object}").unwrap());
        let world = World::read(&objects);
        let mut questions = Vec::new();
        for from in ADDRESSES {
            for to in ADDRESSES.into_iter().filter(|to| to.contains(':') == from.contains(':')) {
                for (protocol, port) in &ports {
                    questions.push(json!({"from": from, "to": to, "protocol": protocol, "port": port}));
                }
            }
        }
        for (question, answer) in questions.iter().zip(check::answers(&manifests, &questions)) {
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let address = |end: &str| question[end].as_str().unwrap().parse().unwrap();
            let port = question["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap();
            let protocol = question["protocol"].as_str().unwrap();
            let expected = world.decide(address("from"), address("to"), protocol, port);
            prop_assert_eq!(check::decision(&answer), Some(expected), "{}\n{}", answer, manifests);
        }
    }
}
