//! AF_XDP for Headgate: memory shared with the kernel, sockets, and the program that steers packets to them.
//!
//! * [`Umem`] is the packet memory: fixed frames, mapped once, shared by every port and worker.
//! * [`Frame`] owns one of them. It is neither `Clone` nor `Copy`, so that a packet has one owner: a worker, or the kernel.
//! * [`FrameCache`] gives each worker its own free frames in front of the shared pool.
//! * [`Queue`] is an AF_XDP socket, bound to one queue of one interface: it receives and transmits frames.
//! * [`Steering`] is the XDP program that sends packets to those sockets, with its rules and counters.
//! * [`tap::Tap`] is the way for packets to the kernel's own stack.
//!
//! All `unsafe` of the packet path is in this crate. What the kernel hands back is checked in release
//! builds too: a descriptor that cannot be true is counted and left alone, never followed.

mod interface;

mod queue;
mod steering;
pub mod tap;
mod umem;

pub use headgate_abi::Outcome;

pub use queue::{
    BATCH, BindError, BusyPoll, KernelStatistics, Probe, Queue, QueueConfig, QueueStatistics, XdpMode,
    ZeroCopy,
};
pub use steering::{AddressRule, AttachError, Steering, SteeringCounters, SteeringError};
pub use umem::{FRAME_CAPACITY, FRAME_HEADROOM, FRAME_SIZE, Frame, FrameCache, TooLong, Umem, UmemError};
