//! Parsers for the values of flags. Each error says what would be right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use headgate_net::fib::TapAddresses;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Cores in the order in which threads take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(pub Vec<usize>);

/// An inclusive range of ports, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl PortRange {
    /// Whether the ranges share a port.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The same as a range of the standard library.
    #[must_use]
    pub const fn range(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Where the addresses of TAP devices are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapNetworks {
    /// Of IPv4.
    pub v4: Option<Ipv4Net>,
    /// Of IPv6.
    pub v6: Option<Ipv6Net>,
}

impl TapNetworks {
    /// Devices in a network namespace, each with an address of its own.
    pub const DEVICES: u8 = 16;
    /// Link-local (RFC 3927), and unique local with a random global ID (RFC 4193): of no use to anybody but the node.
    pub const DEFAULT: &str = "169.254.247.0/27,fd7a:61c8:24be::/123";

    /// Those of the device `number`. The first address of a network is nobody's.
    #[must_use]
    pub fn addresses(&self, number: u8) -> TapAddresses {
        let number = number + 1;
        TapAddresses {
            v4: self
                .v4
                .map(|net| Ipv4Addr::from_bits(net.network().to_bits() | u32::from(number))),
            v6: self
                .v6
                .map(|net| Ipv6Addr::from_bits(net.network().to_bits() | u128::from(number))),
        }
    }
}

/// What a value of `--port` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// The name of an interface, or another name of it.
    Name,
    /// A pattern that the name of one interface fits.
    Pattern,
    /// The interface of the default route, of IPv4 where there is one.
    DefaultRoute,
    /// The interface of IPv6's.
    DefaultRouteV6,
}

impl PortChoice {
    /// Of a value that has been checked.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text {
            "default-route" => Self::DefaultRoute,
            "default-route-v6" => Self::DefaultRouteV6,
            _ if text.contains(['*', '?']) => Self::Pattern,
            _ => Self::Name,
        }
    }
}

/// What can name an interface: `ALTIFNAMSIZ` (`linux/if.h`), which is longer than `IFNAMSIZ`, counts its terminating zero.
pub(super) fn interface(text: &str) -> Result<String, String> {
    let bad = |c: char| c.is_whitespace() || c == '/' || c == ':';
    match text {
        "" => Err("an interface name is not empty".into()),
        "." | ".." => Err("not a name of an interface".into()),
        _ if text.len() > 127 => Err("an interface name has at most 15 bytes, another name of it 127".into()),
        _ if text.contains(bad) => Err("an interface name has no space, slash or colon".into()),
        _ => Ok(text.into()),
    }
}

/// `0,2-3` gives 0, 2, 3.
pub(super) fn cores(text: &str) -> Result<Cores, String> {
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |s: &str| {
            let core = s.trim().parse::<usize>().ok().filter(|core| *core < 4096);
            core.ok_or_else(|| format!("\"{s}\" is not the number of a core; a list looks like 0,2-3"))
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{first}-{last} runs backwards"));
        }
        cores.extend(first..=last);
    }
    let mut sorted = cores.clone();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!(
            "core {} stands there twice; two threads on one core starve each other",
            pair[0]
        ));
    }
    Ok(Cores(cores))
}

/// `first-last` of unprivileged ports.
pub(super) fn port_range(text: &str) -> Result<PortRange, String> {
    let wrong = || format!("\"{text}\" is not a range of ports such as 61000-65535");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let port = |s: &str| s.trim().parse::<u16>().map_err(|_| wrong());
    let (first, last) = (port(first)?, port(last)?);
    if first < 1024 {
        return Err(format!(
            "port {first} is below 1024, where the host's own services are"
        ));
    }
    if last < first {
        return Err(format!("{first}-{last} runs backwards"));
    }
    if last - first < 255 {
        return Err(format!(
            "{first}-{last} has fewer than 256 ports, too few for connections to pods"
        ));
    }
    Ok(PortRange { first, last })
}

/// An address that a host may have and send from.
pub(super) fn source_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .trim()
        .parse()
        .map_err(|_| format!("\"{text}\" is no IP address"))?;
    let group = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some() || v6.is_unicast_link_local(),
    };
    if group || address.is_multicast() || address.is_loopback() || address.is_unspecified() {
        return Err(format!("pods cannot answer to {address}"));
    }
    Ok(address)
}

/// One network of each family at most, each with room for all devices, or `none`.
pub(super) fn tap_networks(text: &str) -> Result<TapNetworks, String> {
    /// Bits of the addresses of all devices and the network's own.
    const HOST_BITS: u8 = 5;
    let mut networks = TapNetworks::default();
    if text == "none" {
        return Ok(networks);
    }
    for part in text.split(',') {
        let network: IpNet = part.trim().parse().map_err(|_| {
            format!(
                "\"{part}\" is not a network; a list of them looks like {}",
                TapNetworks::DEFAULT
            )
        })?;
        if network.max_prefix_len() - network.prefix_len() < HOST_BITS {
            return Err(format!("{network} has fewer than 32 addresses"));
        }
        let twice = match network {
            IpNet::V4(v4) => networks.v4.replace(v4).is_some(),
            IpNet::V6(v6) => networks.v6.replace(v6).is_some(),
        };
        if twice {
            return Err(format!("{network} is the second network of its family"));
        }
    }
    Ok(networks)
}

/// The rings of AF_XDP have a power of two of entries.
pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    let size = number(text, 64, 2048)?;
    if size.is_power_of_two() {
        return Ok(size);
    }
    Err(format!(
        "{size} is not a power of two; {} is",
        size.next_power_of_two()
    ))
}

pub(super) fn flow_capacity(text: &str) -> Result<u32, String> {
    number(text, 1024, 1 << 26)
}

pub(super) fn l7_buffers(text: &str) -> Result<u32, String> {
    number(text, 4096, 16 << 20)
}

pub(super) fn l7_memory(text: &str) -> Result<u32, String> {
    number(text, 1 << 20, u32::MAX)
}

fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("\"{text}\" is not a number from {least} to {most}"))
}

/// A [`duration`] or none.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") {
        return Ok(Duration::ZERO);
    }
    duration(text)
}

/// A number and its unit: `250ms`, `30s`, `5m`, `2h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a time such as 500ms, 30s, 5m or 2h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let millis = number
        .checked_mul(unit)
        .filter(|ms| (1..=30 * 24 * 3_600_000).contains(ms));
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| format!("\"{text}\" is not between 1ms and 30 days"))
}
