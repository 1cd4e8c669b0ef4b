//! `headgate policy` of the running gateway.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Bed, PROGRAM};

/// What a command prints, and its exit code.
fn policy(arguments: &[&str], input: &str) -> (String, Option<i32>) {
    let mut child = Command::new(PROGRAM)
        .arg("policy")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

/// Questions about every pair of the shop's pods and some clients.
fn questions() -> String {
    let pods = ["web-1", "api-1", "blog-1", "echo-2"].map(|pod| format!("shop/{pod}"));
    let clients = [
        "192.0.2.10",
        "192.0.2.12",
        "192.0.2.13",
        "2001:db8:c::13",
        "8.8.8.8",
    ]
    .map(str::to_owned);
    let mut lines = String::new();
    for from in pods.iter().chain(&clients) {
        for to in &pods {
            for (protocol, port) in [("TCP", 8080), ("UDP", 9000)] {
                let question = json!({"from": from, "to": to, "protocol": protocol, "port": port});
                lines += &format!("{question}\n");
            }
        }
    }
    lines
}

#[test]
fn a_running_gateway_says_what_its_manifests_say() {
    let Some(bed) = Bed::make() else { return };
    let live = ["--run-dir", bed.gateway.run_dir().to_str().unwrap()];
    let manifests = bed.shop.manifests().to_str().unwrap();
    let offline = ["--manifests", manifests];
    let questions = questions();
    for (command, input) in [
        (&["check", "--queries", "-"][..], questions.as_str()),
        (&["explain", "shop/echo-1"], ""),
        (&["explain", "192.0.2.13", "--format", "json"], ""),
        (&["reach", "--format", "json"], ""),
    ] {
        let (told, code) = policy(&[command, &live].concat(), input);
        assert_eq!(code, Some(0), "{command:?}: {told}");
        assert!(told.len() > 500, "{command:?}: {told}");
        assert_eq!(
            policy(&[command, &offline].concat(), input),
            (told, Some(0)),
            "{command:?}"
        );
    }
    let (denied, code) = policy(
        &[
            &[
                "check",
                "--from",
                "192.0.2.13",
                "--to",
                "shop/echo-1",
                "--port",
                "9000",
            ],
            &live[..],
        ]
        .concat(),
        "",
    );
    assert!(
        denied.starts_with("denied by ingress") && code == Some(1),
        "{denied}"
    );
    // What is applied is what is there; without a policy the gateway would let somebody in.
    let (same, code) = policy(&[&["diff", manifests], &live[..]].concat(), "");
    assert_eq!(code, Some(0), "{same}");
    let changed = bed.lab.directory().join("changed");
    fs::create_dir(&changed).unwrap();
    fs::copy(bed.shop.manifests().join("pods.yaml"), changed.join("pods.yaml")).unwrap();
    let (differs, code) = policy(&[&["diff", changed.to_str().unwrap()], &live[..]].concat(), "");
    assert!(differs.contains("Newly allowed") && code == Some(1), "{differs}");
}
