//! The steering program on one interface, and its maps.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use aya::maps::{Map, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use headgate_abi::{Address, Outcome, PortKey, Rule};

use super::counters::SteeringCounters;
use super::error::{AttachError, SteeringError, os_error};
use super::rules::{AddressEntry, AddressRule, address_key, port_key};
use crate::interface::Interface;
use crate::queue::{Queue, XdpMode};

/// The program as `scripts/build-xdp` makes it from `xdp-progs/src`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../xdp-progs/headgate.o");

/// The steering program on one interface.
///
/// Goes with this value, and with the process however that ends: the kernel detaches the program when the last
/// descriptor of its link is closed.
pub struct Steering {
    ebpf: Ebpf,
    /// What keeps the program attached: a `bpf_link`, but for drivers that refuse those.
    link: Option<XdpLink>,
    addresses: aya::maps::HashMap<MapData, Plain<Address>, Plain<Rule>>,
    ports: aya::maps::HashMap<MapData, Plain<PortKey>, u8>,
    sockets: XskMap<MapData>,
    counters: PerCpuArray<MapData, u64>,
    /// What the maps have, to know what a removal leaves.
    entries: HashMap<Address, AddressEntry>,
    refusal: Option<String>,
}

impl Steering {
    /// Loads the program and attaches it to `interface`, with no rules and no sockets: every packet passes.
    ///
    /// Returns the mode that it runs in: generic, with a warning logged and [`Steering::native_refusal`] set, where
    /// native was wanted but the driver does not have it.
    ///
    /// # Errors
    ///
    /// See [`AttachError`]: each says what to do about it.
    pub fn attach(interface: &str, want: XdpMode) -> Result<(Steering, XdpMode), AttachError> {
        let found = Interface::find(interface)
            .map_err(|source| AttachError::Interface {
                interface: interface.to_owned(),
                source,
            })?
            .ok_or_else(|| AttachError::NoInterface {
                interface: interface.to_owned(),
            })?;
        let mut steering = Self::detached()?;
        let mode = steering.attach_to(&found, want)?;
        Ok((steering, mode))
    }

    /// Loads the program without attaching it: for [`Steering::run`].
    ///
    /// # Errors
    ///
    /// As for [`Steering::attach`].
    pub fn detached() -> Result<Steering, AttachError> {
        let mut ebpf = EbpfLoader::new().load(OBJECT).map_err(load_error)?;
        program(&mut ebpf)?
            .load()
            .map_err(|error| load_error(EbpfError::ProgramError(error)))?;
        let mut map = |name| ebpf.take_map(name).ok_or(AttachError::Object(name));
        let (addresses, ports) = (map(headgate_abi::ADDRESSES)?, map(headgate_abi::PORTS)?);
        let (sockets, counters) = (map(headgate_abi::SOCKETS)?, map(headgate_abi::COUNTERS)?);
        Ok(Steering {
            addresses: typed(addresses)?,
            ports: typed(ports)?,
            sockets: typed(sockets)?,
            counters: typed(counters)?,
            ebpf,
            link: None,
            entries: HashMap::new(),
            refusal: None,
        })
    }

    fn attach_to(&mut self, interface: &Interface, want: XdpMode) -> Result<XdpMode, AttachError> {
        let error = match self.try_mode(interface, want) {
            Ok(()) => return Ok(want),
            Err(error) => error,
        };
        let refused = |mode, source: ProgramError| match os_error(&source) {
            Some(libc::EBUSY | libc::EEXIST) => AttachError::Busy {
                interface: interface.name.clone(),
            },
            Some(libc::EPERM) => AttachError::Privilege(std::io::Error::from_raw_os_error(libc::EPERM)),
            _ => AttachError::Refused {
                interface: interface.name.clone(),
                mode,
                source: Box::new(source),
            },
        };
        if want == XdpMode::Generic
            || matches!(os_error(&error), Some(libc::EBUSY | libc::EEXIST | libc::EPERM))
        {
            return Err(refused(want, error));
        }
        let reason = native_hint(&interface.name, &error);
        tracing::warn!(
            interface = interface.name,
            reason,
            "no native XDP here: falling back to generic mode, which is several times slower"
        );
        self.refusal = Some(reason);
        self.try_mode(interface, XdpMode::Generic)
            .map_err(|error| refused(XdpMode::Generic, error))?;
        Ok(XdpMode::Generic)
    }

