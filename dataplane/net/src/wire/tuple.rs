//! What names a flow.

use super::{Address, Headers};

/// One direction of a connection, the protocol aside. Ports are in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tuple<A> {
    /// Who sends.
    pub source: A,
    /// To whom.
    pub destination: A,
    /// From which port.
    pub source_port: u16,
    /// To which port.
    pub destination_port: u16,
}

impl<A: Address> Tuple<A> {
    /// The tuple of a packet whose headers are `headers`; ports are 0 where the protocol has none.
    ///
    /// # Panics
    /// Where `headers` are of another frame, or of the other address family.
    #[inline]
    #[must_use]
    pub fn of(frame: &[u8], headers: &Headers) -> Self {
        let [source, destination] = A::both(frame, headers.l3.into());
        Self {
            source,
            destination,
            source_port: headers.source_port,
            destination_port: headers.destination_port,
        }
    }

    /// The other direction.
    #[inline]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}
