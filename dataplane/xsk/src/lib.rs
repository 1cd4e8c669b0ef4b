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

//!
//! All of it is Linux'. Elsewhere there are frames on the heap alone, and what rules are made of, so that what works on
//! them needs no other form there.
#![cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "frames go to the kernel and come back on Linux alone")
)]

#[cfg(target_os = "linux")]
mod interface;
#[cfg(target_os = "linux")]
mod queue;
mod steering;
#[cfg(target_os = "linux")]
pub mod tap;
mod umem;

pub use headgate_abi::Outcome;

#[cfg(target_os = "linux")]
pub use queue::{
    BATCH, BindError, BusyPoll, KernelStatistics, Probe, Queue, QueueConfig, QueueStatistics, XdpMode,
    ZeroCopy,
};
#[cfg(target_os = "linux")]
pub use steering::{AddressRule, AttachError, Steering, SteeringCounters, SteeringError};
#[cfg(not(target_os = "linux"))]
pub use steering::{AddressRule, SteeringError};
pub use umem::{FRAME_CAPACITY, FRAME_HEADROOM, FRAME_SIZE, Frame, FrameCache, TooLong, Umem, UmemError};
