//! How far a dataplane is with its end.

/// From the start to the end, each in turn; some may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// There is no end in sight.
    #[default]
    Serving,
    /// Whoever sends clients here is to notice: it is not ready, and answers neither ARP nor NDP for addresses of its own.
    /// New clients are served; those who were there are asked to come again.
    Leaving,
    /// New clients and flows are left to others. Those that are there go on.
    Closed,
    /// Clients without a request find their connections closed.
    Parting,
    /// Threads end.
    Over,
}

impl Phase {
    /// What was stored `as u8`.
    #[must_use]
    pub const fn of(number: u8) -> Self {
        match number {
            0 => Self::Serving,
            1 => Self::Leaving,
            2 => Self::Closed,
            3 => Self::Parting,
            _ => Self::Over,
        }
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_draining(self) -> bool {
        self > Self::Serving
    }

    /// Whether new clients and flows are left to others.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self >= Self::Closed
    }
}
