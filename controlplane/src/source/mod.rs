//! Where Kubernetes objects come from.
//!
//! A [`Source`] yields batches of changes; the [`store`] makes of them the model that is in force. The directory of
//! manifests is one source; the API of a cluster is another, whose lists and watches have the same shape.

pub mod decode;
pub mod directory;
mod inquiry;
mod object_text;
#[cfg(test)]
pub(crate) mod scripted;
pub mod store;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::decode::{Document, Unreadable};
use crate::feedback::Feedback;
use crate::model::{Id, Kind, ObjectName, SharedText};
use crate::problem::{Problem, Version};
pub use inquiry::Inquiry;
pub use object_text::ObjectText;

/// Something that knows objects and follows their changes. It has a thread to itself.
pub trait Source: Send {
    /// Waits for what has changed since the last call. A batch is taken in as a whole, so that an object that moves within
    /// it is never gone. `None` once the source has ended: nothing more will come.
    ///
    /// Objects come in any order, also before those that they refer to; the changes of one object come in the order in
    /// which they happened. Nothing is served before a batch with [`Change::Complete`].
    fn next(&mut self) -> Option<Batch>;

    /// What makes [`Self::next`] give `None` soon, called on another thread.
    fn stopper(&self) -> Stopper;

    /// What tells the source, on another thread, that the process has been asked to end and goes on for a while: it is not ready
    /// any more, and still gives what changes.
    fn leaving(&self) -> Stopper {
        Box::new(|| {})
    }

    /// How long [`Self::next`] may take to give `None` once it was stopped: it may be in the midst of a large file, and then
    /// ends with the process.
    fn farewell(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// Where the source wants to be told what became of its objects; `None` if it does not. Asked for once, before the
    /// first [`Self::next`]. Of those that are there at the start it is told of Ingresses, their classes and Services, and of
    /// whatever there is something wrong with.
    fn feedback(&self) -> Option<Feedback> {
        None
    }
}

/// Changes that are taken in at once, in their order.
pub type Batch = Vec<Change>;

/// Ends a source.
pub type Stopper = Box<dyn Fn() + Send + Sync>;

/// Something that a source has found out.
#[derive(Debug)]
pub enum Change {
    /// The documents of a file, instead of those that it had.
    File(Arc<Path>, Contents),
    /// An object of a cluster is there in this version. It may lack `apiVersion` and `kind`, as the items of a
    /// list do. A version that is there already costs nothing.
    Object(Arc<Version>, ObjectText),
    /// An object of a cluster is no more.
    Deleted(Id),
    /// What a cluster has in this scope follows as a whole: the first time, and again after a gap in the watch.
    Listing(Scope),
    /// It has followed: what was not among it since [`Self::Listing`] is gone.
    Listed(Scope),
    /// What keeps the source from knowing objects, instead of what it has said of that before; none when all is well.
    Troubles(Vec<Problem>),
    /// All that was there at the beginning has been given.
    Complete,
    /// No change: somebody wants to know something of the state that its batch leaves.
    Inquiry(Inquiry),
}

/// What is listed and watched at once. The scopes of one source do not overlap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// Objects of this kind,
    pub kind: Kind,
    /// of this namespace alone, if one is given,
    pub namespace: Option<SharedText>,
    /// and of this name alone, if one is given.
    pub name: Option<SharedText>,
}

impl Scope {
    /// All objects of a kind.
    #[must_use]
    pub const fn all(kind: Kind) -> Self {
        Self {
            kind,
            namespace: None,
            name: None,
        }
    }

    /// One object.
    #[must_use]
    pub fn one(id: &Id) -> Self {
        Self {
            kind: id.kind,
            namespace: id.kind.namespaced().then(|| id.name.namespace.clone()),
            name: Some(id.name.name.clone()),
        }
    }

    /// The object, where the scope is that of one.
    #[must_use]
    pub fn single(&self) -> Option<Id> {
        let name = self.name.clone()?;
        let namespace = self.namespace.clone().unwrap_or_default();
        Some(Id::new(self.kind, ObjectName { namespace, name }))
    }

    /// Whether an object is of it.
    #[must_use]
    pub fn covers(&self, id: &Id) -> bool {
        self.kind == id.kind
            && self.namespace.as_ref().is_none_or(|n| *n == id.name.namespace)
            && self.name.as_ref().is_none_or(|n| *n == id.name.name)
    }
}

/// As lines name it: `Secret shop/cert`, `all Secrets`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => write!(f, "{} {namespace}/{name}", self.kind),
            (None, Some(name)) => write!(f, "{} {name}", self.kind),
            (Some(namespace), None) => write!(f, "objects of kind {} in namespace {namespace}", self.kind),
            (None, None) => write!(f, "objects of kind {}", self.kind),
        }
    }
}

/// What has been found out about a file.
#[derive(Debug)]
pub enum Contents {
    /// It is there and was read.
    Documents(Vec<Document>),
    /// It is there and cannot be read or parsed; or it is a directory that cannot be listed.
    Unreadable(Unreadable),
    /// It is no more.
    Gone,
}

impl From<(Arc<Path>, Contents)> for Change {
    fn from((path, contents): (Arc<Path>, Contents)) -> Self {
        Self::File(path, contents)
    }
}

/// What comes and goes as a whole, and of which the last good state stays in force while it is broken. Of several that
/// define an object the first has precedence: files in the order of their paths, then the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// By its path, relative to the directory of manifests.
    File(Arc<Path>),
    /// An object of a cluster.
    Object(Id),
}

/// As lines name it.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) if path.as_os_str().is_empty() => f.write_str("the directory of manifests"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Object(_) => f.write_str("the cluster"),
        }
    }
}
