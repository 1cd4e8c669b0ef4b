//! What an operator types.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Bed, PROGRAM, lab};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn status_tells_people_and_programs() {
    let Some(bed) = Bed::make() else { return };
    bed.curl().get("http://shop.example.com/").unwrap();
    let run_dir = bed.gateway.run_dir().to_str().unwrap();
    let text = bed
        .lab
        .gateway
        .run_ok(PROGRAM, &["status", "--run-dir", run_dir])
        .unwrap();
    for expected in [
        "g0",
        "native, 2 queues",
        "shop/echo",
        "198.51.100.10:443",
        "https",
        "generation 1",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let json = bed
        .lab
        .gateway
        .run_ok(PROGRAM, &["status", "--json", "--run-dir", run_dir])
        .unwrap();
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["generation"], 1);
    assert_eq!(status["ports"][1]["name"], "g1");
    assert!(
        status["totals"]["to_l7"]
            .as_u64()
            .is_some_and(|packets| packets >= 6),
        "{json}"
    );
}

#[test]
fn status_on_sockets_says_what_is_not_there() {
    let Some(bed) = Bed::make_on_sockets() else { return };
    bed.curl().get("http://shop.example.com/").unwrap();
    let run_dir = bed.gateway.run_dir().to_str().unwrap();
    let text = bed
        .lab
        .gateway
        .run_ok(PROGRAM, &["status", "--run-dir", run_dir])
        .unwrap();
    for expected in [
        "the kernel's sockets: Ingresses are served; 8 Service frontends are not balanced",
        "198.51.100.10:443",
        "1  2xx: HTTP requests answered",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    for absent in ["NOT LISTENING", "PORTS", "DENIED", "frames"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

#[test]
fn a_second_gateway_on_the_same_run_directory_is_refused() {
    let Some(bed) = Bed::make() else { return };
    let run_dir = bed.gateway.run_dir().to_str().unwrap();
    let manifests = bed.shop.manifests().to_str().unwrap();
    let arguments = [
        "run",
        "--run-dir",
        run_dir,
        "--manifests",
        manifests,
        "--port",
        "g0",
    ];
    let second = bed.lab.gateway.run(PROGRAM, &arguments, SOON).unwrap();
    assert!(!second.success());
    assert!(
        second.stderr.contains("error: ") && second.stderr.contains("run"),
        "{}",
        second.stderr
    );
    assert_eq!(
        bed.curl().get("http://shop.example.com/").unwrap().status,
        200,
        "the first goes on"
    );
}

#[test]
fn a_dataplane_that_cannot_start_ends_the_gateway_at_once() {
    if !headgate_lab::privileged() {
        return;
    }
    // With nothing to read, and with so much that the control plane is in the midst of it.
    for files in [0, 2000] {
        let temporary = tempfile::tempdir().unwrap();
        let manifests = temporary.path().join("manifests");
        std::fs::create_dir(&manifests).unwrap();
        for i in 0..files {
            let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: n{i}}}\n");
            std::fs::write(manifests.join(format!("{i}.yaml")), text).unwrap();
        }
        let mut gateway = Command::new(PROGRAM)
            .args(["run", "--port", "lo", "--run-dir"])
            .arg(temporary.path().join("run"))
            .arg("--manifests")
            .arg(&manifests)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(gateway.stderr.take().unwrap()).lines();
        let failure = lines.find(|line| {
            line.as_ref()
                .is_ok_and(|line| line.contains("no Ethernet interface"))
        });
        let failed = Instant::now();
        assert!(failure.is_some(), "the dataplane says why it cannot start");
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let status = gateway.wait().unwrap();
        assert!(
            failed.elapsed() < Duration::from_secs(1),
            "{:?}: {rest:?}",
            failed.elapsed()
        );
        assert_eq!(status.code(), Some(1));
        assert!(
            rest.iter()
                .any(|line| line.contains("the dataplane cannot start")),
            "{rest:?}"
        );
    }
}

#[test]
fn the_demo_holds_what_it_says() {
    let Some((lab, _turn)) = lab() else { return };
    // In the lab's gateway for want of a better place: the demo has namespaces of its own.
    let finished = lab
        .gateway
        .run(PROGRAM, &["demo"], Duration::from_secs(120))
        .unwrap();
    assert!(finished.success(), "{}{}", finished.stdout, finished.stderr);
    assert!(
        finished.stdout.contains("expectations held and 0 did not"),
        "{}",
        finished.stdout
    );
}
