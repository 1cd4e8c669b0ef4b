//! The log of decisions, from packets to `headgate flows`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use headgate_lab::{Shop, address, client::nc_tcp, wait_until};
use serde_json::Value;

use crate::support::{Bed, PROGRAM};

/// `headgate flows --follow`, ended when dropped.
struct Following {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Following {
    /// Returns once the gateway knows of it.
    fn start(bed: &Bed, flags: &[&str]) -> Self {
        let mut process = flows(bed)
            .args(["--follow", "--format", "json"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        wait_until("the gateway knows of the reader", Duration::from_secs(10), || {
            bed.gateway.count("/flow_log/followers").unwrap() > 0
        })
        .unwrap();
        Self { process, lines }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // One that has ended already has said so to whoever reads its output.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn flows(bed: &Bed) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("flows").arg("--run-dir").arg(bed.gateway.run_dir());
    command
}

#[test]
fn a_denied_client_is_seen_at_once_with_policy_and_pod() {
    let Some(bed) = Bed::make() else { return };
    let denied = address::client(3);
    for (client, to) in [(denied.0, Shop::ECHO.0), (denied.1, Shop::ECHO.1)] {
        let client = client.to_string();
        let mut following = Following::start(&bed, &["--verdict", "denied", "--from", &client]);
        let script = format!("printf x | nc -n -w 1 -s {client} {to} 7");
        let finished = bed
            .lab
            .clients
            .run("sh", &["-c", &script], Duration::from_secs(10));
        assert!(!finished.unwrap().success());
        let flow = following.next();
        assert_eq!(flow["verdict"], "denied", "{flow:#}");
        assert_eq!(flow["denied_by"], "ingress", "{flow:#}");
        assert_eq!(
            flow["policies"],
            serde_json::json!(["shop/echo-clients"]),
            "{flow:#}"
        );
        assert_eq!(flow["reason"], "no-rule-matches", "{flow:#}");
        assert_eq!(flow["source"]["address"], client.as_str(), "{flow:#}");
        assert_eq!(flow["frontend"]["port"], 7, "{flow:#}");
        assert_eq!(flow["destination"]["namespace"], "shop", "{flow:#}");
        let pod = flow["destination"]["pod"].as_str().unwrap();
        assert!(pod.starts_with("echo-"), "{flow:#}");
        assert_eq!(flow["destination"]["labels"]["app"], "echo", "{flow:#}");
        assert_eq!(flow["policies_changed"], false, "{flow:#}");
    }
    // And later, for people.
    let output = flows(&bed).args(["--policy", "echo-clients"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.lines().count() >= 2, "{text}");
    assert!(
        text.contains(" denied  TCP ") && text.contains("policy shop/echo-clients, no rule matches"),
        "{text}"
    );
}

#[test]
fn who_follows_sees_what_is_allowed() {
    let Some(bed) = Bed::make() else { return };
    let mut following = Following::start(&bed, &["--to", "shop"]);
    assert!(
        nc_tcp(&bed.lab.clients, Shop::ECHO.0, 7, "x")
            .unwrap()
            .starts_with("echo-")
    );
    let flow = following.next();
    assert_eq!(
        (&flow["verdict"], &flow["layer"]),
        (&"allowed".into(), &"L4".into())
    );
    assert_eq!(flow["ingress"]["policy"], "shop/echo-clients", "{flow:#}");
    assert!(flow["ingress"]["rule"].is_u64(), "{flow:#}");
}

#[test]
fn who_follows_sees_requests_with_their_verdict() {
    for bed in Bed::on_each() {
        let mut following = Following::start(&bed, &["--to", "shop"]);
        let get = |n: u8| {
            bed.curl()
                .from(address::client(n).0)
                .get("http://shop.example.com/api")
        };
        for (client, status, verdict) in [(0, 200, "allowed"), (2, 403, "denied")] {
            assert_eq!(get(client).unwrap().status, status);
            let flow = following.next();
            assert_eq!(
                (&flow["verdict"], &flow["layer"]),
                (&verdict.into(), &"L7".into())
            );
            assert_eq!(
                flow["source"]["address"],
                address::client(client).0.to_string(),
                "{flow:#}"
            );
            assert_eq!(
                flow["frontend"]["address"],
                Shop::INGRESS.0.to_string(),
                "{flow:#}"
            );
        }
    }
}

#[test]
fn the_file_has_one_json_object_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.log");
    let arguments = ["--flow-log", path.to_str().unwrap(), "--flow-log-verdicts", "all"];
    let Some(bed) = Bed::make_with(|_| (), &arguments) else {
        return;
    };
    nc_tcp(&bed.lab.clients, Shop::ECHO.0, 7, "x").unwrap();
    wait_until("a line is written", Duration::from_secs(10), || {
        bed.gateway.count("/flow_log/written").unwrap() > 0
    })
    .unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let flow: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&flow["type"], &flow["verdict"]),
        (&"flow".into(), &"allowed".into())
    );
}
