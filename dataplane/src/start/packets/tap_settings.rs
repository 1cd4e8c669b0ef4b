//! The settings of the TAP device: by netlink, since `/proc/sys` cannot be written in a container.

use headgate_xsk::tap::Tap;
use rtnetlink::packet_core::{DefaultNla, NLA_F_NESTED};
use rtnetlink::{Error, Handle, LinkUnspec};

use netlink_packet_route::link::{AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};

use crate::host::Sysctl;

/// `linux/ip.h`
const IPV4_DEVCONF_FORWARDING: u16 = 1;
const IPV4_DEVCONF_RP_FILTER: u16 = 8;
const IPV4_DEVCONF_ACCEPT_LOCAL: u16 = 23;
/// `linux/if_link.h`
const IFLA_INET_CONF: u16 = 1;

/// Makes a device that is there already what packets for the kernel need; says what could not be done, and what that means.
pub(super) async fn set(tap: &Tap, mtu: usize, netlink: &Handle) {
    let name = tap.name();
    if let Err(error) = set_mtu(name, mtu, netlink).await {
        tracing::warn!(
            "{name}: the MTU could not be set to {mtu} ({error}); long packets of pods may be lost"
        );
    }
    if let Err(error) = set_ipv4(name, netlink).await {
        tracing::warn!(
            "{name}: rp_filter, accept_local and forwarding could not be set ({error}); packets for the host itself may be lost"
        );
    }
    if let Err(error) = forget_addresses(name, netlink).await {
        tracing::warn!(
            "{name}: addr_gen_mode could not be set ({error}); the host has a link-local address there that leads nowhere"
        );
    }
    set_ipv6(name);
}

/// What comes by the device leaves by a port, and fits into a frame.
async fn set_mtu(name: &str, mtu: usize, netlink: &Handle) -> Result<(), Error> {
    /// With less the device would have no IPv6 (RFC 8200, section 5).
    const LEAST: usize = 1280;
    let mtu = u32::try_from(mtu.max(LEAST)).unwrap_or(u32::MAX);
    let message = LinkUnspec::new_with_name(name).mtu(mtu).build();
    netlink.link().set(message).execute().await
}

async fn set_ipv4(name: &str, netlink: &Handle) -> Result<(), Error> {
    // The kernel takes the stricter of this and the setting for all: 1 there is relaxed by 2 here, not by 0.
    let all = Sysctl::new("net/ipv4/conf/all/rp_filter").read();
    let reverse_path = if all.is_ok_and(|value| value == "0") { 0 } else { 2 };
    let settings = [
        (IPV4_DEVCONF_RP_FILTER, reverse_path),
        (IPV4_DEVCONF_ACCEPT_LOCAL, 1),
        (IPV4_DEVCONF_FORWARDING, 1),
    ];
    change(name, netlink, AfSpecUnspec::Inet(vec![devconf(&settings)])).await
}

/// No addresses of its own: going down and up again forgets the link-local one. Where the kernel has no IPv6, there is none.
async fn forget_addresses(name: &str, netlink: &Handle) -> Result<(), Error> {
    if Sysctl::new(&format!("net/ipv6/conf/{name}/addr_gen_mode"))
        .read()
        .is_err()
    {
        return Ok(());
    }
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    change(name, netlink, AfSpecUnspec::Inet6(vec![mode])).await?;
    let link = || LinkUnspec::new_with_name(name);
    netlink.link().set(link().down().build()).execute().await?;
    netlink.link().set(link().up().build()).execute().await
}

async fn change(name: &str, netlink: &Handle, settings: AfSpecUnspec) -> Result<(), Error> {
    let message = LinkUnspec::new_with_name(name)
        .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![settings]))
        .build();
    netlink.link().set(message).execute().await
}

/// These settings and no others, as `inet_set_link_af` of `net/ipv4/devinet.c` takes them: an attribute of 4 octets for each.
fn devconf(settings: &[(u16, u32)]) -> AfSpecInet {
    let attribute = |(kind, value): &(u16, u32)| {
        let head = [8_u16.to_ne_bytes(), kind.to_ne_bytes()].concat();
        [head, value.to_ne_bytes().to_vec()].concat()
    };
    let nested = settings.iter().flat_map(attribute).collect();
    AfSpecInet::Other(DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, nested))
}

/// What netlink cannot set.
fn set_ipv6(name: &str) {
    let setting = |key: &str| Sysctl::new(&format!("net/ipv6/conf/{name}/{key}"));
    // They are there where the kernel has IPv6.
    for (key, value, meaning) in [
        (
            "disable_ipv6",
            "0",
            "packets of IPv6 for the host itself are lost",
        ),
        (
            "accept_ra",
            "0",
            "a router's advertisement that came by it would be heeded, where the host forwards no IPv6",
        ),
    ] {
        let setting = setting(key);
        let there = setting.read();
        if there.is_ok_and(|there| there != value)
            && let Err(error) = setting.write(value)
        {
            tracing::info!("{setting} could not be set to {value} ({error}): {meaning}");
        }
    }
    // Linux 6.17 and later: forwarding of IPv6 from this device alone. Before, it is all devices or none.
    let _ = setting("force_forwarding").write("1");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Namespace;

    /// Whatever the host has for new devices. That /proc/sys is not needed for it `scripts/check-privileges` shows.
    #[test]
    fn the_device_takes_packets_of_any_source_and_has_no_address() {
        for (all, wanted) in [("0", "0"), ("1", "2")] {
            let namespace = Namespace::new("tap");
            namespace.block_on(async || {
                Sysctl::new("net/ipv4/conf/all/rp_filter").write(all).unwrap();
                for (key, value) in [
                    ("ipv4/conf/default/rp_filter", "1"),
                    ("ipv4/conf/default/accept_local", "0"),
                    ("ipv6/conf/default/disable_ipv6", "1"),
                ] {
                    Sysctl::new(&format!("net/{key}")).write(value).unwrap();
                }
                let tap = Tap::create("headgate0").unwrap();
                let (connection, handle, _) = rtnetlink::new_connection().unwrap();
                tokio::spawn(connection);
                set(&tap, 1500, &handle).await;
                let read = |key: &str| Sysctl::new(&format!("net/{key}")).read().unwrap();
                let v4 = ["rp_filter", "accept_local", "forwarding", "log_martians"];
                assert_eq!(
                    v4.map(|key| read(&format!("ipv4/conf/headgate0/{key}"))),
                    [wanted, "1", "1", "0"]
                );
                let v6 = ["addr_gen_mode", "accept_ra", "disable_ipv6"];
                assert_eq!(
                    v6.map(|key| read(&format!("ipv6/conf/headgate0/{key}"))),
                    ["1", "0", "0"]
                );
            });
        }
        let namespace = Namespace::new("tap");
        namespace.block_on(async || {
            let tap = Tap::create("headgate0").unwrap();
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            set(&tap, 1500, &handle).await;
            assert_eq!(namespace.ip("-6 -o addr show dev headgate0"), "");
            assert!(namespace.ip("-o link show dev headgate0").contains(",UP"));
        });
    }
}
