use super::*;
use crate::model::Kind;

fn ingress(name: &str) -> Id {
    Id {
        kind: Kind::Ingress,
        name: crate::model::ObjectName::new("shop", name),
    }
}

#[test]
fn few_of_one_cause_have_a_line_each() {
    let problems: Vec<_> = ["a", "b", "c"]
        .map(|name| Problem::error(ingress(name), "no class"))
        .into();
    let expected = ["a", "b", "c"].map(|name| (Severity::Error, format!("Ingress shop/{name}: no class")));
    assert_eq!(lines(&problems), expected);
}

#[test]
fn many_of_one_cause_are_one_line() {
    let mut problems = vec![Problem::error(ingress("x"), "another thing")];
    problems.extend((0..500).map(|number| Problem::error(ingress(&format!("i-{number}")), "no class")));
    // The same words, but less of a matter.
    problems.push(Problem::warning(ingress("y"), "no class"));
    let expected = [
        (Severity::Error, "Ingress shop/x: another thing"),
        (
            Severity::Error,
            "Ingress shop/i-0, Ingress shop/i-1, Ingress shop/i-2 and 497 others: no class",
        ),
        (Severity::Warning, "Ingress shop/y: no class"),
    ];
    assert_eq!(
        lines(&problems),
        expected.map(|(severity, line)| (severity, line.to_owned()))
    );
}

#[test]
fn files_and_control_characters_of_many_are_as_of_one() {
    let problem = |line| Problem {
        origin: Some(Origin::File {
            path: Path::new("a.yaml").into(),
            line: Some(line),
        }),
        ..Problem::error(ingress("a"), "two\nlines")
    };
    let expected =
        "a.yaml:1: Ingress shop/a, a.yaml:2: Ingress shop/a, a.yaml:3: Ingress shop/a and 1 other: two lines";
    assert_eq!(
        lines(&[1, 2, 3, 4].map(problem)),
        [(Severity::Error, expected.to_owned())]
    );
}
