//! Binding a socket to a queue.

use std::error::Error as _;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use xsk_rs::config::{BindFlags, LibxdpFlags, QueueSize, SocketConfig, XdpFlags};
use xsk_rs::{CompQueue, FillQueue, RxQueue, TxQueue};

use super::config::{BindError, MAX_MTU, QueueConfig, XdpMode, ZeroCopy};
use super::socket::{Rings, Socket};
use super::{BATCH, BusyPoll};
use crate::interface::Interface;
use crate::umem::{KERNEL_RING_SIZE, Umem};

/// Sockets that nobody uses now.
///
/// None is ever closed; see [`super::Queue`]. There is a reason besides: libxdp keeps the first socket of a
/// memory open as long as the memory, which here is for ever.
static PARKED: Mutex<Parked> = Mutex::new(Parked::new());

/// They came in boxes, and go out in them again.
type Parked = Vec<Box<Socket>>;

pub(super) fn bind(umem: &'static Umem, config: &QueueConfig) -> Result<Box<Socket>, BindError> {
    let interface = check(config)?;
    let kernel = umem.kernel().ok_or(BindError::HeapMemory)?;
    let mut bound = umem.bound();
    let mut socket = match unpark(umem, interface.index, config.queue) {
        Some(socket) => socket,
        None => {
            let rings = open(&kernel.umem, config, &interface, *bound > 0)?;
            *bound += 1;
            Socket::new(umem, kernel, rings, interface.index, config)
        }
    };
    socket.busy_poll = config.busy_poll.is_some();
    Ok(socket)
}

pub(super) fn park(socket: Box<Socket>) {
    parked().push(socket);
}

fn unpark(umem: &Umem, interface: u32, queue: u32) -> Option<Box<Socket>> {
    let mut parked = parked();
    let at = parked.iter().position(|socket| {
        std::ptr::eq(socket.umem, umem) && (socket.interface, socket.queue) == (interface, queue)
    })?;
    Some(parked.swap_remove(at))
}

fn parked() -> MutexGuard<'static, Parked> {
    PARKED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check(config: &QueueConfig) -> Result<Interface, BindError> {
    let ring_size = config.ring_size;
    if !ring_size.is_power_of_two() || !(BATCH as u32..=KERNEL_RING_SIZE).contains(&ring_size) {
        return Err(BindError::RingSize { ring_size });
    }
    let interface = Interface::find(&config.interface)
        .map_err(|source| BindError::Interface {
            interface: config.interface.clone(),
            source,
        })?
        .ok_or_else(|| BindError::NoInterface {
            interface: config.interface.clone(),
        })?;
    if interface.mtu > MAX_MTU {
        return Err(BindError::MtuTooLarge {
            interface: interface.name,
            mtu: interface.mtu,
        });
    }
    Ok(interface)
}

/// Opens and binds. `shared` says that another queue of the memory is bound already, whose mode the kernel
/// then uses for this one too (`xsk_bind` in `net/xdp/xsk.c`).
fn open(
    umem: &xsk_rs::Umem,
    config: &QueueConfig,
    interface: &Interface,
    shared: bool,
) -> Result<Rings, BindError> {
    let mut refusal = None;
    if config.mode == XdpMode::Generic && config.zero_copy != ZeroCopy::Off {
        refusal = Some("generic XDP always copies".to_owned());
    }
    if refusal.is_none() && config.zero_copy != ZeroCopy::Off {
        match create(umem, config, BindFlags::XDP_ZEROCOPY) {
            Ok(rings) => return finish(rings, config, None),
            Err(error) if shared && config.zero_copy == ZeroCopy::Try && is_refusal(&error) => {
                return Err(BindError::MixedZeroCopy {
                    interface: interface.name.clone(),
                });
            }
            Err(error) if is_refusal(&error) => refusal = Some(error.to_string()),
            Err(error) => return Err(classify(error, config, interface)),
        }
    }
    if config.zero_copy == ZeroCopy::Require {
        return Err(BindError::ZeroCopyRefused {
            interface: interface.name.clone(),
            reason: refusal.unwrap_or_default(),
        });
    }
    let rings =
        create(umem, config, BindFlags::XDP_COPY).map_err(|error| classify(error, config, interface))?;
    finish(rings, config, refusal)
}

type Created = (TxQueue, RxQueue, Option<(FillQueue, CompQueue)>);