    fn try_mode(&mut self, interface: &Interface, mode: XdpMode) -> Result<(), ProgramError> {
        let flags = match mode {
            XdpMode::Native => aya::programs::XdpMode::Driver,
            XdpMode::Generic => aya::programs::XdpMode::Skb,
        };
        let program = program(&mut self.ebpf).map_err(|_| ProgramError::UnexpectedProgramType)?;
        let id = program.attach_to_if_index(interface.index, flags)?;
        self.link = Some(program.take_link(id)?);
        Ok(())
    }

    /// Why the program does not run in native mode although that was wanted.
    #[must_use]
    pub fn native_refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Redirects what is taken and arrives on `queue` to this socket, which must be bound to that queue of this
    /// interface: the kernel drops packets that are redirected to another queue's socket.
    ///
    /// # Errors
    ///
    /// Fails if there are fewer places for sockets, or if the kernel refuses.
    pub fn set_queue(&mut self, queue: u32, socket: &Queue) -> Result<(), SteeringError> {
        self.sockets
            .set(queue, socket.as_fd().as_raw_fd(), 0)
            .map_err(|source| queue_error(queue, source))
    }

    /// Passes everything that arrives on `queue` to the kernel again.
    ///
    /// # Errors
    ///
    /// As [`Steering::set_queue`]; it is none if no socket was there.
    pub fn clear_queue(&mut self, queue: u32) -> Result<(), SteeringError> {
        match self.sockets.unset(queue) {
            Err(error) if is_missing(&error) => Ok(()),
            result => result.map_err(|source| queue_error(queue, source)),
        }
    }

    /// Sets what to take of `address`, in place of what was set before. Its ports stay.
    ///
    /// # Errors
    ///
    /// Fails if the rule's range is none, if there are too many addresses, or if the kernel refuses; the rule is then
    /// as it was.
    pub fn set_address(&mut self, address: IpAddr, rule: AddressRule) -> Result<(), SteeringError> {
        rule.check()?;
        self.update(address, |entry| entry.rule = Some(rule))
    }

    /// Forgets what [`Steering::set_address`] set. Ports that were added stay.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses; it is none if nothing was set.
    pub fn remove_address(&mut self, address: IpAddr) -> Result<(), SteeringError> {
        self.update(address, |entry| entry.rule = None)
    }

    /// Takes packets to this destination port, `protocol` being TCP (6), UDP (17) or SCTP (132).
    ///
    /// # Errors
    ///
    /// Fails if there are too many ports or addresses, or if the kernel refuses; it is none to add a port twice.
    pub fn add_port(&mut self, address: IpAddr, protocol: u8, port: u16) -> Result<(), SteeringError> {
        let key = Plain(port_key(address, protocol, port));
        match self.ports.insert(key, headgate_abi::PORT_PRESENT, NO_EXIST) {
            Ok(()) => {}
            Err(error) if os_error(&error) == Some(libc::EEXIST) => return Ok(()),
            Err(source) => return Err(full_or("ports", headgate_abi::MAX_PORTS, source)),
        }
        self.update(address, |entry| entry.ports += 1).inspect_err(|_| {
            let _ = self.ports.remove(&key);
        })
    }

    /// Undoes [`Steering::add_port`].
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses; it is none if the port was not added.
    pub fn remove_port(&mut self, address: IpAddr, protocol: u8, port: u16) -> Result<(), SteeringError> {
        match self.ports.remove(&Plain(port_key(address, protocol, port))) {
            Ok(()) => self.update(address, |entry| entry.ports -= 1),
            Err(error) if is_missing(&error) => Ok(()),
            Err(source) => Err(SteeringError::Map {
                what: "ports",
                source,
            }),
        }
    }

    /// Changes what is known of `address`, in the program's map first.
    fn update(
        &mut self,
        address: IpAddr,
        change: impl FnOnce(&mut AddressEntry),
    ) -> Result<(), SteeringError> {
        let key = address_key(address);
        let before = self.entries.get(&key).copied();
        let mut entry = before.unwrap_or_default();
        change(&mut entry);
        match entry.compile() {
            Some(rule) => {
                self.addresses
                    .insert(Plain(key), Plain(rule), ANY)
                    .map_err(|source| full_or("addresses", headgate_abi::MAX_ADDRESSES, source))?;
                self.entries.insert(key, entry);
            }
            None if before.is_some() => {
                match self.addresses.remove(&Plain(key)) {
                    Err(error) if !is_missing(&error) => {
                        return Err(SteeringError::Map {
                            what: "addresses",
                            source: error,
                        });
                    }
                    _ => {}
                }
                self.entries.remove(&key);
            }
            None => {}
        }
        Ok(())
    }

