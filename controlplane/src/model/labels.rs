//! Labels of objects.

use std::collections::BTreeMap;
use std::sync::Arc;

/// `metadata.labels`, sorted by key. Shared by the objects that have the same ones, as the pods of a Deployment do: there
/// may be tens of thousands of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Arc<[(String, String)]>);

impl Labels {
    /// Those of an object's metadata.
    #[must_use]
    pub fn of(labels: Option<&BTreeMap<String, String>>) -> Self {
        let labels = labels.into_iter().flatten();
        labels.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The value at a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&String> {
        let at = self
            .0
            .binary_search_by(|(other, _)| other.as_str().cmp(key))
            .ok()?;
        Some(&self.0[at].1)
    }

    /// Whether there is a label with this key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The same with this label.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        let others = self.0.iter().filter(|(other, _)| other != key).cloned();
        others.chain([(key.to_owned(), value.to_owned())]).collect()
    }

    /// Takes the list of another, where that says the same.
    pub(crate) fn share(&mut self, other: &Self) {
        if self == other {
            self.0 = other.0.clone();
        }
    }
}

/// Of labels with the same key the last counts.
impl FromIterator<(String, String)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(labels: I) -> Self {
        let sorted: BTreeMap<String, String> = labels.into_iter().collect();
        if sorted.is_empty() {
            return Self::default();
        }
        let exact = |mut text: String| {
            text.shrink_to_fit();
            text
        };
        Self(
            sorted
                .into_iter()
                .map(|(key, value)| (exact(key), exact(value)))
                .collect(),
        )
    }
}
