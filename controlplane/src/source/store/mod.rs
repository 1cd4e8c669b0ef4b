//! Which objects are in force: those of the units as they stand, and the last good state of those that are broken.

mod entry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use super::{Change, Contents, Inquiry, ObjectText, Scope, Unit};
use crate::feedback::Standing;
use crate::few::FewSet;
use crate::model::config_map::WantedConfigMaps;
use crate::model::{Id, Kind, Model};
use crate::pack::pack;
use crate::problem::{Origin, Problem, Severity, Version};
use entry::{Broken, Definition, Entry, Versioned};

/// The units, and the model that they make.
#[derive(Debug, Default)]
pub struct Store {
    files: BTreeMap<Arc<Path>, Entry>,
    /// Of a cluster; each is a unit, and defines itself.
    objects: BTreeMap<Versioned, Definition>,
    /// Units of which something has to be said.
    suspect: BTreeSet<Unit>,
    /// The files that define an object, in their order: the first has precedence, and all of them have it over a cluster.
    definers: BTreeMap<Id, FewSet<Arc<Path>>>,
    /// Objects that more than one unit defines.
    contested: BTreeSet<Id>,
    /// Policies in the model that stand in for one that was never good.
    closed: BTreeSet<Id>,
    /// What is being listed, with what has come of each.
    listings: BTreeMap<Scope, BTreeSet<Id>>,
    /// What the source has said of itself.
    troubles: Vec<Problem>,
    complete: bool,
    /// To be answered once the batch is taken in.
    inquiries: Vec<Inquiry>,
    wanted: WantedConfigMaps,
    model: Model,
}

/// What a unit says of an object, and where.
#[derive(Clone, Copy)]
enum Defined<'a> {
    InFile {
        path: &'a Arc<Path>,
        line: Option<u64>,
        definition: &'a Definition,
    },
    InCluster {
        version: &'a Versioned,
        definition: &'a Definition,
    },
}

impl<'a> Defined<'a> {
    fn definition(self) -> &'a Definition {
        match self {
            Self::InFile { definition, .. } | Self::InCluster { definition, .. } => definition,
        }
    }

    fn origin(self) -> Origin {
        match self {
            Self::InFile { path, line, .. } => Origin::File {
                path: path.clone(),
                line,
            },
            Self::InCluster { version, .. } => Origin::Cluster(version.version().clone()),
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::InFile { path, .. } => Unit::File(path.clone()),
            Self::InCluster { version, .. } => Unit::Object(version.version().id.clone()),
        }
    }
}

/// What a batch has done.
#[derive(Debug, Default)]
pub struct Update {
    /// Objects of the model that are others than before, or gone.
    pub changed: BTreeSet<Id>,
    /// Objects of which something was read, or that are gone: also those that were wrong, and stay as they are.
    pub touched: BTreeSet<Id>,
}

impl Store {
    /// A store that keeps what these ConfigMaps hold; it must be known before they are read.
    #[must_use]
    pub fn keeping(wanted: WantedConfigMaps) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// The model that is in force.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Whether the source has given all that was there at the beginning.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Makes it take no more room than its objects do.
    pub fn pack(&mut self) {
        pack(&mut self.objects);
        self.model.pack();
    }

