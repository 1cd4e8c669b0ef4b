//! What is wrong, in an order that does not depend on the order of changes.

use std::collections::BTreeMap;

use crate::model::{Age, Id, Kind, ObjectName};
use crate::problem::Problem;

/// What a problem is about; problems are told by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    Frontend,
    PortMap,
    Class,
    Rule,
    Tls,
    DefaultCertificate,
    DefaultBackend,
    Validity,
}

/// Where a problem stands among all: by what it is about, the older object first, then by places in the object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) about: About,
    pub(super) age: Age,
    pub(super) object: ObjectName,
    pub(super) field: [usize; 3],
}

/// A problem and its place.
pub(super) type Note = (Place, Problem);

/// About a ConfigMap of ports, by the port of the entry.
pub(super) fn of_port_map(map: &ObjectName, port: u16, text: String) -> Note {
    let place = Place {
        about: About::PortMap,
        age: Age::UNKNOWN,
        object: map.clone(),
        field: [port.into(), 0, 0],
    };
    (place, Problem::error(Id::new(Kind::ConfigMap, map.clone()), text))
}

/// Notes by what they were made for, so that what is looked at again has its notes replaced.
#[derive(Debug)]
pub(super) struct Notes<K>(BTreeMap<K, Vec<Note>>);

impl<K> Default for Notes<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Notes<K> {
    pub(super) fn set(&mut self, of: K, notes: Vec<Note>) {
        if notes.is_empty() {
            self.0.remove(&of);
        } else {
            self.0.insert(of, notes);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Note> {
        self.0.values().flatten()
    }
}
