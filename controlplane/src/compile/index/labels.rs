//! Things by labels.

use foldhash::HashMap;

use crate::model::{Labels, Selector};

/// Things by key and value of labels that they have.
#[derive(Debug)]
pub(in crate::compile) struct LabelMap<T> {
    by_key: HashMap<String, HashMap<String, Vec<T>>>,
}

impl<T> Default for LabelMap<T> {
    fn default() -> Self {
        Self {
            by_key: HashMap::default(),
        }
    }
}

impl<T: PartialEq> LabelMap<T> {
    pub(in crate::compile) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The things that have this label.
    pub(in crate::compile) fn get(&self, key: &str, value: &str) -> &[T] {
        let things = self.by_key.get(key).and_then(|values| values.get(value));
        things.map_or(&[], Vec::as_slice)
    }

    pub(in crate::compile) fn insert(&mut self, key: &str, value: &str, thing: T) {
        // Most labels are there already: no text is copied for them.
        let Some(values) = self.by_key.get_mut(key) else {
            let values = HashMap::from_iter([(value.to_owned(), vec![thing])]);
            self.by_key.insert(key.to_owned(), values);
            return;
        };
        match values.get_mut(value) {
            Some(things) => things.push(thing),
            None => {
                values.insert(value.to_owned(), vec![thing]);
            }
        }
    }

    pub(in crate::compile) fn remove(&mut self, key: &str, value: &str, thing: &T) {
        let Some(values) = self.by_key.get_mut(key) else {
            return;
        };
        if let Some(things) = values.get_mut(value) {
            remove(things, thing);
            if things.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.by_key.remove(key);
        }
    }
}

/// Things by selectors that they have, to be found by what the selectors may select.
#[derive(Debug)]
pub(in crate::compile) struct SelectorMap<T> {
    /// By one of the labels that the selector asks for.
    labelled: LabelMap<T>,
    /// Those of selectors that ask for no label in particular.
    rest: Vec<T>,
}

impl<T> Default for SelectorMap<T> {
    fn default() -> Self {
        Self {
            labelled: LabelMap::default(),
            rest: Vec::new(),
        }
    }
}

impl<T: PartialEq> SelectorMap<T> {
    pub(in crate::compile) fn insert(&mut self, selector: &Selector, thing: T) {
        match selector.labels().next() {
            Some((key, value)) => self.labelled.insert(key, value, thing),
            None => self.rest.push(thing),
        }
    }

    pub(in crate::compile) fn remove(&mut self, selector: &Selector, thing: &T) {
        match selector.labels().next() {
            Some((key, value)) => self.labelled.remove(key, value, thing),
            None => remove(&mut self.rest, thing),
        }
    }

    pub(in crate::compile) fn is_empty(&self) -> bool {
        self.labelled.is_empty() && self.rest.is_empty()
    }

    /// All things whose selectors select something with these labels, and others; each once.
    pub(in crate::compile) fn candidates(&self, labels: &Labels) -> impl Iterator<Item = &T> {
        let labelled = labels
            .iter()
            .flat_map(|(key, value)| self.labelled.get(key, value));
        labelled.chain(&self.rest)
    }
}

pub(super) fn remove<T: PartialEq>(things: &mut Vec<T>, thing: &T) {
    if let Some(at) = things.iter().position(|t| t == thing) {
        things.swap_remove(at);
    }
}
