//! What others make of both formats: the parsers of Prometheus' own client for Python, which know nothing of this program.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::*;

/// Prints what the parser of a format finds in an exposition, as JSON.
const SCRIPT: &str = "
import json, sys
if sys.argv[1] == 'open':
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
else:
    from prometheus_client.parser import text_string_to_metric_families as parse
sys.stdin.reconfigure(encoding='utf-8', newline='\\n')
print(json.dumps([
    [f.name, f.type, f.documentation, f.unit, [[s.name, s.labels, str(s.value)] for s in f.samples]]
    for f in parse(sys.stdin.read())
]))
";

/// Name, type, help, unit and samples.
#[derive(Deserialize)]
struct Found(String, String, String, String, Vec<FoundSample>);

/// Name, labels and value.
#[derive(Deserialize)]
struct FoundSample(String, BTreeMap<String, String>, String);

/// A Python that has the client: that of the system, or another that comes first. `None` where there is none, which CI may
/// not have.
fn python() -> Option<&'static str> {
    let has_it = |python: &&str| {
        let import = ["-c", "import prometheus_client.openmetrics.parser"];
        let mut command = Command::new(python);
        let imported = command.args(import).stderr(Stdio::null()).status();
        imported.is_ok_and(|status| status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(has_it);
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "no python3 has prometheus_client: scripts/setup installs it"
        );
    }
    found
}

fn parse(python: &str, text: &str, format: Format) -> Vec<Found> {
    let name = if format == Format::OpenMetrics {
        "open"
    } else {
        "plain"
    };
    let mut parser = Command::new(python)
        .args(["-c", SCRIPT, name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = parser.stdin.take().unwrap();
    let text = text.to_owned();
    // It reads all before it writes.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = parser.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{name}: its parser refuses it");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn prometheus_own_parsers_read_what_was_meant() {
    let Some(python) = python() else { return };
    let families = families(&status(), &[]);
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = format.render(&families);
        let ours = Parsed::parse(&text, format).unwrap();
        let theirs = parse(python, &text, format);
        let shown: Vec<_> = families.iter().filter(|f| !f.samples.is_empty()).collect();
        assert_eq!(theirs.len(), shown.len(), "{format:?}");
        let mut samples = 0;
        for (Found(name, kind, help, unit, found), family) in theirs.iter().zip(shown) {
            assert_eq!(
                (name, kind.as_str()),
                (&family.name, family.kind.name()),
                "{format:?}"
            );
            assert_eq!(help, &family.help, "{name}");
            if format == Format::OpenMetrics {
                assert_eq!(unit, family.unit.unwrap_or_default(), "{name}");
            }
            for FoundSample(name, labels, value) in found {
                let labels: Vec<_> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let value: f64 = value.parse().unwrap();
                assert_eq!(ours.value(name, &labels), Some(value), "{name} {labels:?}");
                samples += 1;
            }
        }
        assert!(samples > 200, "{samples}");
        assert_eq!(samples, ours.len());
    }
}

/// Names of objects are checked before; label values hold whatever comes.
#[test]
fn odd_label_values_come_back_whole() {
    let Some(python) = python() else { return };
    let odd = [
        "",
        "\\",
        "\\n",
        "\n",
        "\"",
        "a\\\"b",
        "\t{},=#",
        "\u{0}\u{1}\u{7f}",
        "日本 \u{85}\u{2028}é",
        "# EOF",
    ];
    let mut family = Family::new(
        "odd",
        FamilyKind::Gauge,
        "Odd \\ \" # \\n values",
        &["value", "number"],
    );
    for (number, value) in odd.iter().enumerate() {
        family.add(&[value, &number.to_string()], Value::Integer(number as u64));
    }
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = format.render(std::slice::from_ref(&family));
        let theirs = parse(python, &text, format);
        assert_eq!(theirs[0].2, family.help, "{format:?}");
        let values: Vec<_> = theirs[0]
            .4
            .iter()
            .map(|sample| sample.1["value"].as_str())
            .collect();
        assert_eq!(values, odd, "{format:?}");
    }
}
