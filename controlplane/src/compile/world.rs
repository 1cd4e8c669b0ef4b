//! The model, indexed for the questions that compiling asks.

use std::borrow::Cow;
use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};

use crate::model::slice::Slice;
use crate::model::{Labels, Model, ObjectName, Pod, Selector};

/// The label that every namespace carries without anybody writing it.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) struct World<'a> {
    pub(super) model: &'a Model,
    pods: HashMap<&'a str, Pods<'a>>,
    slices: BTreeMap<&'a ObjectName, Vec<&'a Slice>>,
    namespaces: BTreeMap<&'a str, Cow<'a, Labels>>,
}

/// The pods of a namespace.
#[derive(Default)]
struct Pods<'a> {
    all: Vec<Named<'a>>,
    /// By key and value of their labels.
    labelled: HashMap<&'a str, HashMap<&'a str, Vec<Named<'a>>>>,
}

/// A pod and its name.
type Named<'a> = (&'a ObjectName, &'a Pod);

impl<'a> World<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        let mut pods: HashMap<&str, Pods<'_>> = HashMap::new();
        let mut namespaces: BTreeMap<&str, Cow<'_, Labels>> = BTreeMap::new();
        for (name, labels) in model.namespaces() {
            namespaces.insert(&name.name, Cow::Borrowed(labels));
        }
        for (name, pod) in model.pods() {
            pods.entry(&name.namespace).or_default().add((name, pod));
            // A namespace that nobody has written down exists nevertheless.
            namespaces.entry(&name.namespace).or_default();
        }
        for (name, labels) in &mut namespaces {
            if labels.get(NAMESPACE_NAME_LABEL).is_none_or(|value| value != name) {
                labels
                    .to_mut()
                    .insert(NAMESPACE_NAME_LABEL.to_owned(), (*name).to_owned());
            }
        }
        let mut slices: BTreeMap<&ObjectName, Vec<&Slice>> = BTreeMap::new();
        for (_, slice) in model.slices() {
            if let Some(service) = &slice.service {
                slices.entry(service).or_default().push(slice);
            }
        }
        Self {
            model,
            pods,
            slices,
            namespaces,
        }
    }

    /// The pods of a namespace that a selector selects.
    pub(super) fn select(&self, namespace: &str, selector: &Selector) -> Vec<Named<'a>> {
        self.pods
            .get(namespace)
            .map_or_else(Vec::new, |pods| pods.select(selector))
    }

    /// The slices of a Service; `None` where there is none.
    pub(super) fn slices(&self, service: &ObjectName) -> Option<&[&'a Slice]> {
        self.slices.get(service).map(Vec::as_slice)
    }

    /// Namespaces with pods in them or an object of their own, by their labels.
    pub(super) fn namespaces(&self, selector: &Selector) -> impl Iterator<Item = &'a str> {
        self.namespaces
            .iter()
            .filter(|(_, labels)| selector.matches(labels))
            .map(|(name, _)| *name)
    }

    /// The pods of all namespaces, in no order.
    pub(super) fn all_pods(&self) -> impl Iterator<Item = Named<'a>> {
        self.pods.values().flat_map(|pods| pods.all.iter().copied())
    }
}

impl<'a> Pods<'a> {
    fn add(&mut self, pod: Named<'a>) {
        self.all.push(pod);
        for (key, value) in &pod.1.labels {
            self.labelled
                .entry(key)
                .or_default()
                .entry(value)
                .or_default()
                .push(pod);
        }
    }

    /// Looks only at the pods that have the rarest of the labels that the selector asks for: Services and policies
    /// mostly ask for one that few pods have, and for nothing else.
    fn select(&self, selector: &Selector) -> Vec<Named<'a>> {
        let with = |(key, value)| self.labelled.get(key)?.get(value);
        if let Some(label) = selector.only_label() {
            return with(label).cloned().unwrap_or_default();
        }
        let candidates = selector
            .labels()
            .map(|label| with(label).map_or(&[][..], Vec::as_slice));
        let fewest = candidates.min_by_key(|pods| pods.len()).unwrap_or(&self.all);
        fewest
            .iter()
            .copied()
            .filter(|(_, pod)| selector.matches(&pod.labels))
            .collect()
    }
}
