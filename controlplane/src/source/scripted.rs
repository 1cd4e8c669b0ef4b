//! A source in memory that says what a cluster's API would: lists, watches with bookmarks, gaps, versions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use super::{Batch, Change, Scope, Source, Stopper};
use crate::feedback::{Feedback, Mailbox, Report, mailbox};
use crate::model::parse::{ManifestIdentity, identify};
use crate::model::{Id, Kind};
use crate::problem::Version;

/// What an API server keeps.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    objects: BTreeMap<Id, (Arc<Version>, Value)>,
    /// The last `resourceVersion`.
    version: u64,
}

impl Cluster {
    /// Somebody applies a manifest. Gives the event of a watch.
    pub(crate) fn apply(&mut self, manifest: &Value) -> Change {
        let Ok(ManifestIdentity::Known(id)) = identify(manifest) else {
            panic!("a kind that is not read: {manifest}");
        };
        self.version += 1;
        let uid = match self.objects.get(&id) {
            Some((before, _)) => before.uid.clone(),
            None => format!("uid-{}", self.version).into(),
        };
        let version = Arc::new(Version {
            id: id.clone(),
            uid,
            resource_version: self.version.to_string().into(),
        });
        let mut value = manifest.clone();
        value["metadata"]["uid"] = json!(version.uid.to_string());
        value["metadata"]["resourceVersion"] = json!(version.resource_version.to_string());
        self.objects.insert(id, (version.clone(), value.clone()));
        Change::Object(version, (&value).into())
    }

    /// Somebody deletes an object. Gives the event of a watch, where it was there.
    pub(crate) fn delete(&mut self, id: &Id) -> Option<Change> {
        self.version += 1;
        self.objects
            .remove(id)
            .map(|(version, _)| Change::Deleted(version.id.clone()))
    }

    /// The answer to a list of one kind. No order is promised, and items have neither `kind` nor `apiVersion`.
    pub(crate) fn list(&self, kind: Kind) -> Batch {
        let mut batch = vec![Change::Listing(Scope::all(kind))];
        let objects = self.objects.iter().rev().filter(|(id, _)| id.kind == kind);
        batch.extend(objects.map(|(_, (version, value))| {
            let mut item = value.clone();
            if let Some(fields) = item.as_object_mut() {
                fields.remove("kind");
                fields.remove("apiVersion");
            }
            Change::Object(version.clone(), (&item).into())
        }));
        batch.push(Change::Listed(Scope::all(kind)));
        batch
    }

    /// The lists of all kinds, those first that refer to others.
    pub(crate) fn list_all(&self) -> Batch {
        Kind::ALL
            .into_iter()
            .rev()
            .flat_map(|kind| self.list(kind))
            .collect()
    }
}

/// Gives the batches of a script.
pub(crate) struct Scripted {
    batches: Receiver<Option<Batch>>,
    sender: Sender<Option<Batch>>,
    feedback: Feedback,
}

/// Writes the script, and reads what became of it.
pub(crate) struct Script {
    pub(crate) batches: Sender<Option<Batch>>,
    mailbox: Mailbox,
    rung: Receiver<()>,
}

pub(crate) fn scripted() -> (Scripted, Script) {
    let (sender, batches) = channel();
    let (bell, rung) = channel();
    let (feedback, mailbox) = mailbox(move || {
        let _ = bell.send(());
    });
    let source = Scripted {
        batches,
        sender: sender.clone(),
        feedback,
    };
    let script = Script {
        batches: sender,
        mailbox,
        rung,
    };
    (source, script)
}

impl Script {
    pub(crate) fn give(&self, batch: Batch) {
        self.batches.send(Some(batch)).expect("a source that listens");
    }

    /// What became of objects, once something has.
    pub(crate) fn report(&self) -> Report {
        loop {
            self.rung
                .recv_timeout(std::time::Duration::from_secs(20))
                .expect("feedback");
            if let Some(report) = self.mailbox.take() {
                return report;
            }
        }
    }

    /// Whether nothing has come back.
    pub(crate) fn is_silent(&self) -> bool {
        self.mailbox.take().is_none()
    }
}

impl Source for Scripted {
    fn next(&mut self) -> Option<Batch> {
        self.batches.recv().ok().flatten()
    }

    fn stopper(&self) -> Stopper {
        let sender = self.sender.clone();
        Box::new(move || {
            let _ = sender.send(None);
        })
    }

    fn feedback(&self) -> Option<Feedback> {
        Some(self.feedback.clone())
    }
}
