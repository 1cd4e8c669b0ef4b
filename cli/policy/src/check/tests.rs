use serde_json::{Value, json};

use super::*;
use crate::testing::{DENY, SHOP, snapshot};

/// The answers to these lines.
fn ask(snapshot: &PolicySnapshot, lines: &[&str]) -> (Vec<Value>, CommandOutcome) {
    let mut out = Vec::new();
    let outcome = answer_all(snapshot, lines.join("\n").as_bytes(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let answers = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (answers, outcome)
}

fn query(from: &str, to: &str, protocol: &str, port: impl Into<Value>) -> String {
    json!({"from": from, "to": to, "protocol": protocol, "port": port.into()}).to_string()
}

/// The answer to one question.
fn one(snapshot: &PolicySnapshot, question: &str) -> Value {
    ask(snapshot, &[question]).0.remove(0)
}

#[test]
fn an_answer_names_the_end_the_policies_and_the_rule() {
    let shop = snapshot(&[SHOP]);
    let answer = one(&shop, &query("10.244.7.7", "shop/db", "TCP", 5432));
    let by = json!({"policy": "shop/db", "tier": "NetworkPolicy", "action": "Accept", "rule": 0});
    assert_eq!(
        answer,
        json!({
            "from": "10.244.7.7", "to": "shop/db", "protocol": "TCP", "port": 5432,
            "allowed": true, "denied_by": null, "policies": ["shop/db"],
            "by": {"egress": null, "ingress": by},
        })
    );
    let answer = one(&shop, &query("10.9.0.1", "shop/db", "TCP", 5432));
    assert_eq!(
        (&answer["allowed"], &answer["denied_by"]),
        (&json!(false), &json!("ingress"))
    );
    assert_eq!(answer["by"]["ingress"]["rule"], Value::Null);
    assert_eq!(answer["by"]["ingress"]["action"], "Deny");
}

#[test]
fn policies_are_those_of_both_ends_and_egress_is_named_first() {
    let shop = snapshot(&[SHOP, DENY]);
    let answer = one(&shop, &query("shop/web", "shop/db", "TCP", 80));
    assert_eq!(answer["denied_by"], "egress");
    assert_eq!(answer["policies"], json!(["shop/a-deny", "shop/db"]));
    assert_eq!(answer["by"]["egress"]["policy"], "shop/a-deny");
}

#[test]
fn a_pod_reaches_itself() {
    let shop = snapshot(&[SHOP, DENY]);
    assert_eq!(
        one(&shop, &query("shop/web", "shop/web", "UDP", 9))["allowed"],
        true
    );
    assert_eq!(
        one(&shop, &query("10.244.1.11", "shop/web", "UDP", 9))["allowed"],
        true
    );
}

#[test]
fn families_that_differ_are_told_and_the_denied_one_counts() {
    let shop = snapshot(&[SHOP]);
    let answer = one(&shop, &query("shop/web", "shop/db", "TCP", 5432));
    assert_eq!(
        (&answer["allowed"], &answer["denied_by"]),
        (&json!(false), &json!("ingress"))
    );
    let pair =
        |from, to, allowed, by: Value| json!({"from": from, "to": to, "allowed": allowed, "denied_by": by});
    assert_eq!(
        answer["addresses"],
        json!([
            pair("10.244.1.11", "10.244.1.12", true, Value::Null),
            pair("fd00:10:244:1::11", "fd00:10:244:1::12", false, json!("ingress")),
        ])
    );
    let same = one(&shop, &query("shop/web", "shop/db", "TCP", 1));
    assert_eq!(same.get("addresses"), None);
    let apart = one(&shop, &query("blog/six", "192.0.2.1", "TCP", 1));
    assert_eq!(
        apart["error"],
        "line 1: blog/six and 192.0.2.1 have no address of the same family: fd00:10:244:1::13 and 192.0.2.1"
    );
}

#[test]
fn names_of_ports_are_those_of_the_destination() {
    let shop = snapshot(&[SHOP]);
    for to in ["shop/db", "10.244.1.12"] {
        assert_eq!(
            one(&shop, &query("10.1.1.1", to, "tcp", "sql"))["port"],
            5432,
            "{to}"
        );
    }
    assert_eq!(
        one(&shop, &query("shop/web", "shop/db", "UDP", "sync"))["allowed"],
        true
    );
    assert_eq!(
        one(&shop, &query("shop/web", "shop/agent", "TCP", "metrics"))["port"],
        9100
    );
    assert_eq!(
        one(&shop, &query("shop/web", "shop/db", "TCP", "5432"))["port"],
        5432
    );
    assert_eq!(
        one(&shop, &query("shop/web", "shop/db", "TCP", "sync"))["error"],
        "line 1: port: shop/db has no TCP port of the name \"sync\""
    );
}

#[test]
fn a_pod_of_the_hosts_network_is_its_node() {
    let shop = snapshot(&[SHOP, DENY]);
    let answer = one(&shop, &query("shop/agent", "shop/agent", "TCP", 80));
    assert_eq!(
        (&answer["allowed"], &answer["policies"]),
        (&json!(true), &json!([]))
    );
    assert!(
        answer["notes"][0].as_str().unwrap().contains("node's network"),
        "{answer}"
    );
    assert_eq!(
        one(&shop, &query("shop/agent", "blog/six", "TCP", 80))["allowed"],
        Value::Null
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "one case after the other")]
fn every_wrong_line_is_told_and_the_others_are_answered() {
    let shop = snapshot(&[SHOP]);
    let good = query("shop/web", "shop/db", "SCTP", 80);
    let cases = [
        ("nonsense", "is not a JSON object: expected ident (column 2)"),
        (
            "[1]",
            "is not a JSON object: invalid type: sequence, expected a map (column 0)",
        ),
        (r#"{"to":"shop/db","port":1}"#, "from: is missing"),
        (
            r#"{"from":7,"to":"shop/db","port":1}"#,
            "from: must be NAMESPACE/POD or an address, is 7",
        ),
        (r#"{"from":"shop/web","to":"shop/db"}"#, "port: is missing"),
        (
            &query("shop/web", "shop/db", "TCP", 0),
            "port: must be 1 to 65535 or a port's name, is \"0\"",
        ),
        (
            &query("shop/web", "shop/db", "TCP", 70000),
            "port: must be 1 to 65535 or a port's name, is \"70000\"",
        ),
        (
            &query("shop/web", "shop/db", "TCP", -1),
            "port: must be 1 to 65535 or a port's name, is \"-1\"",
        ),
        (
            &query("shop/web", "shop/db", "TCP", 1.5),
            "port: must be 1 to 65535 or a port's name, is \"1.5\"",
        ),
        (
            &query("shop/web", "shop/db", "ICMP", 1),
            "protocol: must be TCP, UDP or SCTP, is \"ICMP\"",
        ),
        (
            &query("shop/wbe", "shop/db", "TCP", 1),
            "from: there is no pod shop/wbe",
        ),
        (
            &query("web", "shop/db", "TCP", 1),
            "from: \"web\" is neither an address nor a node; a pod is NAMESPACE/POD, as in shop/web",
        ),
        (
            &query("shop/web", "shop/new", "TCP", 1),
            "to: shop/new has no address (yet, or any more)",
        ),
        (
            &query("::", "shop/web", "TCP", 1),
            "from: :: is no address of a single host",
        ),
    ];
    let mut lines = vec![good.as_str(), ""];
    lines.extend(cases.iter().map(|(line, _)| *line));
    lines.push(&good);
    let (answers, outcome) = ask(&shop, &lines);
    assert_eq!(outcome, CommandOutcome::Incomplete);
    assert_eq!(answers.len(), cases.len() + 2);
    for ((answer, (line, reason)), number) in answers[1..].iter().zip(cases).zip(3..) {
        assert_eq!(answer["error"], format!("line {number}: {reason}"), "{line}");
    }
    assert_eq!(answers[0]["allowed"], json!(false));
    assert_eq!(answers.last(), answers.first());
    assert_eq!(ask(&shop, &[&good]).1, CommandOutcome::Yes);
}

#[test]
fn a_line_without_an_end_is_refused_and_the_next_one_is_read() {
    let shop = snapshot(&[SHOP]);
    let long = "x".repeat(3 * LINE_BYTES as usize);
    let (answers, _) = ask(&shop, &[&long, &query("shop/web", "shop/db", "TCP", 1)]);
    assert_eq!(answers[0]["error"], "line 1: is longer than 65536 bytes");
    assert_eq!(answers[1]["allowed"], false);
    assert_eq!(answers.len(), 2);
}

#[test]
fn what_else_a_question_holds_comes_back() {
    let shop = snapshot(&[SHOP]);
    let line = r#"{"from":"shop/web","to":"shop/db","port":1,"id":[7],"allowed":"?","protocol":null}"#;
    let answer = one(&shop, line);
    assert_eq!((&answer["id"], &answer["allowed"]), (&json!([7]), &json!(false)));
}

#[test]
fn each_answer_is_out_before_the_next_question_is_read() {
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Gives a line at a time, and only after the answers to those before have come.
    struct Asker(Vec<String>, usize, Rc<RefCell<Vec<u8>>>);
    impl Read for Asker {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let answers = self.2.borrow().iter().filter(|b| **b == b'\n').count();
            assert_eq!(answers, self.1);
            let Some(line) = self.0.pop() else { return Ok(0) };
            self.1 += 1;
            into[..line.len()].copy_from_slice(line.as_bytes());
            Ok(line.len())
        }
    }
    struct Answers(Rc<RefCell<Vec<u8>>>);
    impl Write for Answers {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let line = query("shop/web", "shop/db", "TCP", 1) + "\n";
    let out = Rc::default();
    let asker = Asker(vec![line.clone(), line], 0, Rc::clone(&out));
    let answers = io::BufWriter::new(Answers(Rc::clone(&out)));
    answer_all(&snapshot(&[SHOP]), asker, answers).unwrap();
    assert_eq!(out.borrow().iter().filter(|b| **b == b'\n').count(), 2);
}

#[test]
fn people_get_sentences() {
    let shop = snapshot(&[SHOP, DENY]);
    let render = |question: &str| {
        let answer = answer::answer(&shop, Query::parse(question.as_bytes()).unwrap());
        text::render(&answer.unwrap())
    };
    assert_eq!(
        render(&query("10.1.1.1", "shop/db", "TCP", "sql")),
        "allowed: 10.1.1.1 to shop/db, TCP 5432\n  egress: allowed: no policy selects 10.1.1.1\n  \
         ingress: allowed by ingress[0] of shop/db\n"
    );
    assert_eq!(
        render(&query("shop/web", "shop/db", "TCP", 5432)),
        "denied by egress: shop/web to shop/db, TCP 5432\n  \
         egress: denied: isolated, and no egress rule of shop/a-deny matches\n  \
         ingress: allowed by ingress[0] of shop/db\n"
    );
}

#[test]
fn a_pod_and_its_node_reach_each_other() {
    let pod = r"
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: on-one, labels: {tier: db}}
status: {podIP: 10.244.1.30, hostIPs: [{ip: 192.0.2.1}]}
";
    let shop = snapshot(&[SHOP, pod, DENY]);
    for (from, to) in [("192.0.2.1", "shop/on-one"), ("shop/on-one", "192.0.2.1")] {
        let answer = one(&shop, &query(from, to, "TCP", 1));
        assert_eq!(answer["allowed"], true, "{answer}");
        assert!(
            answer["notes"][0]
                .as_str()
                .unwrap()
                .contains("the node that it runs on"),
            "{answer}"
        );
    }
    assert_eq!(
        one(&shop, &query("192.0.2.2", "shop/on-one", "TCP", 1))["allowed"],
        false
    );
}

#[test]
fn a_byte_order_mark_stands_in_front_of_the_first_question_alone() {
    let shop = snapshot(&[SHOP]);
    let marked = format!("\u{feff}{}", query("10.244.7.7", "shop/db", "TCP", 5432));
    let (answers, outcome) = ask(&shop, &[&marked, &marked]);
    assert_eq!(answers[0]["allowed"], json!(true));
    assert!(
        answers[1]["error"].as_str().unwrap().starts_with("line 2: "),
        "{answers:?}"
    );
    assert!(matches!(outcome, CommandOutcome::Incomplete));
}
