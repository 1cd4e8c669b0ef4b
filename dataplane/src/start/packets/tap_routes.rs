//! The addresses of Headgate's that the kernel has routes to by the TAP device: for pods whose devices are no ports.
//!
//! Such a pod gets its packets from the kernel. To the node's own address it would answer to the kernel, who knows no flow.
//! So it gets them from an address that is Headgate's alone, and the kernel forwards the answers into the TAP device. There
//! are no addresses on the device itself and no neighbours: it is one to which everything can be sent (`IFF_NOARP`).

use std::net::IpAddr;

use futures_util::TryStreamExt;
use headgate_net::fib::TapAddresses;
use netlink_packet_route::route::RouteScope;
use rtnetlink::{Error, Handle, LinkUnspec, RouteMessageBuilder};

use crate::host::Sysctl;
use crate::options::TapNetworks;

/// Adds the routes to the device `name`, which is the `number`th of the namespace; says what could not be done, and what that
/// means.
pub(super) async fn set(name: &str, number: u8, networks: TapNetworks, netlink: &Handle) -> TapAddresses {
    let mut wanted = networks.addresses(number);
    // A host without IPv6 has no pods of it.
    let has_v6 = Sysctl::new(&format!("net/ipv6/conf/{name}/disable_ipv6")).read();
    wanted.v6 = wanted.v6.filter(|_| has_v6.is_ok());
    let index = match prepare(name, netlink).await {
        Ok(index) => index,
        Err(error) => {
            tracing::warn!(
                "{name}: it could not be made a device without neighbours ({error}); Services do not reach pods whose \
                 devices are no ports"
            );
            return TapAddresses::default();
        }
    };
    for address in wanted.all() {
        if let Err(error) = add(address, index, netlink).await {
            tracing::warn!(
                "{name}: no route to {address} could be made ({error}); Services do not reach pods of {} whose devices are \
                 no ports",
                if address.is_ipv4() { "IPv4" } else { "IPv6" }
            );
            match address {
                IpAddr::V4(_) => wanted.v4 = None,
                IpAddr::V6(_) => wanted.v6 = None,
            }
        }
    }
    say_where_forwarding_is_off(wanted);
    wanted
}

/// Gives the device's index.
async fn prepare(name: &str, netlink: &Handle) -> Result<u32, Error> {
    let settings = LinkUnspec::new_with_name(name).arp(false).build();
    netlink.link().set(settings).execute().await?;
    let mut links = netlink.link().get().match_name(name.to_owned()).execute();
    let link = links.try_next().await?.ok_or(Error::RequestFailed)?;
    Ok(link.header.index)
}

async fn add(address: IpAddr, index: u32, netlink: &Handle) -> Result<(), Error> {
    let route = match address {
        IpAddr::V4(v4) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
            .destination_prefix(v4, 32)
            .scope(RouteScope::Link)
            .output_interface(index)
            .build(),
        IpAddr::V6(v6) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
            .destination_prefix(v6, 128)
            .output_interface(index)
            .build(),
    };
    netlink.route().add(route).execute().await
}

fn say_where_forwarding_is_off(addresses: TapAddresses) {
    for (there, key) in [
        (addresses.v4.is_some(), "net/ipv4/ip_forward"),
        (addresses.v6.is_some(), "net/ipv6/conf/all/forwarding"),
    ] {
        let setting = Sysctl::new(key);
        if there && setting.read().is_ok_and(|value| value == "0") {
            tracing::info!(
                "{setting} is 0: Services do not reach pods whose devices are no ports, unless these devices forward by \
                 settings of their own"
            );
        }
    }
}
