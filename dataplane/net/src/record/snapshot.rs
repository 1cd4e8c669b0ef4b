//! Counts as they were at a moment.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Id;

/// The values of a [`Block`](super::Block), or sums of them. In JSON a map from names, in the order of the table; names that
/// are missing when it is read are 0, and names that nobody knows are passed over: another version wrote them.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot<I> {
    values: Box<[u64]>,
    ids: PhantomData<fn(I)>,
}

impl<I: Id> Snapshot<I> {
    /// Takes each value from `value`.
    pub fn of(value: impl Fn(I) -> u64) -> Self {
        Self {
            values: I::VARIANTS.iter().map(|id| value(*id)).collect(),
            ids: PhantomData,
        }
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.values.iter_mut().zip(&other.values) {
            *sum += more;
        }
    }

    /// Every id with its value, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (I, u64)> {
        I::VARIANTS.iter().copied().zip(self.values.iter().copied())
    }
}

impl<I: Id> Default for Snapshot<I> {
    fn default() -> Self {
        Self::of(|_| 0)
    }
}

impl<I: Id> Index<I> for Snapshot<I> {
    type Output = u64;

    fn index(&self, id: I) -> &u64 {
        &self.values[id.index()]
    }
}

impl<I: Id> IndexMut<I> for Snapshot<I> {
    fn index_mut(&mut self, id: I) -> &mut u64 {
        &mut self.values[id.index()]
    }
}

impl<I: Id> fmt::Debug for Snapshot<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(id, value)| (id.name(), value)))
            .finish()
    }
}

impl<I: Id> Serialize for Snapshot<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (id, value) in self.iter() {
            map.serialize_entry(id.name(), &value)?;
        }
        map.end()
    }
}

impl<'de, I: Id> Deserialize<'de> for Snapshot<I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names<I>(PhantomData<fn(I)>);

        impl<'de, I: Id> Visitor<'de> for Names<I> {
            type Value = Snapshot<I>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from names to counts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Snapshot<I>, A::Error> {
                let mut snapshot = Snapshot::default();
                while let Some(name) = map.next_key::<String>()? {
                    match I::VARIANTS.iter().find(|id| id.name() == name) {
                        Some(id) => snapshot[*id] = map.next_value()?,
                        None => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(snapshot)
            }
        }

        deserializer.deserialize_map(Names(PhantomData))
    }
}
