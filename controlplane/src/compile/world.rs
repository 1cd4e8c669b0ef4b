//! The model, indexed for the questions that compiling asks.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::model::slice::Slice;
use crate::model::{Labels, Model, ObjectName, Pod, Selector};

/// The label that every namespace carries without anybody writing it.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) struct World<'a> {
    pub(super) model: &'a Model,
    pods: BTreeMap<&'a str, Vec<&'a Pod>>,
    slices: BTreeMap<&'a ObjectName, Vec<&'a Slice>>,
    namespaces: BTreeMap<&'a str, Cow<'a, Labels>>,
}

impl<'a> World<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        let mut pods: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        let mut namespaces: BTreeMap<&str, Cow<'_, Labels>> = BTreeMap::new();
        for (name, labels) in model.namespaces() {
            namespaces.insert(&name.name, Cow::Borrowed(labels));
        }
        for (name, pod) in model.pods() {
            pods.entry(&name.namespace).or_default().push(pod);
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

    /// The pods of a namespace.
    pub(super) fn pods(&self, namespace: &str) -> &[&'a Pod] {
        self.pods.get(namespace).map_or(&[], Vec::as_slice)
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

    /// Every namespace with pods in it.
    pub(super) fn all_pods(&self) -> impl Iterator<Item = &'a Pod> {
        self.pods.values().flatten().copied()
    }
}
