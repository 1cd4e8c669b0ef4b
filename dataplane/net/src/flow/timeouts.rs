//! How long a flow may be idle.

use std::time::Duration;

/// Idle timeouts by state. A flow is removed between its timeout and one round of the sweep later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP before the client has acknowledged the pod's SYN. Covers six retransmissions of a SYN.
    pub tcp_opening: Duration,
    /// TCP with both directions open. At least 2 h 4 min, which is what RFC 5382 section 5 (REQ-5) asks for, so
    /// that TCP keep-alives of two hours hold a connection.
    pub tcp_established: Duration,
    /// TCP with one direction closed by FIN. At least 4 min, the transitory timeout of the same requirement.
    pub tcp_half_closed: Duration,
    /// TCP with both directions closed: time for the last acknowledgement and its retransmission.
    pub tcp_closed: Duration,
    /// TCP after a reset.
    pub tcp_reset: Duration,
    /// UDP before the pod's first answer.
    pub udp_unreplied: Duration,
    /// UDP after it. At least 2 min, RFC 4787 section 4.3 (REQ-5).
    pub udp_replied: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_opening: Duration::from_secs(75),
            tcp_established: Duration::from_secs(2 * 3600 + 4 * 60),
            tcp_half_closed: Duration::from_secs(240),
            tcp_closed: Duration::from_secs(30),
            tcp_reset: Duration::from_secs(5),
            udp_unreplied: Duration::from_secs(30),
            udp_replied: Duration::from_secs(120),
        }
    }
}
