//! Keeps the dataplane's state equal to the compiled one.
//!
//! [`changes`] finds what separates two states; [`link`] holds the connection, over which one transaction is under
//! way at a time: what changes meanwhile goes into the next.

pub mod link;
#[cfg(test)]
mod tests;

use headgate_ring::Operation;
use headgate_ring::message::Object;

use crate::compile::State;

/// What makes `new` of `old`: first what goes, then what comes or changes, each in the order of keys.
#[must_use]
pub fn changes(old: &State, new: &State) -> Vec<Operation> {
    let gone = old
        .keys()
        .filter(|key| !new.contains_key(key))
        .cloned()
        .map(Operation::Delete);
    let put = new.iter().filter(|(key, object)| old.get(key) != Some(object));
    gone.chain(put.map(|(_, object)| Operation::Put(Object::clone(object))))
        .collect()
}

/// What makes `new` of nothing.
#[must_use]
pub fn everything(new: &State) -> Vec<Operation> {
    new.values()
        .map(|object| Operation::Put(Object::clone(object)))
        .collect()
}
