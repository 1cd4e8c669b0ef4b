use serde_json::json;

use super::{Message, decode};

fn envelope(kind: &str, raw: &Message) -> Vec<u8> {
    let head = Message::default()
        .text(1, "authorization.k8s.io/v1")
        .text(2, kind);
    let message = Message::default().message(1, &head).message(2, raw);
    [b"k8s\0".to_vec(), message.into_bytes()].concat()
}

#[test]
fn a_review_is_read() {
    let attributes = Message::default()
        .text(1, "default")
        .text(2, "list")
        .text(5, "secrets")
        .text(9, "passed over");
    let spec = Message::default()
        .message(1, &attributes)
        .text(4, "a")
        .text(4, "b");
    let bytes = envelope("SelfSubjectAccessReview", &Message::default().message(2, &spec));
    let expected = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"namespace": "default", "verb": "list", "resource": "secrets"}, "groups": ["a", "b"]},
    });
    assert_eq!(decode(&bytes), Some(expected));
}

#[test]
fn what_is_no_message_is_none() {
    let whole = envelope("DeleteOptions", &Message::default().text(5, "All"));
    assert_eq!(
        decode(&whole).map(|options| options["dryRun"].clone()),
        Some(json!(["All"]))
    );
    for cut in 0..whole.len() {
        // Cut short, it may be a shorter message, and must not be anything worse.
        let _ = decode(&whole[..cut]);
    }
    assert_eq!(decode(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    assert_eq!(decode(b"{}"), None);
    assert_eq!(decode(&envelope("Pod", &Message::default())), None);
}

#[test]
fn maps_of_texts_and_bytes_are_read() {
    let pair = |key: &str, value: &str| Message::default().text(1, key).text(2, value);
    let metadata = Message::default().text(1, "s").message(11, &pair("a", "b"));
    let secret = Message::default()
        .message(1, &metadata)
        .message(2, &pair("k", "v"))
        .message(2, &pair("l", "w"))
        .text(3, "Opaque");
    let read = decode(&envelope("Secret", &secret)).expect("a secret");
    assert_eq!(read["data"], json!({"k": "dg==", "l": "dw=="}));
    assert_eq!(
        (&read["metadata"], &read["type"]),
        (&json!({"name": "s", "labels": {"a": "b"}}), &json!("Opaque"))
    );
}
