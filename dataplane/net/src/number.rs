//! Small numbers for routes, upstreams and Services, by which each worker keeps what it knows of them in a slab.
//!
//! The dataplane gives them out itself, and the messages have none: so they survive a control plane that begins anew, and
//! one is used again only when no table, no request and no slab holds it any more, which no other process could know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The number of something as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct Number(Arc<Held>);

#[derive(Debug)]
struct Held {
    index: u32,
    birth: u64,
    home: Numbers,
}

impl Number {
    /// A place in a slab; small, and used again once nobody holds this number.
    #[inline]
    #[must_use]
    pub fn index(&self) -> usize {
        self.0.index as usize
    }

    /// [`index`](Self::index) for where there are 16 bits for it; those that do not fit share the greatest.
    #[must_use]
    pub fn short_index(&self) -> u16 {
        u16::try_from(self.0.index).unwrap_or(u16::MAX)
    }

    /// Tells one holder of the same index from the next: never used again. What a slab keeps at an index with another
    /// birth is of something that is gone.
    #[inline]
    #[must_use]
    pub fn birth(&self) -> u64 {
        self.0.birth
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Number {}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.home.0).free.push(self.index);
    }
}

/// The numbers of one kind of thing. Clones give out the same ones.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<Mutex<Given>>);

#[derive(Debug, Default)]
struct Given {
    free: Vec<u32>,
    /// Above all that were ever given out.
    next: u32,
    births: u64,
}

impl Numbers {
    /// A number that nobody has.
    #[must_use]
    pub fn give(&self) -> Number {
        let mut given = lock(&self.0);
        given.births += 1;
        let index = given.free.pop().unwrap_or_else(|| {
            given.next += 1;
            given.next - 1
        });
        Number(Arc::new(Held {
            index,
            birth: given.births,
            home: self.clone(),
        }))
    }

    /// Above every [`index`](Number::index) so far.
    #[must_use]
    pub fn end(&self) -> usize {
        lock(&self.0).next as usize
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who has which number; shared by all publications of the routes.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) routes: Numbers,
    pub(crate) upstreams: Numbers,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    held: HashMap<Box<str>, Weak<Held>>,
    /// How many there may be before those that nobody holds are looked for.
    sweep_at: usize,
}

impl Registry {
    /// The number of the upstream of this name.
    pub(crate) fn upstream(&self, name: &str) -> Number {
        let mut names = lock(&self.names);
        if let Some(held) = names.held.get(name).and_then(Weak::upgrade) {
            return Number(held);
        }
        if names.held.len() >= names.sweep_at {
            names.held.retain(|_, held| held.strong_count() > 0);
            names.sweep_at = 2 * names.held.len() + 64;
        }
        let number = self.upstreams.give();
        names.held.insert(name.into(), Arc::downgrade(&number.0));
        number
    }

    /// Every upstream that somebody holds, with its name.
    pub(crate) fn named_upstreams(&self) -> Vec<(Box<str>, Number)> {
        let names = lock(&self.names);
        let held = names.held.iter();
        held.filter_map(|(name, held)| Some((name.clone(), Number(held.upgrade()?))))
            .collect()
    }
}
