//! From a file's bytes to the values of its objects.

mod encoding;
mod strict;
#[cfg(test)]
mod tests;

use serde_json::Value;
use serde_saphyr::{Budget, DuplicateKeyPolicy, MessageFormatter, Options, Spanned, UserMessageFormatter};
use strict::Strict;

/// One object, not yet checked.
#[derive(Debug, PartialEq)]
pub struct Document {
    /// Where it begins, from 1; for an item of a `List` where the list begins.
    pub line: u64,
    /// The object.
    pub value: Value,
}

/// Why a file cannot be read as a whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// From 1, where it is known.
    pub line: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

/// The syntax that a file's name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// `.yaml`, `.yml`: documents between `---`.
    Yaml,
    /// `.json`: values one after the other.
    Json,
}

/// The objects of a file in their order, `List` kinds taken apart, empty documents left out.
///
/// # Errors
///
/// What makes the file unreadable; then none of its objects can be trusted to be whole.
pub fn decode(bytes: &[u8], syntax: Syntax) -> Result<Vec<Document>, Unreadable> {
    let text = encoding::text(bytes)?;
    let documents = match syntax {
        Syntax::Yaml if text.trim_start().starts_with('{') => yaml_or_json(&text)?,
        Syntax::Yaml => yaml(&text)?,
        Syntax::Json => json(&text)?,
    };
    let mut flat = Vec::with_capacity(documents.len());
    for mut document in documents {
        whole_numbers(&mut document.value);
        flatten(document, &mut flat, 0);
    }
    Ok(flat)
}

/// Like kubectl, which takes what begins with a brace for JSON, and for YAML where it is not that.
fn yaml_or_json(text: &str) -> Result<Vec<Document>, Unreadable> {
    json(text).or_else(|_| yaml(text))
}

/// `80.0` is `80` for Kubernetes, which makes JSON of YAML, and of a whole number one without a point.
fn whole_numbers(value: &mut Value) {
    /// Up to here each whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < EXACT);
            if let Some(whole) = whole {
                *number = (whole as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

fn yaml(text: &str) -> Result<Vec<Document>, Unreadable> {
    let documents = serde_saphyr::from_multiple_with_options::<Spanned<Value>>(text, options());
    let documents = documents.map_err(|e| {
        let reason = UserMessageFormatter
            .format_message(e.without_snippet())
            .into_owned();
        Unreadable {
            line: e.location().map(|l| l.line()),
            reason,
        }
    })?;
    let document = |d: Spanned<Value>| Document {
        line: d.referenced.line(),
        value: d.value,
    };
    Ok(documents.into_iter().map(document).collect())
}

/// Strict where leniency would hide a mistake: a key given twice is an error. The limits leave room for a few ten
/// thousand objects in a file; those on aliases, which could make much of little, stay as they are.
fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_documents = 100_000;
    budget.max_nodes = 10_000_000;
    budget.max_events = 20_000_000;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.with_snippet = false;
    options
}

fn json(text: &str) -> Result<Vec<Document>, Unreadable> {
    let mut documents = Vec::new();
    // Lines are counted on from the last document: from the top each time would cost the square of the file.
    let (mut rest, mut line) = (text, 1);
    loop {
        // Files that were put together have a mark in front of each.
        let value = rest.trim_start_matches(|c: char| c.is_whitespace() || c == encoding::MARK);
        line += newlines(&rest[..rest.len() - value.len()]);
        let mut stream = serde_json::Deserializer::from_str(value).into_iter::<Strict>();
        match stream.next() {
            None => return Ok(documents),
            Some(Ok(Strict(Value::Null))) => {}
            Some(Ok(Strict(value))) => documents.push(Document { line, value }),
            Some(Err(e)) => {
                return Err(Unreadable {
                    line: Some(line + e.line() as u64 - 1),
                    reason: json_reason(&e),
                });
            }
        }
        let read = stream.byte_offset();
        line += newlines(&value[..read]);
        rest = &value[read..];
    }
}

fn newlines(text: &str) -> u64 {
    text.bytes().filter(|b| *b == b'\n').count() as u64
}

/// The error without its position, which stands in front of the line.
fn json_reason(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// Lists may hold lists, but nobody nests them deeper than this.
const LIST_DEPTH: u8 = 4;

/// `kind: List`, and `kind: PodList` and its like, of which the items may leave out kind and apiVersion.
fn flatten(mut document: Document, out: &mut Vec<Document>, depth: u8) {
    let kind = document.value["kind"].as_str().unwrap_or_default();
    let item_kind = kind.strip_suffix("List").map(str::to_owned);
    let (Some(item_kind), true, true) = (item_kind, document.value["items"].is_array(), depth < LIST_DEPTH)
    else {
        out.push(document);
        return;
    };
    let version = document.value["apiVersion"].take();
    let Value::Array(items) = document.value["items"].take() else {
        return;
    };
    for mut value in items {
        if let (Value::Object(fields), false) = (&mut value, item_kind.is_empty()) {
            fields
                .entry("kind")
                .or_insert_with(|| Value::String(item_kind.clone()));
            fields.entry("apiVersion").or_insert_with(|| version.clone());
        }
        flatten(
            Document {
                line: document.line,
                value,
            },
            out,
            depth + 1,
        );
    }
}

impl Syntax {
    /// By the file's extension; `None` for files that are no manifests.
    #[must_use]
    pub fn of(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}
