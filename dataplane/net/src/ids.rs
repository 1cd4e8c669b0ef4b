//! Numbers of what every table speaks of.

/// An interface that Headgate serves, by its place on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u8);

impl PortId {
    /// No interface, but the kernel's own side of the host: packets of pods come in by it whose devices are no ports.
    pub const KERNEL: Self = Self(u8::MAX);
}

/// A worker, by its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

/// A stage that terminates connections: one of each worker and of its number, or one on a core of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageId(pub u8);
