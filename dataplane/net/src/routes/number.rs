//! Small numbers for routes and upstreams, by which each worker keeps what it knows of them in a slab.
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
    home: Arc<Mutex<Numbers>>,
}

impl Number {
    /// A place in a slab; small, and used again once nobody holds this number.
    #[inline]
    #[must_use]
    pub fn index(&self) -> usize {
        self.0.index as usize
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
        lock(&self.home).free.push(self.index);
    }
}

/// The numbers of one kind of thing.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    free: Vec<u32>,
    /// Above all that were ever given out.
    next: u32,
    births: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give(home: &Arc<Mutex<Numbers>>) -> Number {
    let mut numbers = lock(home);
    numbers.births += 1;
    let index = numbers.free.pop().unwrap_or_else(|| {
        numbers.next += 1;
        numbers.next - 1
    });
    Number(Arc::new(Held {
        index,
        birth: numbers.births,
        home: Arc::clone(home),
    }))
}

/// Who has which number; shared by all generations of the routes.
#[derive(Debug, Default)]
pub(super) struct Registry {
    routes: Arc<Mutex<Numbers>>,
    upstreams: Arc<Mutex<Numbers>>,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    held: HashMap<Box<str>, Weak<Held>>,
    /// How many there may be before those that nobody holds are looked for.
    sweep_at: usize,
}

impl Registry {
    /// A number that no route has.
    pub(super) fn route(&self) -> Number {
        give(&self.routes)
    }

    /// The number of the upstream of this name.
    pub(super) fn upstream(&self, name: &str) -> Number {
        let mut names = lock(&self.names);
        if let Some(held) = names.held.get(name).and_then(Weak::upgrade) {
            return Number(held);
        }
        if names.held.len() >= names.sweep_at {
            names.held.retain(|_, held| held.strong_count() > 0);
            names.sweep_at = 2 * names.held.len() + 64;
        }
        let number = give(&self.upstreams);
        names.held.insert(name.into(), Arc::downgrade(&number.0));
        number
    }
}
