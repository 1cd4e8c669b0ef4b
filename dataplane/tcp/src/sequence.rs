//! Sequence numbers (RFC 9293, section 3.4): they wrap, and are compared by their distance.

use std::ops::{Add, AddAssign, Sub};

/// A sequence number of either side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seq(pub(crate) u32);

impl Seq {
    /// Whether this comes before `other`: less than half of the numbers lie between them.
    #[inline]
    pub(crate) const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this is `other` or comes before it.
    #[inline]
    pub(crate) const fn at_most(self, other: Self) -> bool {
        !other.before(self)
    }

    /// Bytes from `earlier` to this; 0 where this comes before.
    #[inline]
    pub(crate) const fn ahead(self, earlier: Self) -> u32 {
        if self.before(earlier) {
            0
        } else {
            self.0.wrapping_sub(earlier.0)
        }
    }

    /// The later of both.
    #[inline]
    pub(crate) const fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of both.
    #[inline]
    pub(crate) const fn min(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }
}

impl Add<u32> for Seq {
    type Output = Self;

    #[inline]
    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl Sub<u32> for Seq {
    type Output = Self;

    #[inline]
    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

impl AddAssign<u32> for Seq {
    #[inline]
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}
