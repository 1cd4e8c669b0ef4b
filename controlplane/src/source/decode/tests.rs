use proptest::prelude::*;
use serde_json::json;

use super::*;

fn yaml_values(text: &str) -> Vec<(u64, Value)> {
    let documents = decode(text.as_bytes(), Syntax::Yaml).unwrap();
    documents.into_iter().map(|d| (d.line, d.value)).collect()
}

fn json_values(text: &str) -> Vec<(u64, Value)> {
    let documents = decode(text.as_bytes(), Syntax::Json).unwrap();
    documents.into_iter().map(|d| (d.line, d.value)).collect()
}

/// `line: reason`.
fn refusal(bytes: &[u8], syntax: Syntax) -> String {
    let e = decode(bytes, syntax).unwrap_err();
    e.line
        .map_or(e.reason.clone(), |line| format!("{line}: {}", e.reason))
}

#[test]
fn documents() {
    assert_eq!(
        yaml_values("---\n---\na: 1\n...\n---\n# nothing\n---\nb: [x]\n"),
        [(3, json!({"a": 1})), (8, json!({"b": ["x"]}))]
    );
    assert_eq!(yaml_values(""), []);
    assert_eq!(yaml_values("\u{feff}a: b"), [(1, json!({"a": "b"}))]);
    assert_eq!(
        yaml_values("x: &a {b: 1}\ny: {<<: *a, c: 2}"),
        [(1, json!({"x": {"b": 1}, "y": {"b": 1, "c": 2}}))]
    );
    assert_eq!(
        json_values("{\"a\": 1}\n\n {\"b\": [true, null, 1.5, -1]} null"),
        [(1, json!({"a": 1})), (3, json!({"b": [true, null, 1.5, -1]}))]
    );
}

#[test]
fn words_for_yes_are_booleans_as_in_kubernetes() {
    assert_eq!(
        yaml_values("a: yes\nb: off\nc: 'yes'\nd: null\ne: ~"),
        [(
            1,
            json!({"a": true, "b": false, "c": "yes", "d": null, "e": null})
        )]
    );
}

#[test]
fn broken_yaml() {
    for (text, reason) in [
        ("kind: [", "1: unclosed bracket '['"),
        ("a: b: c", "1: mapping values are not allowed in this context"),
        (
            "a:\n\t- b",
            "2: tabs disallowed within this context (block indentation)",
        ),
        ("a: 'b", "1: unclosed quote"),
        ("a: b\na: c", "2: duplicate mapping key `a` is not allowed here"),
        (
            "- a\nb: c",
            "2: while parsing a block collection, did not find expected '-' indicator",
        ),
        ("a: *x", "1: reference to unknown value"),
        ("a: {{ .Values.x }}", "1: expected string scalar"),
        ("a: |\n x\nb", "3: simple key expected ':'"),
        ("a: \u{7}", "1: unexpected character: `\\u{7}'"),
    ] {
        assert_eq!(refusal(text.as_bytes(), Syntax::Yaml), reason, "{text:?}");
    }
    assert_eq!(refusal(b"a: b\nc: \xff", Syntax::Yaml), "2: is not UTF-8 text");
    assert_eq!(
        refusal("[".repeat(100_000).as_bytes(), Syntax::Yaml),
        "1: recursion limit exceeded"
    );
}

#[test]
fn broken_json() {
    for (text, reason) in [
        ("{\"a\": 1", "1: EOF while parsing an object"),
        ("{}\nnul", "2: EOF while parsing a value"),
        ("[1] ]", "1: expected value"),
        ("{\"a\": 1,\n \"a\": 2}", "2: duplicate key `a`"),
    ] {
        assert_eq!(refusal(text.as_bytes(), Syntax::Json), reason, "{text:?}");
    }
    assert_eq!(
        refusal("[".repeat(100_000).as_bytes(), Syntax::Json),
        "1: recursion limit exceeded"
    );
}

#[test]
fn aliases_do_not_multiply() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let many = vec![format!("*a{}", i - 1); 9].join(", ");
        text += &format!("a{i}: &a{i} [{many}]\n");
    }
    assert!(decode(text.as_bytes(), Syntax::Yaml).is_err());
}

#[test]
fn a_file_may_hold_thousands_of_documents() {
    let text: String = (0..3_000).map(|i| format!("---\na: {i}\n")).collect();
    assert_eq!(yaml_values(&text).len(), 3_000);
}

