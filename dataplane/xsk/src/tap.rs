//! Packets to and from the kernel's own stack.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::net::{AddressFamily, SocketType, socket};

use crate::interface::request;

/// A TAP device: what is written to it the kernel receives as from a wire, and what the kernel sends through it can be
/// read. Goes when this value does. Packets are whole Ethernet frames, without the checksum behind them.
#[derive(Debug)]
pub struct Tap {
    device: File,
    name: String,
    mac: [u8; 6],
}

/// Why there is no TAP device.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// Not a name that an interface can have.
    #[error("{name:?} cannot name a network interface: 1 to 15 characters, none of them '/' or a space")]
    Name {
        /// The name asked for.
        name: String,
    },
    /// The device file cannot be opened.
    #[error(
        "cannot open /dev/net/tun: load the module (modprobe tun), or give the container the device \
         (--device /dev/net/tun)"
    )]
    Open(#[source] io::Error),
    /// A capability is missing.
    #[error("not allowed to create network interface {name}: run as root, or with CAP_NET_ADMIN")]
    Privilege {
        /// The name asked for.
        name: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Another program has it.
    #[error(
        "network interface {name} exists and is in use: choose another name, or run `ip link del {name}`"
    )]
    Busy {
        /// The name asked for.
        name: String,
    },
    /// Anything else.
    #[error("cannot set up network interface {name}")]
    Kernel {
        /// The name asked for.
        name: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Tap {
    /// Creates the TAP device `name` in the calling thread's network namespace and brings it up.
    ///
    /// # Errors
    ///
    /// See [`TapError`]: each says what to do about it.
    pub fn create(name: &str) -> Result<Self, TapError> {
        let bad = |c: char| c == '/' || c == '\0' || c.is_whitespace();
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(bad) || name.starts_with('.') {
            return Err(TapError::Name {
                name: name.to_owned(),
            });
        }
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")
            .map_err(TapError::Open)?;
        let refused = |source: io::Error| match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => TapError::Privilege {
                name: name.to_owned(),
                source,
            },
            Some(libc::EBUSY | libc::EEXIST | libc::EINVAL) => TapError::Busy {
                name: name.to_owned(),
            },
            _ => TapError::Kernel {
                name: name.to_owned(),
                source,
            },
        };
        attach(&device, name).map_err(refused)?;
        let mac = bring_up(name).map_err(refused)?;
        Ok(Self {
            device,
            name: name.to_owned(),
            mac,
        })
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's own link-layer address: what packets for the kernel are sent to.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Reads one packet that the kernel sends, cut off at the end of `packet`; returns its length.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is none.
    pub fn read(&self, packet: &mut [u8]) -> io::Result<usize> {
        (&self.device).read(packet)
    }

    /// Has the kernel receive one packet.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if the kernel has no room for it now, and others if it is not a packet or if the
    /// interface was taken down.
    pub fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.device).write(packet).map(|_| ())
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Makes `device` the TAP device `name` (`TUNSETIFF`).
fn attach(device: &File, name: &str) -> io::Result<()> {
    // SAFETY: an `ifreq` is plain data, for which all zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1]
        .iter_mut()
        .zip(name.as_bytes())
    {
        *to = *from as libc::c_char;
    }
    // No packet information in front of packets, and no attaching to a device that somebody made before.
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which outlives the call.
    if unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Brings the interface up and returns its link-layer address.
fn bring_up(name: &str) -> io::Result<[u8; 6]> {
    let control = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut flags = request(&control, name, libc::SIOCGIFFLAGS)?;
    // SAFETY: SIOCGIFFLAGS has filled `ifru_flags`, and SIOCSIFFLAGS reads it.
    unsafe {
        flags.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        if libc::ioctl(control.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const flags) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let address = request(&control, name, libc::SIOCGIFHWADDR)?;
    // SAFETY: SIOCGIFHWADDR fills `ifru_hwaddr`.
    let octets = unsafe { address.ifr_ifru.ifru_hwaddr.sa_data };
    Ok(std::array::from_fn(|i| octets[i] as u8))
}
