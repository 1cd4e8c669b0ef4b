//! `metav1.LabelSelector`.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::Labels;
use super::invalid::{Invalid, each};
use super::name::{is_label_key, is_label_value};

/// Selects objects by their labels: every requirement must hold; none at all selects everything.
///
/// Requirements and their values are sorted, so that selectors that say the same in another order are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector(Vec<Requirement>);

/// One requirement of `matchLabels` or `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Requirement {
    In(String, Vec<String>),
    /// Holds also where the key is missing.
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    /// Selects all.
    pub const EVERYTHING: Self = Self(Vec::new());

    /// A selector of `matchLabels` alone, as `spec.selector` of a Service is.
    #[must_use]
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Self {
        Self(
            labels
                .iter()
                .map(|(key, value)| Requirement::In(key.clone(), vec![value.clone()]))
                .collect(),
        )
    }

    /// Checks operators and values.
    ///
    /// # Errors
    ///
    /// Names the requirement, relative to the selector.
    pub fn parse(selector: &LabelSelector) -> Result<Self, Invalid> {
        let mut requirements = selector
            .match_labels
            .as_ref()
            .map(Self::of_labels)
            .unwrap_or_default()
            .0;
        let expressions = selector.match_expressions.as_deref().unwrap_or_default();
        requirements.extend(each("matchExpressions", expressions, requirement)?);
        requirements.sort_unstable();
        requirements.dedup();
        Ok(Self(requirements))
    }

    /// Reads what [`fmt::Display`] writes, as `kubectl --selector` takes it (`labels.Parse`, but for `>` and `<`).
    ///
    /// # Errors
    ///
    /// What is no requirement.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            // A comma within brackets stands between values.
            let end = match (rest.find(','), rest.find('(')) {
                (Some(comma), Some(open)) if open < comma => {
                    let close = rest
                        .find(')')
                        .ok_or_else(|| format!("\"{rest}\" has no closing bracket"))?;
                    rest[close..].find(',').map(|at| close + at)
                }
                (comma, _) => comma,
            };
            let (one, more) = end.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
            requirements.push(written(one.trim())?);
            rest = more.trim();
        }
        requirements.sort_unstable();
        requirements.dedup();
        Ok(Self(requirements))
    }

    /// Labels that an object must have to be selected, as far as the selector names such.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|requirement| match requirement {
            Requirement::In(key, values) if values.len() == 1 => Some((key.as_str(), values[0].as_str())),
            _ => None,
        })
    }

    /// The label that is all that the selector asks for.
    #[must_use]
    pub fn only_label(&self) -> Option<(&str, &str)> {
        let mut labels = self.labels();
        if self.0.len() == 1 { labels.next() } else { None }
    }

    /// Whether it has no requirement.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Says every requirement, word by word, so that no two selectors say the same.
    pub fn encode(&self, word: &mut impl FnMut(&str)) {
        for requirement in &self.0 {
            let (operator, key, values) = requirement.parts();
            word(operator);
            word(key);
            word(&values.len().to_string());
            values.iter().for_each(|value| word(value));
        }
    }

    /// Whether every requirement holds for `labels`.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
        })
    }
}

impl Requirement {
    fn parts(&self) -> (&'static str, &str, &[String]) {
        match self {
            Self::In(key, values) => ("In", key, values),
            Self::NotIn(key, values) => ("NotIn", key, values),
            Self::Exists(key) => ("Exists", key, &[]),
            Self::DoesNotExist(key) => ("DoesNotExist", key, &[]),
        }
    }
}

/// As `kubectl --selector` takes it: `app=web,tier in (a,b),!canary`.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            match requirement {
                Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Requirement::NotIn(key, values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Requirement::In(key, values) => write!(f, "{key} in ({})", values.join(","))?,
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", values.join(","))?,
                Requirement::Exists(key) => f.write_str(key)?,
                Requirement::DoesNotExist(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

/// One requirement as text.
fn written(text: &str) -> Result<Requirement, String> {
    let key = |key: &str| match key.trim() {
        key if is_label_key(key) => Ok(key.to_owned()),
        key => Err(format!("\"{key}\" is not the key of a label")),
    };
    let values = |list: &str| {
        let mut values = Vec::new();
        for value in list.split(',').map(str::trim) {
            if !is_label_value(value) {
                return Err(format!("\"{value}\" is not the value of a label"));
            }
            values.push(value.to_owned());
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    };
    if let Some((before, list)) = text.split_once('(') {
        let list = list
            .strip_suffix(')')
            .ok_or_else(|| format!("\"{text}\" has no closing bracket at its end"))?;
        return match before.trim_end().rsplit_once(char::is_whitespace) {
            Some((name, "in")) => Ok(Requirement::In(key(name)?, values(list)?)),
            Some((name, "notin")) => Ok(Requirement::NotIn(key(name)?, values(list)?)),
            _ => Err(format!(
                "\"{text}\" has neither \"in\" nor \"notin\" before its brackets"
            )),
        };
    }
    if let Some((name, value)) = text.split_once("!=") {
        return Ok(Requirement::NotIn(key(name)?, values(value)?));
    }
    if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Requirement::In(key(name)?, values(value)?));
    }
    match text.strip_prefix('!') {
        Some(name) => Ok(Requirement::DoesNotExist(key(name)?)),
        None => Ok(Requirement::Exists(key(text)?)),
    }
}

/// `ValidateLabelSelectorRequirement`, but for the form of the key.
fn requirement(requirement: &LabelSelectorRequirement) -> Result<Requirement, Invalid> {
    let key = requirement.key.clone();
    if key.is_empty() {
        return Err(Invalid::new("key", "must not be empty"));
    }
    let mut values = requirement.values.clone().unwrap_or_default();
    values.sort_unstable();
    values.dedup();
    match (requirement.operator.as_str(), values.is_empty()) {
        ("In", false) => Ok(Requirement::In(key, values)),
        ("NotIn", false) => Ok(Requirement::NotIn(key, values)),
        ("Exists", true) => Ok(Requirement::Exists(key)),
        ("DoesNotExist", true) => Ok(Requirement::DoesNotExist(key)),
        (operator @ ("In" | "NotIn"), true) => Err(Invalid::new(
            "values",
            format!("must not be empty with operator {operator}"),
        )),
        (operator @ ("Exists" | "DoesNotExist"), false) => Err(Invalid::new(
            "values",
            format!("must be empty with operator {operator}"),
        )),
        (other, _) => Err(Invalid::new(
            "operator",
            format!("\"{other}\" is none of In, NotIn, Exists, DoesNotExist"),
        )),
    }
}
