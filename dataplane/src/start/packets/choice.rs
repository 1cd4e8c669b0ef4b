//! Which devices the words of `--port` mean on this node: a name, another name of the device, a pattern, or a route.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use headgate_net::fib::{RouteKind, RoutingTable};

use crate::mirror::{Device, Kernel};
use crate::options::PortChoice;
use crate::start::RunError;
use crate::start::error::MOST_PORTS;

/// The devices, in the order of the words. Two different words may mean one device, which is taken once.
pub(super) fn find(words: &[String], kernel: &Kernel) -> Result<Vec<Device>, RunError> {
    if words.len() > MOST_PORTS {
        return Err(RunError::TooMany(words.len()));
    }
    if let Some((_, twice)) = words
        .iter()
        .enumerate()
        .find(|(i, word)| words[..*i].contains(word))
    {
        return Err(RunError::Twice(twice.clone()));
    }
    let mut found: Vec<Device> = Vec::new();
    for word in words {
        let device = one(word, kernel)?;
        if device.name != *word {
            tracing::info!("--port {word}: {}", device.name);
        }
        if found.iter().all(|other| other.link.index != device.link.index) {
            found.push(device.clone());
        }
    }
    Ok(found)
}

fn one<'a>(word: &str, kernel: &'a Kernel) -> Result<&'a Device, RunError> {
    let device = match PortChoice::of(word) {
        PortChoice::Name => by_name(word, kernel)?,
        PortChoice::Pattern => by_pattern(word, kernel)?,
        PortChoice::DefaultRoute => match of_route(word, Ipv4Addr::UNSPECIFIED.into(), kernel)? {
            Some(device) => device,
            None => of_route(word, Ipv6Addr::UNSPECIFIED.into(), kernel)?
                .ok_or_else(|| no_route(word, "IPv4 or IPv6"))?,
        },
        PortChoice::DefaultRouteV6 => {
            of_route(word, Ipv6Addr::UNSPECIFIED.into(), kernel)?.ok_or_else(|| no_route(word, "IPv6"))?
        }
    };
    if is_ethernet(device) {
        Ok(device)
    } else {
        Err(RunError::NotEthernet(device.name.clone()))
    }
}

fn is_ethernet(device: &Device) -> bool {
    device.link.mac.is_some_and(|mac| mac != [0; 6])
}

fn by_name<'a>(name: &str, kernel: &'a Kernel) -> Result<&'a Device, RunError> {
    let also = || {
        let mut devices = kernel.devices.values();
        devices.find(|device| device.other_names.iter().any(|other| other == name))
    };
    kernel
        .device(name)
        .or_else(also)
        .ok_or_else(|| no_interface(name, kernel))
}

fn by_pattern<'a>(pattern: &str, kernel: &'a Kernel) -> Result<&'a Device, RunError> {
    let named = |device: &&Device| {
        let mut names = device.other_names.iter().chain([&device.name]);
        is_ethernet(device) && names.any(|name| matches(pattern, name))
    };
    let all: Vec<&Device> = kernel.devices.values().filter(named).collect();
    match all[..] {
        [device] => Ok(device),
        [] => Err(no_interface(pattern, kernel)),
        _ => Err(ambiguous(pattern, all.iter().map(|device| device.name.clone()))),
    }
}

/// The device of the default route of a family, that with the least metric as the kernel has it; `None` where there is none.
fn of_route<'a>(word: &str, family: IpAddr, kernel: &'a Kernel) -> Result<Option<&'a Device>, RunError> {
    let is_default = |route: &&headgate_net::fib::KernelRoute| {
        route.table == RoutingTable::Main
            && route.kind == RouteKind::Unicast
            && route.destination.prefix_len() == 0
            && route.destination.addr() == family
    };
    let routes = || kernel.routes.iter().filter(is_default);
    let Some(least) = routes().map(|route| route.metric).min() else {
        return Ok(None);
    };
    let hops = routes()
        .filter(|route| route.metric == least)
        .flat_map(|route| &route.hops);
    let mut devices: Vec<&Device> = hops
        .filter_map(|hop| kernel.devices.get(&hop.interface))
        .collect();
    devices.sort_by_key(|device| device.link.index);
    devices.dedup_by_key(|device| device.link.index);
    match devices[..] {
        [] => Ok(None),
        [device] => Ok(Some(device)),
        _ => {
            let named = devices
                .iter()
                .map(|device| format!("{} (metric {least})", device.name));
            Err(ambiguous(word, named))
        }
    }
}

/// `*` stands for any characters, `?` for one.
fn matches(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return name.is_empty();
    };
    let rest = &pattern[first.len_utf8()..];
    let mut tails = name.char_indices().map(|(i, c)| (c, &name[i + c.len_utf8()..]));
    match first {
        '*' => matches(rest, name) || tails.any(|(_, tail)| matches(rest, tail)),
        _ => tails
            .next()
            .is_some_and(|(c, tail)| (first == '?' || c == first) && matches(rest, tail)),
    }
}

