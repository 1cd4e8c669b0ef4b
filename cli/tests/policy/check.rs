//! Questions to `headgate policy check`, and what it answers.

use std::{
    fmt::Write,
    fs,
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::truth::{Case, Cell, Cluster, Expectation, Step, cases};

/// At most so many wrong answers are shown.
const SHOWN: usize = 40;

/// A question, and what is wrong with its answer.
struct Question {
    query: Value,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    Cell(Cell),
    Policies(Vec<String>),
}

/// Runs the cases of a page, which are `count`: a heading that is lost must not go unnoticed.
pub(crate) fn page(path: &Path, count: usize) {
    let cases = cases(path);
    assert_eq!(cases.len(), count, "cases of {}", path.display());
    let wrong: Vec<String> = cases.into_iter().flat_map(run).collect();
    let shown = wrong[..wrong.len().min(SHOWN)].join("\n");
    assert!(wrong.is_empty(), "{} wrong answers:\n{shown}", wrong.len());
}

/// What was answered wrongly.
fn run(case: Case) -> Vec<String> {
    let mut cluster = case.cluster;
    let mut wrong = Vec::new();
    for (line, step) in case.steps {
        let at = format!("{}, line {line}", case.name);
        let questions: Vec<Question> = match step {
            Step::Apply(objects) => {
                cluster.apply(objects);
                continue;
            }
            Step::Delete(keys) => {
                keys.iter()
                    .for_each(|key| assert!(cluster.delete(key), "{at}: no {key:?}"));
                continue;
            }
            Step::Expect(matrix) => {
                let expected = matrix.expectations(&cluster);
                let expected = expected.unwrap_or_else(|reason| panic!("{at}: {reason}"));
                expected.iter().flat_map(questions).collect()
            }
            Step::Policies(asked) => {
                let question = |((from, to), (protocol, port), policies)| Question {
                    query: json!({"from": from, "to": to, "protocol": protocol, "port": port}),
                    expected: Expected::Policies(policies),
                };
                asked.into_iter().map(question).collect()
            }
        };
        wrong.extend(
            ask(&cluster, &questions)
                .into_iter()
                .map(|what| format!("{at}: {what}")),
        );
    }
    wrong
}

/// By name, where an end has one; once a table also by each family of addresses.
fn questions(expected: &Expectation) -> Vec<Question> {
    let text = |name: &Option<String>, address: IpAddr| name.clone().unwrap_or_else(|| address.to_string());
    let (from, to) = (&expected.from, &expected.to);
    let mut ends = vec![(
        text(&from.name, from.addresses[0]),
        text(&to.name, to.addresses[0]),
    )];
    if expected.first {
        ends.extend(
            expected
                .pairs()
                .map(|(from, to)| (from.to_string(), to.to_string())),
        );
        ends.dedup();
    }
    let question = |(from, to)| Question {
        query: json!({"from": from, "to": to, "protocol": expected.protocol, "port": expected.port}),
        expected: Expected::Cell(expected.cell),
    };
    ends.into_iter().map(question).collect()
}

/// What is wrong with the answers.
fn ask(cluster: &Cluster, questions: &[Question]) -> Vec<String> {
    let queries: Vec<Value> = questions.iter().map(|question| question.query.clone()).collect();
    let answered = questions.iter().zip(answers(&cluster.manifests(), &queries));
    answered
        .filter_map(|(question, answer)| question.wrong(&answer, cluster))
        .collect()
}

/// One run of the program for all that is asked of one cluster; the manifests are JSON values one after the other.
pub(crate) fn answers(manifests: &str, questions: &[Value]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let (objects, queries) = (directory.path().join("objects"), directory.path().join("queries"));
    fs::create_dir(&objects).unwrap();
    fs::write(objects.join("cluster.json"), manifests).unwrap();
    let mut text = String::new();
    for question in questions {
        writeln!(text, "{question}").unwrap();
    }
    fs::write(&queries, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_headgate"));
    command
        .args(["policy", "check", "--manifests"])
        .arg(&objects)
        .arg("--queries")
        .arg(&queries);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr),
    );
    let answers: Vec<String> = stdout.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), questions.len(), "{}: {stderr}", output.status);
    answers
}

impl Question {
    /// The connection, what was expected and the answer, where they do not fit.
    fn wrong(&self, answer: &str, cluster: &Cluster) -> Option<String> {
        let right = serde_json::from_str(answer).is_ok_and(|answer: Value| match &self.expected {
            Expected::Policies(policies) => answer["policies"] == json!(policies),
            Expected::Cell(cell) => decision(&answer) == Some(*cell) && is_sound(&answer, cluster),
        });
        (!right).then(|| format!("{}: expected {:?}, got {answer}", self.query, self.expected))
    }
}

/// Nothing for what is no answer.
pub(crate) fn decision(answer: &Value) -> Option<Cell> {
    match (answer["allowed"].as_bool(), answer["denied_by"].as_str()) {
        (Some(true), None) => Some(Cell::Allowed),
        (Some(false), Some("egress")) => Some(Cell::DeniedByEgress),
        (Some(false), Some("ingress")) => Some(Cell::DeniedByIngress),
        _ => None,
    }
}

/// Policies that are named exist, a denial has one, and all families of a pod are decided alike.
fn is_sound(answer: &Value, cluster: &Cluster) -> bool {
    let Some(policies) = answer["policies"].as_array() else {
        return false;
    };
    let exists = |name: &Value| name.as_str().is_some_and(|name| cluster.has_policy(name));
    policies.iter().all(exists)
        && (answer["allowed"] == true || !policies.is_empty())
        && answer["addresses"].is_null()
}