    /// How many packets ended how.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not tell.
    pub fn counters(&self) -> Result<SteeringCounters, SteeringError> {
        let mut sum = SteeringCounters::default();
        for outcome in Outcome::ALL {
            let cpus = self
                .counters
                .get(&(outcome as u32), 0)
                .map_err(|source| SteeringError::Map {
                    what: "counters",
                    source,
                })?;
            sum.set(outcome, cpus.iter().sum());
        }
        Ok(sum)
    }

    /// Runs the program on a packet that never was on a wire, as if it had arrived on queue 0 (`BPF_PROG_TEST_RUN`), and
    /// tells whether it redirects. The counters count it.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not run it: packets have at least 14 bytes.
    pub fn run(&self, packet: &[u8]) -> Result<bool, SteeringError> {
        const XDP_REDIRECT: u32 = 4;
        let run = || -> Result<u32, ProgramError> {
            let program = self.ebpf.program(headgate_abi::PROGRAM);
            let program: &Xdp = program.ok_or(ProgramError::NotLoaded)?.try_into()?;
            let options = TestRunOptions {
                data_in: Some(packet),
                ..TestRunOptions::new()
            };
            Ok(program.test_run(options)?.return_value)
        };
        Ok(run().map_err(|error| SteeringError::Run(Box::new(error)))? == XDP_REDIRECT)
    }
}

impl std::fmt::Debug for Steering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steering")
            .field("attached", &self.link.is_some())
            .field("addresses", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// `BPF_ANY` and `BPF_NOEXIST` of `linux/bpf.h`.
const ANY: u64 = 0;
const NO_EXIST: u64 = 1;

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, AttachError> {
    ebpf.program_mut(headgate_abi::PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or(AttachError::Object(headgate_abi::PROGRAM))
}

fn typed<T: TryFrom<Map, Error = MapError>>(map: Map) -> Result<T, AttachError> {
    map.try_into()
        .map_err(|error| AttachError::Load(Box::new(EbpfError::MapError(error))))
}

fn load_error(error: EbpfError) -> AttachError {
    match os_error(&error) {
        Some(code @ (libc::EPERM | libc::EACCES)) => {
            AttachError::Privilege(std::io::Error::from_raw_os_error(code))
        }
        _ => AttachError::Load(Box::new(error)),
    }
}

/// What a driver's refusal of native mode means; drivers answer with these codes, veth among them.
fn native_hint(interface: &str, error: &ProgramError) -> String {
    match os_error(error) {
        Some(libc::EOPNOTSUPP | 524) => "its driver has no XDP".to_owned(),
        Some(libc::ERANGE | libc::EINVAL) => {
            format!("its MTU is too large for native XDP: `ip link set dev {interface} mtu 1500`")
        }
        Some(libc::ENOSPC) => format!("it has too few queues: `ethtool -l {interface}` shows them"),
        _ => error.to_string(),
    }
}

fn is_missing(error: &MapError) -> bool {
    matches!(error, MapError::KeyNotFound | MapError::ElementNotFound)
        || os_error(error) == Some(libc::ENOENT)
}

fn full_or(what: &'static str, limit: usize, source: MapError) -> SteeringError {
    match os_error(&source) {
        Some(libc::E2BIG) => SteeringError::Full { limit, what },
        _ => SteeringError::Map { what, source },
    }
}

fn queue_error(queue: u32, source: MapError) -> SteeringError {
    match source {
        MapError::OutOfBounds { .. } => SteeringError::NoSuchQueue { queue },
        source => SteeringError::Map {
            what: "sockets",
            source,
        },
    }
}

/// A type of the ABI, as aya wants map keys and values.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: these are `repr(C)`, made of `u16` alone and so without padding; any bytes are a value.
unsafe impl aya::Pod for Plain<Address> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<PortKey> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Rule> {}
