//! Ports of the ingress addresses that a ConfigMap gives to Services, over TCP or UDP: `--tcp-services-configmap` and
//! `--udp-services-configmap`.
//!
//! As ingress-nginx has it (`getStreamServices`): each key is a port, each value `NAMESPACE/NAME:PORT`, where `PORT` is the
//! number or the name of a port of the Service. `:PROXY` behind it asks for the PROXY protocol towards clients, and a
//! second time towards endpoints; neither is spoken here, so that such an entry is refused.

use std::collections::{BTreeMap, BTreeSet};

use headgate_ring::message::{Frontend, Protocol};

use super::Settings;
use super::notes::{Note, of_port_map};
use super::services::{Frontends, Mapped};
use super::world::World;
use crate::model::ObjectName;
use crate::model::name::{is_label, is_subdomain};
use crate::model::service::{Service, ServiceKind, ServicePort};

/// What the ConfigMaps give away now.
#[derive(Debug, Default)]
pub(super) struct MappedPorts {
    given: BTreeMap<Frontend, Mapped>,
    /// Services that entries name, whether they are there or not.
    named: BTreeSet<ObjectName>,
    notes: Vec<Note>,
    stale: bool,
}

/// An entry of a ConfigMap.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    port: u16,
    service: ObjectName,
    /// The number or name of one of its ports.
    target: String,
}

impl MappedPorts {
    pub(super) fn map_changed(&mut self) {
        self.stale = true;
    }

    pub(super) fn service_changed(&mut self, name: &ObjectName) {
        self.stale |= self.named.contains(name);
    }

    /// Gives away what the ConfigMaps say, and takes back what they said. The entries are few: all are read again.
    pub(super) fn settle(
        &mut self,
        world: &World<'_>,
        settings: &Settings,
        first: bool,
        frontends: &mut Frontends,
    ) {
        if !std::mem::take(&mut self.stale) && !first {
            return;
        }
        let mut now = Self::default();
        for (protocol, map) in settings.port_maps.each() {
            now.read(world, settings, protocol, map);
        }
        for (frontend, to) in &self.given {
            if now.given.get(frontend) != Some(to) {
                frontends.unmap(*frontend, to);
            }
        }
        for (frontend, to) in &now.given {
            if self.given.get(frontend) != Some(to) {
                frontends.map(*frontend, to);
            }
        }
        *self = now;
    }

    fn read(&mut self, world: &World<'_>, settings: &Settings, protocol: Protocol, map: &ObjectName) {
        let flag = if protocol == Protocol::Udp { "udp" } else { "tcp" };
        let Some(data) = world.model.config_map(map).map(|map| &map.data) else {
            let text =
                format!("--{flag}-services-configmap: does not exist; it gives no port to any Service");
            self.notes.push(of_port_map(map, 0, text));
            return;
        };
        if settings.frontend_addresses().next().is_none() && !data.is_empty() {
            let text = format!(
                "--{flag}-services-configmap: without --ingress-address (0.0.0.0 and :: are none) there is no address of which it could give ports"
            );
            self.notes.push(of_port_map(map, 0, text));
        }
        let mut taken = BTreeSet::new();
        for (key, value) in data {
            let place = key.parse().unwrap_or(0);
            let read = Entry::read(key, value).and_then(|entry| {
                if let Some((_, whose)) = settings
                    .reserved_ports
                    .iter()
                    .find(|(port, _)| *port == entry.port)
                {
                    return Err(format!("{} is the port of {whose}", entry.port));
                }
                if !taken.insert(entry.port) {
                    return Err("is the same port as an earlier key".to_owned());
                }
                self.named.insert(entry.service.clone());
                Ok((entry.find(world, protocol)?, entry))
            });
            match read {
                Ok((port, entry)) => self.give(settings, protocol, map, port, &entry),
                Err(reason) => {
                    let text = format!("data[{key}]: {reason}; the entry is left out");
                    self.notes.push(of_port_map(map, place, text));
                }
            }
        }
    }

    fn give(
        &mut self,
        settings: &Settings,
        protocol: Protocol,
        map: &ObjectName,
        port: usize,
        entry: &Entry,
    ) {
        for address in settings.frontend_addresses() {
            let frontend = Frontend {
                address: *address,
                protocol,
                port: entry.port,
            };
            let to = Mapped {
                map: map.clone(),
                service: entry.service.clone(),
                port,
            };
            self.given.insert(frontend, to);
        }
    }

    pub(super) fn notes(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter()
    }
}

impl Entry {
    fn read(key: &str, value: &str) -> Result<Self, String> {
        let port = match key.parse::<u16>() {
            Ok(port) if port != 0 => port,
            _ => return Err("is not a port, 1 to 65535".to_owned()),
        };
        let form = || format!("\"{value}\" is not NAMESPACE/NAME:PORT");
        let mut parts = value.trim().split(':');
        let service = parts
            .next()
            .and_then(|name| name.split_once('/'))
            .ok_or_else(form)?;
        let target = parts
            .next()
            .filter(|target| !target.is_empty())
            .ok_or_else(form)?;
        if !is_label(service.0) || !is_subdomain(service.1) {
            return Err(form());
        }
        for flag in parts {
            if flag.eq_ignore_ascii_case("PROXY") {
                return Err(format!("\"{value}\": the PROXY protocol is not supported"));
            }
            // ingress-nginx takes any other word there, as in `shop/web:80::`, for none.
            if !flag.is_empty() {
                return Err(format!("\"{value}\": \"{flag}\" is not PROXY"));
            }
        }
        Ok(Self {
            port,
            service: ObjectName::new(service.0, service.1),
            target: target.to_owned(),
        })
    }

    /// The place of the port among the Service's.
    fn find(&self, world: &World<'_>, protocol: Protocol) -> Result<usize, String> {
        let Self { service, target, .. } = self;
        let found: &Service = world
            .model
            .service(service)
            .ok_or_else(|| format!("Service {service} does not exist"))?;
        if found.kind == ServiceKind::ExternalName {
            return Err(format!(
                "Service {service} is an ExternalName, which has no endpoints"
            ));
        }
        // As for a Service that claims it itself: to let everybody in where it names a few would be worse.
        if found.source_ranges {
            return Err(format!(
                "Service {service} has loadBalancerSourceRanges, which are not supported"
            ));
        }
        let number = target.parse::<u16>();
        let is_wanted = |port: &ServicePort| match number {
            Ok(number) => port.port == number,
            Err(_) => port.name == *target,
        };
        let place = found
            .ports
            .iter()
            .position(|port| port.protocol == protocol && is_wanted(port));
        place.ok_or_else(|| format!("Service {service} has no port {target} of {protocol}"))
    }
}

#[cfg(test)]
impl MappedPorts {
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.named.is_empty() && !self.stale
    }
}
