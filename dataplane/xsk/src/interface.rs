//! What this crate asks about a network interface.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketType, netdevice, socket};

/// A network interface of the current thread's network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) index: u32,
    /// Octets of a packet without its link-layer header.
    pub(crate) mtu: u32,
    pub(crate) up: bool,
}

impl Interface {
    /// `None` if there is no interface of this name here.
    pub(crate) fn find(name: &str) -> io::Result<Option<Self>> {
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
            return Ok(None);
        }
        // Any socket will do: it only names the network namespace.
        let control = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        let index = match netdevice::name_to_index(&control, name) {
            Ok(index) => index,
            Err(rustix::io::Errno::NODEV) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mtu = request(&control, name, libc::SIOCGIFMTU)?;
        let flags = request(&control, name, libc::SIOCGIFFLAGS)?;
        // SAFETY: SIOCGIFMTU fills `ifru_mtu`, SIOCGIFFLAGS fills `ifru_flags`.
        let (mtu, flags) = unsafe { (mtu.ifr_ifru.ifru_mtu, flags.ifr_ifru.ifru_flags) };
        Ok(Some(Self {
            name: name.to_owned(),
            index,
            mtu: mtu.unsigned_abs(),
            up: libc::c_int::from(flags) & libc::IFF_UP != 0,
        }))
    }
}

/// One of the `SIOCGIF…` requests about interface `name`, which is shorter than `IFNAMSIZ`.
pub(crate) fn request(control: &OwnedFd, name: &str, what: libc::Ioctl) -> io::Result<libc::ifreq> {
    // SAFETY: an `ifreq` is plain data, for which all zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = CString::new(name)?;
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1]
        .iter_mut()
        .zip(name.as_bytes())
    {
        *to = *from as libc::c_char;
    }
    // SAFETY: these requests read and write one `ifreq`, which outlives the call.
    if unsafe { libc::ioctl(control.as_raw_fd(), what, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(request)
}
