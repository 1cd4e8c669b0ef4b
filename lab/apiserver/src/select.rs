//! Label and field selectors (`k8s.io/apimachinery/pkg/labels`, `fields`).

use serde_json::Value;

use crate::failure::Failure;
use crate::resources::Resource;

/// What a list or watch asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, String, bool)>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl Selector {
    /// Reads the query parameters `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self, Failure> {
        let labels = parse_labels(labels)
            .map_err(|why| Failure::bad_request(format!("unable to parse requirement: {why}")))?;
        let mut selector = Selector {
            labels,
            fields: Vec::new(),
        };
        for term in fields.split(',').map(str::trim).filter(|term| !term.is_empty()) {
            selector.fields.push(parse_field(resource, term)?);
        }
        Ok(selector)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The name that it asks for, if it asks for one only: what an authorizer sees.
    pub(crate) fn name(&self) -> Option<&str> {
        let named = |(field, value, equal): &&(String, String, bool)| {
            field == "metadata.name" && *equal && !value.is_empty()
        };
        self.fields.iter().find(named).map(|(_, value, _)| value.as_str())
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels
            .iter()
            .all(|one| one.matches(labels[&one.key].as_str()))
            && self
                .fields
                .iter()
                .all(|(field, value, equal)| (text_at(object, field) == *value) == *equal)
    }
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        let number = value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Test::Above(bound) => number.is_some_and(|number| number > *bound),
            Test::Below(bound) => number.is_some_and(|number| number < *bound),
        }
    }
}

/// A field as a field selector sees it: missing ones are empty.
fn text_at(object: &Value, path: &str) -> String {
    let value = path.split('.').fold(object, |value, key| &value[key]);
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// The fields that selectors may name, by kind; name and namespace always.
fn fields_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "Secret" => &["type"],
        "Namespace" => &["status.phase"],
        "Node" => &["spec.unschedulable"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        _ => &[],
    }
}

fn parse_field(resource: &Resource, term: &str) -> Result<(String, String, bool), Failure> {
    let (field, value, equal) = if let Some((field, value)) = term.split_once("!=") {
        (field, value, false)
    } else if let Some((field, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (field, value, true)
    } else {
        return Err(Failure::bad_request(format!(
            "invalid selector: {term:?}; can't understand {term:?}"
        )));
    };
    let known = field == "metadata.name" || (field == "metadata.namespace" && resource.namespaced);
    if !known && !fields_of(&resource.kind).contains(&field) {
        return Err(Failure::bad_request(format!(
            "field label not supported: {field}"
        )));
    }
    Ok((
        field.to_owned(),
        value.replace("\\,", ",").replace("\\=", "="),
        equal,
    ))
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    split_outside(text)
        .into_iter()
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .map(parse_label)
        .collect()
}

/// Splits at commas outside of parentheses.
fn split_outside(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0_i32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn parse_label(term: &str) -> Result<Requirement, String> {
    let of = |key: &str, test: Test| {
        is_key(key.trim()).map(|()| Requirement {
            key: key.trim().to_owned(),
            test,
        })
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some(key) = term.strip_prefix('!') {
        return of(key, Test::Missing);
    }
    if let Some((key, set)) = term.split_once(" notin ") {
        return of(key, Test::NotIn(parse_set(set)?));
    }
    if let Some((key, set)) = term.split_once(" in ") {
        return of(key, Test::In(parse_set(set)?));
    }
    if let Some((key, value)) = term.split_once("!=") {
        return of(key, Test::NotIn(one(value)));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return of(key, Test::In(one(value)));
    }
    let number = |value: &str| {
        value
            .trim()
            .parse()
            .map_err(|_| format!("{value:?} is no number"))
    };
    if let Some((key, value)) = term.split_once('>') {
        return of(key, Test::Above(number(value)?));
    }
    if let Some((key, value)) = term.split_once('<') {
        return of(key, Test::Below(number(value)?));
    }
    of(term, Test::Exists)
}

fn parse_set(text: &str) -> Result<Vec<String>, String> {
    let inside = text
        .trim()
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let inside = inside.ok_or_else(|| format!("found {text:?}, expected: '(' and ')'"))?;
    Ok(inside.split(',').map(|value| value.trim().to_owned()).collect())
}

fn is_key(key: &str) -> Result<(), String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !key.is_empty() && key.chars().all(letter) {
        Ok(())
    } else {
        Err(format!("invalid label key {key:?}"))
    }
}

/// Whether labels fit a `metav1.LabelSelector`; an empty one fits all.
pub(crate) fn matches_selector(selector: &Value, labels: &Value) -> bool {
    let mut equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.all(|(key, value)| labels[key] == *value)
        && expressions.all(|one| {
            let values = one["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let test = match one["operator"].as_str() {
                Some("In") => Test::In(values),
                Some("NotIn") => Test::NotIn(values),
                Some("Exists") => Test::Exists,
                _ => Test::Missing,
            };
            let key = one["key"].as_str().unwrap_or_default();
            Requirement {
                key: key.to_owned(),
                test,
            }
            .matches(labels[key].as_str())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Selector;
    use crate::profile::Age;
    use crate::resources::{Resource, built_in};

    fn of(kind: &str) -> Resource {
        built_in(Age::default())
            .into_iter()
            .find(|r| r.kind == kind)
            .expect("a kind of the server")
    }

    fn select(labels: &str, fields: &str) -> bool {
        let pod = json!({
            "metadata": {"name": "a", "namespace": "b", "labels": {"app": "web", "tier/x": "1"}},
            "spec": {"nodeName": "n1"}, "status": {"phase": "Running"},
        });
        Selector::parse(&of("Pod"), labels, fields)
            .expect("a selector")
            .matches(&pod)
    }

    #[test]
    fn labels_are_selected_by_each_operator() {
        let yes = [
            "",
            "app",
            "!other",
            "app=web",
            "app==web",
            "app!=api",
            "app in (api, web)",
            "app notin (x,y)",
            "other!=1",
            "app=web,tier/x in (1)",
            "tier/x>0",
            "tier/x<2",
        ];
        let no = [
            "other",
            "!app",
            "app=api",
            "app!=web",
            "app in (api)",
            "app notin (web)",
            "app=web,other",
            "tier/x>1",
        ];
        yes.iter().for_each(|text| assert!(select(text, ""), "{text}"));
        no.iter().for_each(|text| assert!(!select(text, ""), "{text}"));
    }

    #[test]
    fn fields_are_selected() {
        assert!(select(
            "",
            "metadata.name=a,metadata.namespace==b,spec.nodeName=n1,status.phase!=Failed"
        ));
        assert!(!select("", "metadata.name=b"));
        assert!(select("", "status.podIP="));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (labels, fields) in [
            ("a in b", ""),
            ("a b", ""),
            ("=x", ""),
            ("", "spec.replicas=1"),
            ("", "metadata.name"),
        ] {
            let refused = Selector::parse(&of("Pod"), labels, fields);
            assert_eq!(
                refused.expect_err("a bad selector").code,
                400,
                "{labels} {fields}"
            );
        }
    }
}
