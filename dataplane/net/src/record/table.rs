//! What is counted: the one table from which status, text and metrics are made.
//!
//! A variant is a counter, or a gauge in a list whose name says so. Its comment is the help text, its name in small letters is
//! the key in the status document, and `metric` is its name in metrics, without `headgate_` in front and without the unit
//! and `_total` behind. `value` is its label where the variants of a list share one metric.

mod l7;

use strum::{EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray};

use crate::counted::Id;
pub use l7::{Class, HttpCount, HttpGauge, RouteCount, TcpCount, TcpGauge, UpstreamCount, UpstreamGauge};

/// How the packets and flows of a worker fared.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum PacketCount {
    /// Packets that the pipeline saw; a packet that is handed over is seen by two workers
    Packets,
    /// Packets handed to the worker that owns their flow
    #[strum(props(metric = "packets_handed_over"))]
    HandedOver,
    /// Packets taken over from another worker
    #[strum(props(metric = "packets_taken_over"))]
    TakenOver,
    /// Packets of pods that came by the kernel and the TAP device
    #[strum(props(metric = "packets_from_kernel"))]
    FromKernel,
    /// Packets rewritten and sent on
    #[strum(props(metric = "packets_forwarded"))]
    Forwarded,
    /// Packets rewritten that waited for a neighbour's address
    #[strum(props(metric = "packets_resolving"))]
    Resolving,
    /// Packets given to the L7 stage
    #[strum(props(metric = "packets_to_l7"))]
    ToL7,
    /// Packets that the L7 stage sent
    #[strum(props(metric = "packets_from_l7"))]
    FromL7,
    /// Flows made for first packets that Services and policies let in
    FlowsCreated,
    /// Flows forgotten for idleness
    FlowsExpired,
    /// Flows cut because a change forbids them or takes their Service away
    FlowsCut,
}

/// What the loop of a worker does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Loop {
    /// Turns of the worker's loop
    #[strum(props(metric = "worker_turns"))]
    Turns,
    /// Times that the worker waited for an event
    #[strum(props(metric = "worker_sleeps"))]
    Sleeps,
}

/// What a worker holds now.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum WorkerGauge {
    /// Flows that the worker follows now
    Flows,
    /// Frames that wait for a neighbour's address now
    #[strum(props(metric = "worker_frames_parked"))]
    Parked,
    /// Frames that wait for room in a transmit ring now
    #[strum(props(metric = "worker_frames_unsent"))]
    Unsent,
}

/// An AF_XDP socket, as Headgate and the kernel count.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum QueueCount {
    /// Packets received from the queue
    #[strum(props(metric = "queue_received"))]
    Received,
    /// Packets put into the transmit ring
    #[strum(props(metric = "queue_transmitted"))]
    Transmitted,
    /// Frames that came back after being sent
    #[strum(props(metric = "queue_completed"))]
    Completed,
    /// System calls that told the kernel to send
    #[strum(props(metric = "queue_kicks"))]
    Kicks,
    /// Such calls that found the device busy
    #[strum(props(metric = "queue_kicks_busy"))]
    KicksBusy,
    /// Such calls that left packets to be sent
    #[strum(props(metric = "queue_kicks_again"))]
    KicksAgain,
    /// Such calls that found no memory for packets
    #[strum(props(metric = "queue_kicks_no_buffers"))]
    KicksNoBuffers,
    /// Such calls that failed otherwise
    #[strum(props(metric = "queue_kick_errors"))]
    KickErrors,
    /// Descriptors from the kernel that cannot be true
    #[strum(props(metric = "queue_bad_descriptors"))]
    BadDescriptors,
    /// Parts of packets longer than a frame, dropped
    #[strum(props(metric = "queue_oversized"))]
    Oversized,
    /// Frames of another packet memory, dropped
    #[strum(props(metric = "queue_foreign"))]
    Foreign,
    /// Frames that wait in the kernel to be filled now
    #[strum(props(metric = "queue_frames_filling", gauge = true))]
    Filling,
    /// Frames that wait in the kernel to be sent now
    #[strum(props(metric = "queue_frames_sending", gauge = true))]
    Sending,
    /// Packets that the kernel dropped, for being longer than a frame, say
    #[strum(props(metric = "queue_kernel_receive_dropped"))]
    KernelRxDropped,
    /// Packets that the kernel dropped for an invalid descriptor of the fill ring
    #[strum(props(metric = "queue_kernel_receive_invalid"))]
    KernelRxInvalidDescriptors,
    /// Transmit descriptors that the kernel found invalid
    #[strum(props(metric = "queue_kernel_transmit_invalid"))]
    KernelTxInvalidDescriptors,
    /// Packets that the kernel dropped because the worker was too slow
    #[strum(props(metric = "queue_kernel_receive_ring_full"))]
    KernelRxRingFull,
    /// Times that the kernel found no frame to fill
    #[strum(props(metric = "queue_kernel_fill_ring_empty"))]
    KernelFillRingEmpty,
    /// Times that the kernel was told to send with nothing to send
    #[strum(props(metric = "queue_kernel_transmit_ring_empty"))]
    KernelTxRingEmpty,
}

/// Packets of a Service's port at one address.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum ServiceCount {
    /// Flows made for clients of the Service
    #[strum(props(metric = "service_flows"))]
    Flows,
    /// Packets of clients sent on to pods of the Service
    #[strum(props(metric = "service_received_packets"))]
    PacketsIn,
    /// Bytes of their IP packets
    #[strum(props(metric = "service_received_bytes"))]
    BytesIn,
    /// Packets of pods of the Service sent on to clients
    #[strum(props(metric = "service_sent_packets"))]
    PacketsOut,
    /// Bytes of their IP packets, as the pods sent them
    #[strum(props(metric = "service_sent_bytes"))]
    BytesOut,
    /// First packets answered or dropped because the Service has no ready backend
    #[strum(props(metric = "service_packets_without_backend"))]
    WithoutBackend,
    /// First packets of clients that policies forbade
    #[strum(props(metric = "service_packets_denied"))]
    Denied,
}

impl Id for PacketCount {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for Loop {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for WorkerGauge {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for QueueCount {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for ServiceCount {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}
