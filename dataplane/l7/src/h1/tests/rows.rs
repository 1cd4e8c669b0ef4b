//! The requests at the edge of the grammar, without a network.

#[allow(dead_code, reason = "some of it is for tests that send requests")]
#[path = "../../../../../cli/tests/framing/table.rs"]
mod table;

use crate::h1::body::BodyReader;
use crate::h1::{Fields, request};

/// Requests that are whole, each as method, target and body, and the status of what is refused.
fn read(mut bytes: &[u8]) -> (Vec<String>, Option<u16>) {
    let mut whole = Vec::new();
    loop {
        let mut fields = Fields::new();
        let (head, length) = match request::parse(bytes, &mut fields) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return (whole, None),
            Err(refused) => return (whole, Some(refused.status.as_u16())),
        };
        let query = head
            .target
            .query
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let line = format!("{} {}{query}", head.method, head.target.path);
        let (mut reader, mut body, mut trailers) = (BodyReader::new(head.framing), Vec::new(), Vec::new());
        bytes = &bytes[length..];
        while !reader.is_done() {
            if bytes.is_empty() {
                return (whole, None);
            }
            let Ok(piece) = reader.next(bytes, &mut trailers) else {
                return (whole, Some(400));
            };
            body.extend_from_slice(&bytes[piece.skip..piece.skip + piece.length]);
            bytes = &bytes[piece.skip + piece.length..];
        }
        // As the pod of the table tells it.
        let line = line.as_bytes().escape_ascii().to_string();
        let line = line.replace("\\\"", "\\x22").replace('|', "\\x7c");
        whole.push(format!("{line} {:?}", String::from_utf8_lossy(&body)));
    }
}

#[test]
fn what_is_whole_for_a_pod_is_whole_here_and_what_is_refused_here_is_answered_so() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for (page, text) in table::REQUESTS {
        for row in table::rows(text).unwrap() {
            rows += 1;
            let (whole, refused) = read(&row.bytes());
            let mut left = whole.iter();
            for got in &row.ours.pod {
                // What is long the pod tells the begin of.
                let (got, cut) = match got.split_once('…') {
                    Some((begin, _)) => (begin, true),
                    None => (got.as_str(), false),
                };
                let mut words = got.split(' ');
                let line = format!(
                    "{} {}",
                    words.next().unwrap_or_default(),
                    words.next().unwrap_or_default()
                );
                let body = got
                    .split_once('"')
                    .map(|(_, rest)| rest.split('"').next().unwrap_or_default());
                let is = |text: &&String| {
                    let ends = |body| text.ends_with(&format!(" \"{body}\""));
                    let begins = text.strip_prefix(line.trim_end());
                    cut && begins.is_some()
                        || begins.is_some_and(|rest| rest.starts_with(' ')) && body.is_none_or(ends)
                };
                if !left.any(|text| is(&text)) {
                    wrong.push(format!("{page}: {}: {got:?} of {whole:.300?}", row.name));
                }
            }
            // The preface of HTTP/2 is answered in HTTP/2.
            if let Some(status) = refused.filter(|_| row.ours.answers != ["headless"]) {
                let answered = row.ours.answers.last().map(String::as_str);
                // Where an answer before it closes the connection nobody looks at what is refused.
                let closed = row.ours.answers.len() <= whole.len();
                if !closed && answered != Some(&*status.to_string()) {
                    wrong.push(format!("{page}: {}: {status}, {:?}", row.name, row.ours.answers));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows > 400, "there are {rows} rows");
}