fn create(umem: &xsk_rs::Umem, config: &QueueConfig, copy: BindFlags) -> io::Result<Created> {
    let size = QueueSize::new(config.ring_size).map_err(|error| io::Error::other(error.to_string()))?;
    let socket = SocketConfig::builder()
        .rx_queue_size(size)
        .tx_queue_size(size)
        .bind_flags(copy | BindFlags::XDP_USE_NEED_WAKEUP)
        .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
        .xdp_flags(XdpFlags::empty())
        .build();
    let interface = config
        .interface
        .parse()
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: what the function asks for is the flag that inhibits the program of libxdp's own, set above.
    unsafe { xsk_rs::Socket::new(socket, umem, &interface, config.queue) }.map_err(|error| {
        error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
            .and_then(io::Error::raw_os_error)
            .map_or_else(
                || io::Error::other(error.to_string()),
                io::Error::from_raw_os_error,
            )
    })
}

fn finish(rings: Created, config: &QueueConfig, refusal: Option<String>) -> Result<Rings, BindError> {
    let (transmit, receive, own) = rings;
    let Some((fill, completion)) = own else {
        // The memory is bound to this queue already: the rings belong to that socket.
        return Err(BindError::QueueBusy {
            interface: config.interface.clone(),
            queue: config.queue,
        });
    };
    let socket = receive.fd().as_raw_fd();
    set_options(socket, config)?;
    let zero_copy = is_zero_copy(socket).map_err(|source| option_error("XDP_OPTIONS", config, source))?;
    let refusal = refusal
        .or_else(|| (!zero_copy).then(|| "a port that shares its packet memory copies".to_owned()))
        .filter(|_| !zero_copy && config.zero_copy != ZeroCopy::Off);
    if config.zero_copy == ZeroCopy::Require && !zero_copy {
        return Err(BindError::ZeroCopyRefused {
            interface: config.interface.clone(),
            reason: refusal.unwrap_or_default(),
        });
    }
    Ok(Rings {
        receive,
        transmit,
        fill,
        completion,
        zero_copy,
        refusal,
    })
}

/// Whether the kernel says "not with zero-copy", rather than "not at all".
fn is_refusal(error: &io::Error) -> bool {
    /// The kernel's own `ENOTSUPP`, which some drivers let out.
    const ENOTSUPP: i32 = 524;
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS | libc::ENOMEM | ENOTSUPP)
    )
}

fn classify(source: io::Error, config: &QueueConfig, interface: &Interface) -> BindError {
    let (name, queue) = (interface.name.clone(), config.queue);
    match source.raw_os_error() {
        Some(libc::EBUSY) => BindError::QueueBusy {
            interface: name,
            queue,
        },
        Some(libc::ENETDOWN) => BindError::Down { interface: name },
        Some(libc::EPERM | libc::EACCES) => BindError::Privilege {
            interface: name,
            source,
        },
        Some(libc::ENODEV) => BindError::NoInterface { interface: name },
        Some(libc::EINVAL) => BindError::NoQueue {
            interface: name,
            queue,
            source,
        },
        _ if !interface.up => BindError::Down { interface: name },
        _ => BindError::Kernel {
            interface: name,
            queue,
            source,
        },
    }
}

/// `XDP_MAX_TX_SKB_BUDGET` of `linux/if_xdp.h`, since Linux 6.17.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

fn set_options(socket: RawFd, config: &QueueConfig) -> Result<(), BindError> {
    // Copy mode sends 32 packets a call unless told otherwise; older kernels cannot be told, and the
    // queue then calls twice.
    match set_option(socket, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, BATCH as libc::c_int) {
        Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => {
            return Err(option_error("XDP_MAX_TX_SKB_BUDGET", config, error));
        }
        _ => {}
    }
    let Some(BusyPoll { microseconds, budget }) = config.busy_poll else {
        return Ok(());
    };
    let microseconds = libc::c_int::try_from(microseconds).unwrap_or(libc::c_int::MAX);
    let options = [
        ("SO_PREFER_BUSY_POLL", libc::SO_PREFER_BUSY_POLL, 1),
        ("SO_BUSY_POLL", libc::SO_BUSY_POLL, microseconds),
        (
            "SO_BUSY_POLL_BUDGET",
            libc::SO_BUSY_POLL_BUDGET,
            libc::c_int::from(budget),
        ),
    ];
    for (name, option, value) in options {
        set_option(socket, libc::SOL_SOCKET, option, value)
            .map_err(|error| option_error(name, config, error))?;
    }
    Ok(())
}

fn option_error(option: &'static str, config: &QueueConfig, source: io::Error) -> BindError {
    BindError::Option {
        option,
        interface: config.interface.clone(),
        queue: config.queue,
        source,
    }
}

fn set_option(socket: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the kernel reads one `int` at the given address during the call.
    let result = unsafe {
        libc::setsockopt(
            socket,
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn is_zero_copy(socket: RawFd) -> io::Result<bool> {
    // SAFETY: the socket is open as long as its rings are, which the caller holds.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let options = rustix::net::sockopt::xdp_options(socket)?;
    Ok(options.contains(rustix::net::xdp::XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY))
}
