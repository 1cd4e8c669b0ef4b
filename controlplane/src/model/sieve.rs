//! One odd entry of a list costs itself and nothing else.

use std::fmt::Write as _;

use super::invalid::Invalid;

/// Goes through the lists of an object: what can be read stands, what cannot is left out and noted.
///
/// Policies do not use it. A list of what is allowed, or denied, means something else without one of its entries; so a
/// policy fails closed as a whole.
#[derive(Debug, Default)]
pub struct Sieve {
    /// The path of the entry that is being read; empty at the object's root.
    at: String,
    /// What the object's lists have lost before.
    gaps: Gaps,
    left_out: Vec<Invalid>,
    remarks: Vec<Invalid>,
    poor: Option<Invalid>,
}

/// What a [`Sieve`] leaves.
#[derive(Debug)]
pub(super) struct Sifted {
    /// Entries that are left out, with their paths as they are written.
    pub(super) left_out: Vec<Invalid>,
    /// What else is not in force as it is written.
    pub(super) remarks: Vec<Invalid>,
    /// Why the object's last good state is to be preferred, where it has one.
    pub(super) poor: Option<Invalid>,
    /// The entries that were lost before.
    pub(super) entries: Gaps,
}

impl Sifted {
    /// Whether all is in force as it is written.
    pub(super) fn is_faultless(&self) -> bool {
        self.left_out.is_empty() && self.remarks.is_empty() && self.poor.is_none()
    }
}

impl Sieve {
    /// For an object whose lists have lost these entries.
    pub(super) fn new(gaps: Gaps) -> Self {
        Self {
            gaps,
            ..Self::default()
        }
    }

    /// Those elements of a list that can be read. A note names the element's index.
    pub fn each<T, U>(
        &mut self,
        field: &str,
        list: &[T],
        mut parse: impl FnMut(&T, &mut Self) -> Result<U, Invalid>,
    ) -> Vec<U> {
        let mut kept = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let outer = self.descend(field, Some(index));
            kept.extend(self.try_entry(|sieve| parse(item, sieve)));
            self.at.truncate(outer);
        }
        kept
    }

    /// Likewise, where the object makes no sense without any.
    ///
    /// # Errors
    ///
    /// What is wrong with the first, where there are some and none can be read.
    pub fn some<T, U>(
        &mut self,
        field: &str,
        list: &[T],
        parse: impl FnMut(&T, &mut Self) -> Result<U, Invalid>,
    ) -> Result<Vec<U>, Invalid> {
        let noted = self.left_out.len();
        let kept = self.each(field, list, parse);
        if kept.is_empty() && self.left_out.len() > noted {
            let first = self.left_out[noted].clone();
            self.left_out.truncate(noted);
            return Err(self.relative(first));
        }
        Ok(kept)
    }

    /// A part that the object can do without; `None` where it cannot be read.
    pub fn part<U>(&mut self, field: &str, parse: impl FnOnce(&mut Self) -> Result<U, Invalid>) -> Option<U> {
        let outer = self.descend(field, None);
        let kept = self.try_entry(parse);
        self.at.truncate(outer);
        kept
    }

    /// Notes something of the entry at hand that is not in force as it is written, and what is instead.
    pub fn remark(&mut self, field: &str, reason: impl Into<String>) {
        let remark = self.absolute(Invalid::new(field, reason));
        self.remarks.push(remark);
    }

    /// The object can stand, but it has lost so much that its last good state is better, where it has one.
    pub fn prefer_last_good(&mut self, reason: Invalid) {
        let reason = self.absolute(reason);
        self.poor.get_or_insert(reason);
    }

    /// Reads a part; if it loses an entry, the object's last good state is better, where it has one.
    pub fn dear<U>(&mut self, read: impl FnOnce(&mut Self) -> Result<U, Invalid>) -> Result<U, Invalid> {
        let noted = self.left_out.len();
        let read = read(self);
        if let Some(lost) = self.left_out.get(noted) {
            self.poor.get_or_insert_with(|| lost.clone());
        }
        read
    }

    /// The index that the entry at hand has in the manifest, for problems that are found later.
    #[must_use]
    pub fn place(&self) -> usize {
        let written = self.gaps.original(&self.at);
        let index = written.strip_suffix(']').and_then(|at| at.rsplit_once('['));
        index.and_then(|(_, index)| index.parse().ok()).unwrap_or(0)
    }

    /// What was left out.
    pub(super) fn finish(self) -> Sifted {
        let written = |notes: Vec<Invalid>| notes.into_iter().map(|note| self.gaps.restore(note)).collect();
        Sifted {
            left_out: written(self.left_out),
            remarks: written(self.remarks),
            poor: self.poor.map(|reason| self.gaps.restore(reason)),
            entries: self.gaps,
        }
    }

    fn try_entry<U>(&mut self, parse: impl FnOnce(&mut Self) -> Result<U, Invalid>) -> Option<U> {
        let (noted, remarked) = (self.left_out.len(), self.remarks.len());
        match parse(self) {
            Ok(entry) => Some(entry),
            Err(invalid) => {
                // The whole entry goes; what is odd inside of it no longer matters.
                self.left_out.truncate(noted);
                self.remarks.truncate(remarked);
                let invalid = self.absolute(invalid);
                self.left_out.push(invalid);
                None
            }
        }
    }

    /// Gives the length of the path before.
    fn descend(&mut self, field: &str, index: Option<usize>) -> usize {
        let outer = self.at.len();
        if outer != 0 {
            self.at.push('.');
        }
        self.at.push_str(field);
        if let Some(index) = index {
            // Writing to a string cannot fail.
            let _ = write!(self.at, "[{index}]");
        }
        outer
    }

    fn absolute(&self, invalid: Invalid) -> Invalid {
        if self.at.is_empty() {
            invalid
        } else {
            invalid.under(&self.at)
        }
    }

    fn relative(&self, mut invalid: Invalid) -> Invalid {
        if let Some(below) = invalid.field.strip_prefix(&self.at) {
            invalid.field = below.trim_start_matches('.').to_owned();
        }
        invalid
    }
}

/// Entries that lists have lost: by them, indexes are those of the manifest again.
#[derive(Debug, Default)]
pub(super) struct Gaps(Vec<(String, usize)>);

impl Gaps {
    /// A list has lost the entry at `index` of those that it had left.
    pub(super) fn add(&mut self, list: &str, index: usize) {
        let list = self.original(list);
        let index = self.written(&list, index);
        self.0.push((list, index));
        self.0.sort_unstable();
    }

    /// What an entry is called in the manifest.
    pub(super) fn restore(&self, invalid: Invalid) -> Invalid {
        Invalid {
            field: self.original(&invalid.field),
            ..invalid
        }
    }

    /// A path as the manifest has it.
    pub(super) fn original(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let (mut written, mut rest) = (String::new(), path);
        while let Some((before, behind)) = rest.split_once('[') {
            written.push_str(before);
            rest = behind;
            let number = behind.split_once(']');
            let number = number.and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
            match number {
                Some((index, behind)) => {
                    let index = self.written(&written, index);
                    written.push_str(&format!("[{index}]"));
                    rest = behind;
                }
                None => written.push('['),
            }
        }
        written + rest
    }

    fn written(&self, list: &str, mut index: usize) -> usize {
        for (_, gap) in self.0.iter().filter(|(path, _)| path == list) {
            index += usize::from(*gap <= index);
        }
        index
    }
}