#[test]
fn lists_are_taken_apart() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- {kind: A}\n- {kind: List, items: [{kind: B}]}\n- 1\n";
    assert_eq!(
        yaml_values(list),
        [
            (1, json!({"kind": "A"})),
            (1, json!({"kind": "B"})),
            (1, json!(1))
        ]
    );
    let list = "apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}}, {apiVersion: v2, kind: X}]";
    let items = [
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}),
        json!({"apiVersion": "v2", "kind": "X"}),
    ];
    assert_eq!(
        yaml_values(list).into_iter().map(|(_, v)| v).collect::<Vec<_>>(),
        items
    );
    assert_eq!(
        yaml_values("kind: List\nitems:"),
        [(1, json!({"kind": "List", "items": null}))]
    );
}

#[test]
fn names_of_files() {
    let of = |name: &str| Syntax::of(std::path::Path::new(name));
    assert_eq!(of("a.yaml"), Some(Syntax::Yaml));
    assert_eq!(of("b/a.yml"), Some(Syntax::Yaml));
    assert_eq!(of("a.json"), Some(Syntax::Json));
    assert_eq!(of("a.yaml~"), None);
    assert_eq!(of("yaml"), None);
}

proptest! {
    #[test]
    fn any_bytes_are_documents_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for syntax in [Syntax::Yaml, Syntax::Json] {
            let _ = decode(&bytes, syntax);
        }
    }
}

#[test]
fn each_document_of_a_stream_knows_its_line() {
    let text = "{\"a\": 1}\n\n{\n\"b\": 2}  {\"c\": 3}\nnull\n  {\"d\": 4}\n";
    let lines: Vec<u64> = decode(text.as_bytes(), Syntax::Json)
        .unwrap()
        .iter()
        .map(|d| d.line)
        .collect();
    assert_eq!(lines, [1, 3, 4, 6]);
}

/// A text as UTF-16 with its mark.
fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    "\u{feff}"
        .encode_utf16()
        .chain(text.encode_utf16())
        .flat_map(bytes)
        .collect()
}

#[test]
fn byte_order_marks_are_read_in_both_syntaxes() {
    for (text, syntax) in [
        ("{\"a\": \"é\"}\n{\"b\": 2}", Syntax::Json),
        ("a: é\n---\nb: 2\n", Syntax::Yaml),
        ("---\na: é\n---\nb: 2\n", Syntax::Yaml),
        ("# comment\r\na: é\r\n---\r\nb: 2\r\n", Syntax::Yaml),
    ] {
        let plain = decode(text.as_bytes(), syntax).unwrap();
        assert_eq!(plain.len(), 2);
        for bytes in [
            format!("\u{feff}{text}").into_bytes(),
            utf16(text, u16::to_le_bytes),
            utf16(text, u16::to_be_bytes),
        ] {
            assert_eq!(decode(&bytes, syntax).as_ref(), Ok(&plain), "{text:?}");
        }
    }
}

#[test]
fn marks_where_files_were_put_together() {
    assert_eq!(
        json_values("{\"a\": 1}\n\u{feff}{\"b\": 2}\u{feff}\n{\"c\": 3}"),
        [(1, json!({"a": 1})), (2, json!({"b": 2})), (3, json!({"c": 3}))]
    );
    assert_eq!(
        yaml_values("a: 1\n---\n\u{feff}b: 2\n\u{feff}---\nc: 3\n"),
        [(1, json!({"a": 1})), (3, json!({"b": 2})), (5, json!({"c": 3}))]
    );
    assert_eq!(json_values("\u{feff}"), []);
    assert_eq!(yaml_values("\u{feff}"), []);
}

#[test]
fn a_mark_inside_of_a_text_stays() {
    assert_eq!(yaml_values("a: x\u{feff}y"), [(1, json!({"a": "x\u{feff}y"}))]);
}

#[test]
fn other_encodings_are_told() {
    let mut half = utf16("a: b\nc: d", u16::to_le_bytes);
    half.pop();
    let broken = "is not UTF-16 text, as its byte order mark says";
    assert_eq!(refusal(&half, Syntax::Yaml), format!("2: {broken}"));
    assert_eq!(
        refusal(&[0xfe, 0xff, 0xd8, 0, 0, b'a'], Syntax::Json),
        format!("1: {broken}")
    );
    assert_eq!(
        refusal(&[0, 0, 0xfe, 0xff, 0, 0, 0, b'a'], Syntax::Yaml),
        "1: is UTF-32 text, which is not read"
    );
}

#[test]
fn json_in_a_file_of_yaml_and_whole_numbers() {
    assert_eq!(
        yaml_values(" {\"a\": 80.0}\n{\"b\": [-1.0, 0.5, 1e300]}\n"),
        [(1, json!({"a": 80})), (2, json!({"b": [-1, 0.5, 1e300]}))]
    );
    assert_eq!(
        yaml_values("{a: b}\n---\nc: 8e1"),
        [(1, json!({"a": "b"})), (3, json!({"c": 80}))]
    );
}
