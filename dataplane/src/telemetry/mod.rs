//! What a running dataplane tells about itself: one JSON document, a [`Status`], to each connection on `status.sock`.

mod server;
mod status;

#[cfg(test)]
mod tests;

pub use server::Server;
pub use status::{
    ControlStatus, Counts, DenialStatus, FrameStatus, HeldFrames, KernelPathStatus, LinkState,
    ListenerStatus, PortStatus, QueueStatus, RouteStatus, ServiceStatus, Status, SteeringStatus,
    WorkerStatus,
};
