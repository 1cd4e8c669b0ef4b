//! A packet socket: what a wire's other end sends and sees.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Sends and receives whole Ethernet frames on one interface.
pub(crate) struct Raw(OwnedFd);

impl Raw {
    pub(crate) fn open(interface: &str) -> Self {
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: `socket` takes no pointers.
        let socket =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, all.into()) };
        assert!(socket >= 0, "packet socket: {}", io::Error::last_os_error());
        // SAFETY: the descriptor was just opened, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let index = rustix::net::netdevice::name_to_index(&socket, interface).expect("the interface exists");
        // SAFETY: a `sockaddr_ll` is plain data, for which all zeroes are a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = index as i32;
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the kernel reads one `sockaddr_ll`, which outlives the call.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
        assert_eq!(bound, 0, "bind: {}", io::Error::last_os_error());
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 16 << 20).expect("a larger buffer");
        Self(socket)
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        let sent = rustix::net::send(&self.0, frame, rustix::net::SendFlags::empty());
        assert_eq!(sent, Ok(frame.len()));
    }

    /// The next frame that arrived, or `None` if there is none now. Frames that this end sent are passed over.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 65536];
        loop {
            // SAFETY: a `sockaddr_ll` is plain data, for which all zeroes are a value.
            let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            let mut length = size_of_val(&from) as libc::socklen_t;
            // SAFETY: the kernel writes `frame.len()` bytes to `frame` and one address to `from` at most.
            let received = unsafe {
                libc::recvfrom(
                    self.0.as_raw_fd(),
                    frame.as_mut_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut length,
                )
            };
            let received = usize::try_from(received).ok()?;
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                frame.truncate(received);
                return Some(frame);
            }
        }
    }
}
