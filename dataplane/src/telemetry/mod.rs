//! What a running dataplane tells about itself: one JSON document to each connection on `status.sock`, a [`Status`], or
//! a [`PolicyState`] or a [`DecisionStatus`] to a client that sends a line that asks for it.

pub mod flow_log;
mod flows;
pub mod metrics;
mod request;
mod server;
mod status;
pub(crate) mod traffic;

#[cfg(test)]
mod tests;

pub use flows::{FlowList, FlowOrder, FlowQuery, FlowStatus};
pub use headgate_net::policy::{DecisionStatus, PolicyState, Question};
pub use server::{Answers, Server};
pub(crate) use status::direction;
pub use status::{
    ControlStatus, Counts, DenialStatus, FrameStatus, HeldFrames, KernelPathStatus, LinkState,
    ListenerStatus, MirrorStatistics, Mode, PortStatus, QueueStatus, RouteStatus, StageStatus, Status,
    SteeringStatus, WorkerStatus,
};
pub use traffic::{HttpRouteStatus, ServiceStatus, UpstreamStatus};
