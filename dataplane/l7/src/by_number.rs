//! What a worker knows of routes and upstreams, from one configuration to the next.

use std::cell::RefCell;

use headgate_net::number::Number;

/// One value for each [`Number`] that was ever asked about, in a slab. A value lives as long as its number does, whatever
/// becomes of configurations; when the next one has its place, it begins anew.
#[derive(Debug)]
pub(crate) struct ByNumber<T>(RefCell<Vec<(u64, T)>>);

impl<T> Default for ByNumber<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Default> ByNumber<T> {
    /// Lets `look` see the value of `number`.
    pub(crate) fn with<R>(&self, number: &Number, look: impl FnOnce(&mut T) -> R) -> R {
        let mut values = self.0.borrow_mut();
        let index = number.index();
        if values.len() <= index {
            // Births begin with 1.
            values.resize_with(index + 1, || (0, T::default()));
        }
        let (birth, value) = &mut values[index];
        if *birth != number.birth() {
            (*birth, *value) = (number.birth(), T::default());
        }
        look(value)
    }
}

#[cfg(test)]
mod tests {
    use headgate_net::{number::Number, routes::Routes};

    use super::ByNumber;

    #[test]
    fn a_value_lives_as_long_as_its_number() {
        let (values, routes) = (ByNumber::<u32>::default(), Routes::default());
        let count = |number: &Number| {
            values.with(number, |value| {
                *value += 1;
                *value
            })
        };
        let (a, b) = (routes.upstream("a"), routes.upstream("b"));
        assert_eq!((count(&a), count(&b), count(&a)), (1, 1, 2));
        // The name's number stays while it is held, and its value with it.
        assert_eq!(count(&routes.upstream("a")), 3);
        let place = a.index();
        drop(a);
        let c = routes.upstream("c");
        assert_eq!(c.index(), place, "the place is used again");
        assert_eq!((count(&c), count(&b)), (1, 2));
    }
}