    /// All objects of which something was read.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        let of_cluster = self.objects.keys().map(|versioned| &versioned.version().id);
        of_cluster.chain(self.definers.keys())
    }

    /// As [`Self::apply`]; gives the objects of the model that are others than before, or gone.
    pub fn update(&mut self, changes: impl IntoIterator<Item = impl Into<Change>>) -> BTreeSet<Id> {
        self.apply(changes).changed
    }

    /// Takes in all that has changed at once, so that an object that moves between units is never gone.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = impl Into<Change>>) -> Update {
        let mut touched = BTreeSet::new();
        for change in changes {
            self.take(change.into(), &mut touched);
        }
        let mut changed = BTreeSet::new();
        for id in &touched {
            if self.definitions(id).nth(1).is_some() {
                self.contested.insert(id.clone());
            } else {
                self.contested.remove(id);
            }
            let before = self.model.get(id).cloned();
            self.resolve(id.clone());
            if before.as_ref() != self.model.get(id) {
                changed.insert(id.clone());
            }
        }
        for inquiry in std::mem::take(&mut self.inquiries) {
            inquiry.answer(self.complete.then_some(&self.model));
        }
        Update { changed, touched }
    }

    fn take(&mut self, change: Change, touched: &mut BTreeSet<Id>) {
        match change {
            Change::File(path, contents) => self.file(&path, contents, touched),
            Change::Object(version, text) => self.object(version, &text, touched),
            Change::Deleted(id) => {
                if let Some(listed) = self.listing_of(&id) {
                    listed.remove(&id);
                }
                self.withdraw_object(&id, touched);
            }
            Change::Listing(scope) => {
                self.listings.insert(scope, BTreeSet::new());
            }
            Change::Listed(scope) => self.listed(&scope, touched),
            Change::Troubles(troubles) => self.troubles = troubles,
            Change::Complete => self.complete = true,
            Change::Inquiry(inquiry) => self.inquiries.push(inquiry),
        }
    }

    fn object(&mut self, version: Arc<Version>, text: &ObjectText, touched: &mut BTreeSet<Id>) {
        let id = version.id.clone();
        if let Some(listed) = self.listing_of(&id) {
            listed.insert(id.clone());
        }
        let known = self.objects.get_key_value(&id);
        if known.is_some_and(|(known, _)| *known.version() == version) {
            return;
        }
        self.withdraw_object(&id, touched);
        let mut definition = Definition::of_object(&id, text, &self.wanted);
        // Of most pods the neighbour in the order of names is of the same Deployment.
        if let Some((_, neighbour)) = self.objects.range::<Id, _>(..&id).next_back() {
            definition.share(neighbour);
        }
        if definition.is_suspect() {
            self.suspect.insert(Unit::Object(id.clone()));
        }
        self.objects.insert(Versioned(version), definition);
        touched.insert(id);
    }

    fn file(&mut self, path: &Arc<Path>, contents: Contents, touched: &mut BTreeSet<Id>) {
        let old = self.withdraw_file(path, touched);
        let entry = match contents {
            Contents::Gone => return,
            Contents::Unreadable(error) => {
                let holds = self.holds(path);
                Entry::unreadable(path, &error, old, holds)
            }
            Contents::Documents(documents) => Entry::of_documents(path, documents, old, &self.wanted),
        };
        self.put_file(path, entry, touched);
    }

    /// Whether a file below this directory is known.
    fn holds(&self, directory: &Path) -> bool {
        // What is below a directory follows it directly in the order of paths.
        let mut from = self
            .files
            .range::<Path, _>((Bound::Included(directory), Bound::Unbounded));
        from.next().is_some_and(|(path, _)| path.starts_with(directory))
    }

    /// The list that an object would be among.
    fn listing_of(&mut self, id: &Id) -> Option<&mut BTreeSet<Id>> {
        // Few are made at once, and mostly none.
        let listing = self.listings.iter_mut().find(|(scope, _)| scope.covers(id));
        listing.map(|(_, listed)| listed)
    }

    /// What a cluster has in this scope was given: nothing else of it is there.
    fn listed(&mut self, scope: &Scope, touched: &mut BTreeSet<Id>) {
        let Some(there) = self.listings.remove(scope) else {
            return;
        };
        let gone: Vec<Id> = match scope.single() {
            // There may be thousands of such scopes.
            Some(id) if there.contains(&id) => Vec::new(),
            Some(id) => vec![id],
            None => {
                let known = self.objects.keys().map(|versioned| &versioned.version().id);
                let gone = known.filter(|id| scope.covers(id) && !there.contains(*id));
                gone.cloned().collect()
            }
        };
        for id in gone {
            self.withdraw_object(&id, touched);
        }
    }

    fn withdraw_object(&mut self, id: &Id, touched: &mut BTreeSet<Id>) {
        if self.objects.remove(id).is_some() {
            self.suspect.remove(&Unit::Object(id.clone()));
            touched.insert(id.clone());
        }
    }

    fn put_file(&mut self, path: &Arc<Path>, entry: Entry, touched: &mut BTreeSet<Id>) {
        for id in entry.ids() {
            self.definers.entry(id.clone()).or_default().insert(path.clone());
            touched.insert(id.clone());
        }
        if !entry.problems.is_empty() || !entry.suspect.is_empty() {
            self.suspect.insert(Unit::File(path.clone()));
        }
        self.files.insert(path.clone(), entry);
    }

    /// Removes a file and gives what it was.
    fn withdraw_file(&mut self, path: &Arc<Path>, touched: &mut BTreeSet<Id>) -> Entry {
        let old = self.files.remove(path).unwrap_or_default();
        self.suspect.remove(&Unit::File(path.clone()));
        for id in old.ids() {
            if let Some(definers) = self.definers.get_mut(id) {
                definers.remove(path);
                if definers.is_empty() {
                    self.definers.remove(id);
                }
            }
            touched.insert(id.clone());
        }
        old
    }

    fn resolve(&mut self, id: Id) {
        let Some(definition) = self.definition(&id) else {
            self.closed.remove(&id);
            self.model.remove(&id);
            return;
        };
        match &definition.object {
            Ok(object) => {
                let object = object.clone();
                self.closed.remove(&id);
                self.model.insert(id, object);
            }
            Err(broken) => {
                let Broken { instead, .. } = &**broken;
                if let Some(instead) = instead
                    && (!self.model.contains(&id) || self.closed.contains(&id))
                {
                    let instead = instead.clone();
                    self.closed.insert(id.clone());
                    self.model.insert(id, instead);
                }
            }
        }
    }

    /// What units say of an object, the first that has precedence.
    fn definitions(&self, id: &Id) -> impl Iterator<Item = Defined<'_>> {
        let paths = self.definers.get(id).into_iter().flat_map(FewSet::iter);
        let id = id.clone();
        let of_cluster = self.objects.get_key_value(&id);
        let of_files = paths.filter_map(move |path| {
            let (line, definition) = self.files.get(path)?.get(&id)?;
            let line = Some(line);
            Some(Defined::InFile {
                path,
                line,
                definition,
            })
        });
        let of_cluster = of_cluster.map(|(version, definition)| Defined::InCluster { version, definition });
        of_files.chain(of_cluster)
    }

    fn definition(&self, id: &Id) -> Option<&Definition> {
        self.definitions(id).next().map(|defined| defined.definition())
    }

    /// Where an object stands.
    #[must_use]
    pub fn origin(&self, id: &Id) -> Option<Origin> {
        self.definitions(id).next().map(|defined| defined.origin())
    }

    /// How an object stands as far as it can be told from itself.
    #[must_use]
    pub fn standing(&self, id: &Id) -> Standing {
        let Some(definition) = self.definition(id) else {
            return Standing::Gone;
        };
        match &definition.object {
            _ if self.closed.contains(id) => Standing::Closed,
            _ if !self.model.contains(id) => Standing::LeftOut,
            Err(_) => Standing::LastGood,
            Ok(_) if !definition.closed().is_empty() => Standing::Partly,
            Ok(_) => Standing::InForce,
        }
    }

    /// Files of which it is not known what they hold, or not of all of it, and never was.
    pub fn unknown(&self) -> impl Iterator<Item = &Unit> {
        let suspect = self.suspect.iter();
        suspect.filter(|unit| match unit {
            Unit::File(path) => self.files.get(path).is_some_and(|entry| entry.unknown),
            Unit::Object(_) => false,
        })
    }

    /// All that is wrong with the source and its units now, in their order.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.troubles.clone();
        for unit in &self.suspect {
            let ids = match unit {
                Unit::Object(id) => std::slice::from_ref(id),
                Unit::File(path) => {
                    let Some(entry) = self.files.get(path) else {
                        continue;
                    };
                    problems.extend(entry.problems.iter().cloned());
                    &entry.suspect[..]
                }
            };
            for id in ids {
                // One that has no precedence gets the line that says so, and no other.
                let first = self.definitions(id).next();
                if let Some(defined) = first.filter(|defined| defined.unit() == *unit) {
                    self.definition_problems(id, &defined, &mut problems);
                }
            }
        }
        for id in &self.contested {
            self.contest_problems(id, &mut problems);
        }
        problems
    }

    fn definition_problems(&self, id: &Id, defined: &Defined<'_>, out: &mut Vec<Problem>) {
        let definition = defined.definition();
        let problem = |severity, text| Problem {
            severity,
            origin: Some(defined.origin()),
            object: Some(id.clone()),
            text,
        };
        for field in definition.unknown() {
            out.push(problem(
                Severity::Warning,
                format!("{field}: unknown field, ignored"),
            ));
        }
        for text in definition.closed() {
            out.push(problem(Severity::Error, text.clone()));
        }
        if let Err(broken) = &definition.object {
            let consequence = match (self.model.contains(id), self.closed.contains(id)) {
                (_, true) if id.kind == Kind::ClusterNetworkPolicy => {
                    "until it is mended what can be read of it is in force, and rules that cannot be read fail closed"
                }
                (_, true) if id.kind != Kind::NetworkPolicy => "until it is mended it is in force without",
                (_, true) => "until it is mended it allows nothing to the pods that it selects",
                (true, false) => "its last good state stays in force",
                (false, false) => "it is left out",
            };
            let text = format!("{}; {consequence}", broken.reason);
            out.push(problem(Severity::Error, text));
        }
    }

    fn contest_problems(&self, id: &Id, out: &mut Vec<Problem>) {
        let mut all = self.definitions(id);
        let Some(first) = all.next() else { return };
        for defined in all {
            let text = format!("is defined in {} already, which has precedence", first.unit());
            out.push(Problem {
                origin: Some(defined.origin()),
                ..Problem::error(id.clone(), text)
            });
        }
    }
}
