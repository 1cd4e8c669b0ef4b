//! GET: one object, lists and watches.

mod list;
mod options;
mod token;
mod view;
mod watch;

pub(crate) use list::list;
pub(crate) use view::{Form, View};
pub(crate) use watch::watch;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::keyspace::Key;
use crate::shared::Shared;

/// One object.
pub(crate) fn get(shared: &Shared, view: &View, key: &Key) -> Result<Answer, Failure> {
    match shared.keyspace.get(&view.resource.table, key) {
        Some(object) => Ok(Answer::bytes(200, view.whole(&object))),
        None => Err(Failure::not_found(&view.resource, &key.name)),
    }
}
