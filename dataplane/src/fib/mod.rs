//! Routes and neighbours as the kernel has them.

pub mod mirror;

/// A next hop in a [`Fib`] generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HopId(pub u32);
