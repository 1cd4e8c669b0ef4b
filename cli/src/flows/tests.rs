use clap::Parser;

use super::*;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: FlowsOptions,
}

fn options(flags: &str) -> Result<FlowsOptions, String> {
    let words = ["flows"].into_iter().chain(flags.split_whitespace());
    let program = Program::try_parse_from(words);
    program
        .map(|program| program.options)
        .map_err(|error| error.to_string())
}

const DENIED: &str = r#"{"type":"flow","time":"2026-05-01T12:00:00.000001Z","verdict":"denied","event":"new","layer":"L4",
"protocol":"TCP","source":{"address":"192.0.2.7","port":40000,"namespace":null,"pod":null,"node":null,"others":0,"labels":{}},
"frontend":{"address":"198.51.100.10","port":80},"destination":{"address":"10.244.1.10","port":8080,"namespace":"shop",
"pod":"web-1","node":null,"others":0,"labels":{"app":"web"}},"denied_by":"ingress","policies":["shop/web"],
"reason":"no-rule-matches","egress":null,"ingress":{"allowed":false,"policy":"shop/web","tier":"NetworkPolicy","rule":null,
"rule_name":null,"reason":"no-rule-matches"},"policies_changed":false,"publication":3,"worker":0,"count":7,"sample":1}"#;

fn shown(lines: &str, format: FlowsFormat) -> String {
    let mut out = Vec::new();
    print(lines.as_bytes(), &mut out, format).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_denial_in_one_line() {
    let line = DENIED.replace('\n', "");
    assert_eq!(
        shown(&line, FlowsFormat::Text),
        "2026-05-01T12:00:00.000001Z denied  TCP  192.0.2.7:40000 -> shop/web-1 10.244.1.10:8080 by 198.51.100.10:80: \
         ingress policy shop/web, no rule matches (7 times)\n"
    );
    assert_eq!(shown(&line, FlowsFormat::Json), line + "\n");
}

#[test]
fn what_a_newer_gateway_says_is_passed_on_or_passed_over() {
    let newer = r#"{"type":"weather","sky":"blue"}"#;
    assert_eq!(shown(newer, FlowsFormat::Text), "");
    assert_eq!(shown(newer, FlowsFormat::Json), format!("{newer}\n"));
    let more = DENIED
        .replace('\n', "")
        .replace(r#""type":"flow""#, r#""type":"flow","mood":1"#);
    assert!(shown(&more, FlowsFormat::Text).contains("shop/web-1"));
}

#[test]
fn losses_are_told() {
    let lost = r#"{"type":"lost","time":"2026-05-01T12:00:00.000001Z","reason":"slow-reader","count":12}"#;
    assert!(shown(lost, FlowsFormat::Text).contains("12 decisions are not shown: this reader"));
}

#[test]
fn a_refusal_is_an_error() {
    let refusal = r#"{"type":"error","message":"too many readers"}"#;
    let error = print(refusal.as_bytes(), &mut Vec::new(), FlowsFormat::Text).unwrap_err();
    assert_eq!(error.to_string(), "too many readers");
}

#[test]
fn flags_make_a_question() {
    let flags = "--follow --verdict denied --from shop --to shop/web-1 --to 10.0.0.7/8 --port 80 --protocol tcp \
                 --policy shop/web --label app=web --label tier";
    let query = options(flags).unwrap().query();
    let expected = r#"{"last":0,"follow":true,"filter":{"verdict":"denied","from":["shop"],"to":["shop/web-1","10.0.0.0/8"],
"ports":[80],"protocols":["TCP"],"policies":["shop/web"],"labels":["app=web","tier"]}}"#;
    assert_eq!(serde_json::to_string(&query).unwrap(), expected.replace('\n', ""));
    assert_eq!(options("").unwrap().query().last, Some(20));
}

#[test]
fn wrong_filters_say_what_is_right() {
    for (flags, expected) in [
        ("--from a/b/c", "namespace/pod, a namespace, an address or a CIDR"),
        (
            "--to 10.0.0.0/33",
            "namespace/pod, a namespace, an address or a CIDR",
        ),
        ("--label =web", "a label such as app=web"),
        ("--port 0", "1..=65535"),
        ("--verdict maybe", "allowed, denied"),
    ] {
        let error = options(flags).unwrap_err();
        assert!(error.contains(expected), "{flags} gave {error}");
    }
}

#[test]
fn without_a_gateway_the_error_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let flags = format!("--run-dir {}", directory.path().display());
    let error = format!("{:#}", run(&options(&flags).unwrap()).unwrap_err());
    assert!(
        error.contains("headgate run") && error.contains("flows.sock"),
        "{error}"
    );
}
