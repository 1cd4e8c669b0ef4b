//! Which objects are in force: those of the units as they stand, and the last good state of those that are broken.

mod entry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::{Change, Contents, Inquiry, Scope, Unit};
use crate::feedback::Standing;
use crate::model::config_map::WantedConfigMaps;
use crate::model::{Id, Kind, Model};
use crate::problem::{Origin, Problem, Severity};
use entry::{Broken, Definition, Entry};

/// The units, and the model that they make.
#[derive(Debug, Default)]
pub struct Store {
    units: BTreeMap<Unit, Entry>,
    /// Those of which something has to be said.
    suspect: BTreeSet<Unit>,
    /// The units that define an object, in their order: the first has precedence.
    definers: BTreeMap<Id, BTreeSet<Unit>>,
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
            match self.definers.get(id) {
                Some(definers) if definers.len() > 1 => self.contested.insert(id.clone()),
                _ => self.contested.remove(id),
            };
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
            Change::Object(version, value) => {
                if let Some(listed) = self.listing_of(&version.id) {
                    listed.insert(version.id.clone());
                }
                let unit = Unit::Object(Arc::new(version.id.clone()));
                if self.units.get(&unit).is_some_and(|entry| entry.is_of(&version)) {
                    return;
                }
                self.withdraw(&unit, touched);
                let entry = Entry::of_object(&version, value, &self.wanted);
                self.put(unit, entry, touched);
            }
            Change::Deleted(id) => {
                if let Some(listed) = self.listing_of(&id) {
                    listed.remove(&id);
                }
                self.withdraw(&Unit::Object(Arc::new(id)), touched);
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

    fn file(&mut self, path: &Arc<Path>, contents: Contents, touched: &mut BTreeSet<Id>) {
        let unit = Unit::File(path.clone());
        let old = self.withdraw(&unit, touched);
        let entry = match contents {
            Contents::Gone => return,
            Contents::Unreadable(error) => {
                let holds = self.holds(path);
                Entry::unreadable(path, &error, old, holds)
            }
            Contents::Documents(documents) => Entry::of_documents(path, documents, old, &self.wanted),
        };
        self.put(unit, entry, touched);
    }

    /// Whether a file below this directory is known.
    fn holds(&self, directory: &Path) -> bool {
        // What is below a directory follows it directly in the order of paths.
        let mut from = self.units.range(Unit::File(Arc::from(directory))..);
        let next = from.next().map(|(unit, _)| unit);
        matches!(next, Some(Unit::File(path)) if path.starts_with(directory))
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
        let gone = |unit: &&Unit| match unit {
            Unit::Object(id) => scope.covers(id) && !there.contains(&**id),
            Unit::File(_) => false,
        };
        let gone: Vec<_> = match scope.single() {
            // There may be thousands of such scopes.
            Some(id) => vec![Unit::Object(Arc::new(id))]
                .into_iter()
                .filter(|unit| gone(&unit))
                .collect(),
            None => self.units.keys().filter(gone).cloned().collect(),
        };
        for unit in gone {
            self.withdraw(&unit, touched);
        }
    }

    fn put(&mut self, unit: Unit, entry: Entry, touched: &mut BTreeSet<Id>) {
        for id in entry.ids() {
            self.definers.entry(id.clone()).or_default().insert(unit.clone());
            touched.insert(id.clone());
        }
        if !entry.problems.is_empty() || !entry.suspect.is_empty() {
            self.suspect.insert(unit.clone());
        }
        self.units.insert(unit, entry);
    }

    /// Removes a unit and gives what it was.
    fn withdraw(&mut self, unit: &Unit, touched: &mut BTreeSet<Id>) -> Entry {
        let old = self.units.remove(unit).unwrap_or_default();
        self.suspect.remove(unit);
        for id in old.ids() {
            if let Some(definers) = self.definers.get_mut(id) {
                definers.remove(unit);
                if definers.is_empty() {
                    self.definers.remove(id);
                }
            }
            touched.insert(id.clone());
        }
        old
    }

    fn resolve(&mut self, id: Id) {
        let Some((_, definition)) = self.definition(&id) else {
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
            Err(Broken {
                instead: Some(instead),
                ..
            }) if !self.model.contains(&id) || self.closed.contains(&id) => {
                let instead = instead.clone();
                self.closed.insert(id.clone());
                self.model.insert(id, instead);
            }
            Err(_) => {}
        }
    }

    fn definition(&self, id: &Id) -> Option<(&Unit, &Definition)> {
        let unit = self.definers.get(id)?.first()?;
        Some((unit, self.units.get(unit)?.get(id)?))
    }

    /// Where an object stands.
    #[must_use]
    pub fn origin(&self, id: &Id) -> Option<Origin> {
        Some(self.definition(id)?.1.origin.clone())
    }

    /// How an object stands as far as it can be told from itself.
    #[must_use]
    pub fn standing(&self, id: &Id) -> Standing {
        let Some((_, definition)) = self.definition(id) else {
            return Standing::Gone;
        };
        match &definition.object {
            _ if self.closed.contains(id) => Standing::Closed,
            _ if !self.model.contains(id) => Standing::LeftOut,
            Err(_) => Standing::LastGood,
            Ok(_) if !definition.closed.is_empty() => Standing::Partly,
            Ok(_) => Standing::InForce,
        }
    }

    /// Files of which it is not known what they hold, or not of all of it, and never was.
    pub fn unknown(&self) -> impl Iterator<Item = &Unit> {
        let suspect = self.suspect.iter();
        suspect.filter(|unit| self.units.get(unit).is_some_and(|entry| entry.unknown))
    }

    /// All that is wrong with the source and its units now, in their order.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.troubles.clone();
        for unit in &self.suspect {
            let Some(entry) = self.units.get(unit) else {
                continue;
            };
            problems.extend(entry.problems.iter().cloned());
            for id in &entry.suspect {
                // One that has no precedence gets the line that says so, and no other.
                let first = self.definers.get(id).and_then(BTreeSet::first);
                if let (Some(definition), true) = (entry.get(id), first == Some(unit)) {
                    self.definition_problems(id, definition, &mut problems);
                }
            }
        }
        for id in &self.contested {
            self.contest_problems(id, &mut problems);
        }
        problems
    }

    fn definition_problems(&self, id: &Id, definition: &Definition, out: &mut Vec<Problem>) {
        let problem = |severity, text| Problem {
            severity,
            origin: Some(definition.origin.clone()),
            object: Some(id.clone()),
            text,
        };
        for field in &definition.unknown {
            out.push(problem(
                Severity::Warning,
                format!("{field}: unknown field, ignored"),
            ));
        }
        for text in &definition.closed {
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
        let mut units = self.definers.get(id).into_iter().flatten();
        let Some(first) = units.next() else { return };
        for unit in units {
            let definition = self.units.get(unit).and_then(|entry| entry.get(id));
            let text = format!("is defined in {first} already, which has precedence");
            out.push(Problem {
                origin: definition.map(|definition| definition.origin.clone()),
                ..Problem::error(id.clone(), text)
            });
        }
    }
}
