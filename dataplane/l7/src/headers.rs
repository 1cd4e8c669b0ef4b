//! A client as pods are told of it, and the IDs of requests.

use std::net::{IpAddr, SocketAddr};

/// Who asks, and by which listener.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) listener: SocketAddr,
    pub(crate) tls: bool,
    /// `address.ip()`, ready for headers.
    pub(crate) ip: Box<str>,
    /// The listener's.
    pub(crate) port: Box<str>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, listener: SocketAddr, tls: bool) -> Self {
        Self {
            address,
            listener,
            tls,
            ip: address.ip().to_string().into(),
            port: listener.port().to_string().into(),
        }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

/// What a request is found by in logs.
#[derive(Clone, Debug)]
pub(crate) enum RequestId {
    /// The client's, which is short and harmless.
    Given(Box<[u8]>),
    /// 32 hexadecimal digits.
    Made([u8; 32]),
}

impl RequestId {
    pub(crate) fn made_of(random: [u64; 2]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bits = u128::from(random[0]) << 64 | u128::from(random[1]);
        let mut digits = [0; 32];
        for (n, digit) in digits.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (4 * n) & 15) as usize];
        }
        Self::Made(digits)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(id) => id,
            Self::Made(id) => id,
        }
    }
}