fn no_interface(name: &str, kernel: &Kernel) -> RunError {
    let named = |device: &Device| match device.other_names.as_slice() {
        [] => device.name.clone(),
        others => format!("{} (also {})", device.name, others.join(", ")),
    };
    RunError::NoInterface {
        name: name.to_owned(),
        have: kernel.devices.values().map(named).collect(),
    }
}

fn no_route(word: &str, families: &'static str) -> RunError {
    RunError::NoDefaultRoute {
        word: word.to_owned(),
        families,
    }
}

fn ambiguous(word: &str, have: impl Iterator<Item = String>) -> RunError {
    RunError::Ambiguous {
        word: word.to_owned(),
        have: have.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Mirror;
    use crate::testing::Namespace;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, fits) in [
            ("ens*", "ens5", true),
            ("ens*", "ens", true),
            ("ens?", "ens", false),
            ("e*5", "ens55", true),
            ("e*5", "ens56", false),
            ("*", "lo", true),
            ("e??", "ens", true),
            ("e**s", "ens", true),
            ("x*", "ens", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    /// Names that words mean, one after the other, or what is wrong.
    fn chosen(namespace: &Namespace, words: &[&str]) -> Result<Vec<String>, String> {
        namespace.block_on(async || {
            let mirror = Mirror::open().await.unwrap();
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            let found = find(&words, mirror.kernel()).map_err(|error| error.to_string())?;
            Ok(found.into_iter().map(|device| device.name).collect())
        })
    }

    fn node() -> Namespace {
        let namespace = Namespace::new("choice");
        for (n, name) in ["eth0", "ens5", "eno1"].iter().enumerate() {
            namespace.ip(&format!("link add {name} type veth peer name far{n}"));
            for link in [*name, &format!("far{n}")] {
                namespace.ip(&format!("link set {link} up"));
            }
            namespace.ip(&format!("addr add 10.0.{n}.1/24 dev {name}"));
            namespace.ip(&format!("addr add fd00:{n}::1/64 dev {name} nodad"));
        }
        namespace
    }

    #[test]
    fn a_device_has_its_name_others_and_patterns() {
        let node = node();
        node.ip("link property add dev ens5 altname the-interface-of-clients altname clients0");
        let one = |name: &str| Ok(vec![name.to_owned()]);
        assert_eq!(chosen(&node, &["eth0"]), one("eth0"));
        assert_eq!(chosen(&node, &["the-interface-of-clients"]), one("ens5"));
        assert_eq!(chosen(&node, &["client*"]), one("ens5"));
        assert_eq!(chosen(&node, &["en?5"]), one("ens5"));
        // Two words for one device.
        assert_eq!(chosen(&node, &["ens5", "clients0"]), one("ens5"));
        assert_eq!(
            chosen(&node, &["eth0", "clients0"]),
            Ok(vec!["eth0".to_owned(), "ens5".to_owned()])
        );
        let several = chosen(&node, &["en*"]).unwrap_err();
        assert!(
            several.contains("\"en*\" may mean ens5, eno1")
                || several.contains("\"en*\" may mean eno1, ens5"),
            "{several}"
        );
        let none = chosen(&node, &["wan*"]).unwrap_err();
        assert!(
            none.contains("no interface \"wan*\"")
                && none.contains("ens5 (also the-interface-of-clients, clients0)"),
            "{none}"
        );
        // What is no Ethernet does not count: lo.
        assert!(
            chosen(&node, &["l*"])
                .unwrap_err()
                .contains("no interface \"l*\"")
        );
    }

    #[test]
    fn the_default_route_with_the_least_metric_says_which() {
        let node = node();
        let one = |name: &str| Ok(vec![name.to_owned()]);
        let none = chosen(&node, &["default-route"]).unwrap_err();
        assert!(none.contains("no default route of IPv4 or IPv6"), "{none}");
        node.ip("-6 route add default via fd00:2::9 dev eno1");
        assert_eq!(chosen(&node, &["default-route"]), one("eno1"), "of IPv6");
        node.ip("route add blackhole default metric 1");
        node.ip("route add default via 10.0.1.9 dev ens5 metric 200");
        node.ip("route add default via 10.0.0.9 dev eth0 metric 100");
        assert_eq!(chosen(&node, &["default-route"]), one("eth0"));
        assert_eq!(chosen(&node, &["default-route-v6"]), one("eno1"));
        let both = Ok(vec!["eth0".to_owned(), "eno1".to_owned()]);
        assert_eq!(chosen(&node, &["default-route", "default-route-v6"]), both);
        // By two devices.
        node.ip("route add default metric 50 nexthop via 10.0.0.9 dev eth0 nexthop via 10.0.1.9 dev ens5");
        let several = chosen(&node, &["default-route"]).unwrap_err();
        assert!(
            several.contains("eth0 (metric 50)") && several.contains("ens5 (metric 50)"),
            "{several}"
        );
        node.ip("-6 route del default");
        let none = chosen(&node, &["default-route-v6"]).unwrap_err();
        assert!(none.contains("no default route of IPv6"), "{none}");
    }
}
