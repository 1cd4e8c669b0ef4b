//! `cases/*.yaml`: manifests that are added to those of `world.yaml`, and in their comments what shall come of them.
//!
//! - `#? FROM -> TO PROTOCOL PORT: VERDICT` for a connection between pods, nodes or addresses. The verdict is `allowed`
//!   or `denied`; behind it, where somebody decides, `by egress` or `by ingress`, the policy, and the place of its rule in
//!   the manifest (`-` where a NetworkPolicy isolates and no rule matches). Who accepts is asked of ingress if `by ingress`
//!   stands there, of egress if `by egress` does. Between ends with several addresses it holds for each pair of one family.
//! - `#! LINE` for a line of the log, in their order. Without any, there must be none.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use headgate_net::policy::{End, Explanation};
use headgate_ring::message::Protocol;

use super::gateway::Gateway;

/// A line `#? …`.
struct Question<'a> {
    text: &'a str,
    from: &'a str,
    to: &'a str,
    protocol: Protocol,
    port: u16,
    verdict: &'a str,
}

impl<'a> Question<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (connection, verdict) = text.split_once(": ")?;
        let (from, rest) = connection.split_once(" -> ")?;
        let mut words = rest.split_whitespace();
        let (to, protocol, port) = (words.next()?, words.next()?, words.next()?);
        let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .find(|p| p.to_string() == protocol)?;
        Some(Self {
            text,
            from: from.trim(),
            to,
            protocol,
            port: port.parse().ok()?,
            verdict: verdict.trim(),
        })
    }

    /// What is wrong with the gateway's answers.
    fn check(&self, gateway: &Gateway) -> Vec<String> {
        let (sources, destinations) = (gateway.addresses(self.from), gateway.addresses(self.to));
        let all = sources
            .iter()
            .flat_map(|s| destinations.iter().map(move |d| (*s, *d)));
        let pairs: Vec<(IpAddr, IpAddr)> = all.filter(|(s, d)| s.is_ipv4() == d.is_ipv4()).collect();
        assert!(!pairs.is_empty(), "{}: no two addresses of one family", self.text);
        let mut wrong = Vec::new();
        for (src, dst) in pairs {
            let explanation = gateway.explain(src, dst, self.protocol, self.port);
            let verdict = verdict(&explanation, self.verdict);
            if verdict != self.verdict {
                wrong.push(format!("{}\n    but {src} -> {dst}: {verdict}", self.text));
            }
        }
        wrong
    }
}

/// As `expected` would say it: about the end that it speaks of.
fn verdict(explanation: &Explanation, expected: &str) -> String {
    let (egress, ingress) = (("egress", &explanation.egress), ("ingress", &explanation.ingress));
    let said = match explanation.denied() {
        Some(_) if !explanation.egress.allowed => Some(egress),
        Some(_) => Some(ingress),
        None if expected.contains("by egress") => Some(egress),
        None if expected.contains("by ingress") => Some(ingress),
        None => None,
    };
    let word = if explanation.is_allowed() {
        "allowed"
    } else {
        "denied"
    };
    let by = said.and_then(|(direction, end)| Some(format!(" by {direction} {}", ruling(end)?)));
    format!("{word}{}", by.unwrap_or_default())
}

fn ruling(end: &End) -> Option<String> {
    let ruling = end.by.as_ref()?;
    let number = ruling
        .rule
        .map_or("-".to_owned(), |i| ruling.policy.rules[i].number.to_string());
    Some(format!("{} {number}", ruling.policy.name))
}

/// What is wrong with a case.
pub(crate) fn check(gateway: &Gateway, text: &str) -> Vec<String> {
    let marked = |mark: &'static str| {
        text.lines()
            .filter_map(move |line| line.trim().strip_prefix(mark))
    };
    let questions: Vec<_> = marked("#?")
        .map(|line| Question::parse(line.trim()).unwrap_or_else(|| panic!("not a question: {line}")))
        .collect();
    assert!(!questions.is_empty(), "a case asks something");
    let mut wrong: Vec<String> = questions.iter().flat_map(|q| q.check(gateway)).collect();
    let expected: Vec<&str> = marked("#!").map(str::trim).collect();
    if gateway.lines != expected {
        wrong.push(format!(
            "lines of the log:\n    {:#?}\n    but expected {expected:#?}",
            gateway.lines
        ));
    }
    wrong
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn cases() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decisions");
    let world = read(&directory.join("world.yaml"));
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory.join("cases"))
        .expect("cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(paths.len() > 15, "{}", paths.len());
    let mut wrong = Vec::new();
    for path in &paths {
        let text = read(path);
        let gateway = Gateway::new(&[("world.yaml", &world), ("case.yaml", &text)]);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        wrong.extend(
            check(&gateway, &text)
                .into_iter()
                .map(|what| format!("{name}: {what}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
