//! The model, and what is indexed of it, for the questions that Services and routes ask.

use std::sync::Arc;

use foldhash::HashMap;

use super::index::Index;
use crate::few::FewMap;
use crate::model::slice::Slice;
use crate::model::{Model, Object, ObjectName, Pod, Selector, Service};

#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) model: &'a Model,
    pub(super) index: &'a Index,
    pub(super) slices: &'a Slices,
    /// Whether endpoints on loopback can be reached.
    pub(super) loopback: bool,
}

impl<'a> World<'a> {
    /// The pods of a namespace that a selector selects.
    pub(super) fn select(&self, namespace: &str, selector: &Selector) -> impl Iterator<Item = &'a Pod> {
        let selected = self.index.select(namespace, selector).into_iter();
        selected.filter_map(|id| self.index.pod(id).map(|(_, pod)| pod))
    }

    /// The slices of a Service, and what is mirrored of its Endpoints if it has no selector; none where there is neither.
    pub(super) fn slices(&self, name: &ObjectName, service: &Service) -> impl Iterator<Item = &'a Slice> {
        let written = self.slices.of_service.get(name).into_iter().flatten();
        let written = written.map(|(_, object)| slice(object));
        let mirrored = self.slices.mirrored.get(name);
        let mirrored = mirrored.filter(|_| service.selector.is_none());
        written.chain(mirrored.into_iter().flat_map(|object| mirrored_slices(object)))
    }
}

/// EndpointSlices by the Services that they speak for.
#[derive(Debug, Default)]
pub(super) struct Slices {
    all: HashMap<ObjectName, Arc<Object>>,
    of_service: HashMap<ObjectName, FewMap<ObjectName, Arc<Object>>>,
    /// Endpoints objects, which have their Services' names.
    mirrored: HashMap<ObjectName, Arc<Object>>,
}

fn slice(object: &Object) -> &Slice {
    match object {
        Object::EndpointSlice(slice) => slice,
        _ => unreachable!("only slices are kept as such"),
    }
}

fn mirrored_slices(object: &Object) -> &[Slice] {
    match object {
        Object::Endpoints(mirrored) => &mirrored.0,
        _ => unreachable!("only Endpoints are kept as such"),
    }
}

impl Slices {
    /// Adds, replaces or removes an Endpoints object. Gives the Service that it speaks for.
    pub(super) fn set_mirrored(&mut self, name: &ObjectName, new: Option<&Arc<Object>>) -> ObjectName {
        match new {
            Some(object) => self.mirrored.insert(name.clone(), object.clone()),
            None => self.mirrored.remove(name),
        };
        name.clone()
    }

    /// Adds, replaces or removes a slice. Gives the Services that it spoke for and speaks for.
    pub(super) fn set(&mut self, name: &ObjectName, new: Option<&Arc<Object>>) -> Vec<ObjectName> {
        let old = match new {
            Some(object) => self.all.insert(name.clone(), object.clone()),
            None => self.all.remove(name),
        };
        let service = |object: &Arc<Object>| slice(object).service.clone();
        let (before, now) = (old.as_ref().and_then(service), new.and_then(service));
        if let Some(slices) = before
            .as_ref()
            .and_then(|service| self.of_service.get_mut(service))
        {
            slices.remove(name);
        }
        if let (Some(service), Some(object)) = (&now, new) {
            let slices = self.of_service.entry(service.clone()).or_default();
            slices.insert(name.clone(), object.clone());
        }
        if let Some(service) = before
            .as_ref()
            .filter(|s| self.of_service.get(s).is_some_and(FewMap::is_empty))
        {
            self.of_service.remove(service);
        }
        before.into_iter().chain(now).collect()
    }
}

#[cfg(test)]
impl Slices {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.of_service.is_empty() && self.mirrored.is_empty()
    }
}
